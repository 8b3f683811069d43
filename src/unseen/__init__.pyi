from unseen import data as data
from unseen import functional as functional
from unseen import learners as learners
from unseen import rules as rules
from unseen.errors import ArgumentError as ArgumentError
from unseen.errors import BudgetError as BudgetError
from unseen.errors import CorruptFileError as CorruptFileError
from unseen.errors import DataError as DataError
from unseen.errors import ExposureError as ExposureError
from unseen.errors import MissingDependencyError as MissingDependencyError
from unseen.errors import RunError as RunError
from unseen.errors import RunLockedError as RunLockedError
from unseen.errors import RunMismatchError as RunMismatchError
from unseen.errors import StorageError as StorageError
from unseen.errors import UnknownNameError as UnknownNameError
from unseen.errors import UnseenError as UnseenError
from unseen.estimator import Pruner as Pruner
from unseen.exposure import Exposure as Exposure
from unseen.exposure import Fit as Fit
from unseen.exposure import folds as folds
from unseen.exposure import halves as halves
from unseen.exposure import leave_one_out as leave_one_out
from unseen.exposure import seen as seen
from unseen.learners.recorder import Recorder as Recorder
from unseen.pruning import Pruned as Pruned
from unseen.pruning import Scored as Scored
from unseen.pruning import label_error_share as label_error_share
from unseen.pruning import load as load
from unseen.pruning import prune as prune
from unseen.pruning import score as score
from unseen.pruning import select as select
from unseen.scores.base import Score as Score
from unseen.types import Coreset as Coreset
from unseen.types import Observation as Observation
from unseen.types import ScoreTable as ScoreTable

__version__: str
__all__: list[str]
