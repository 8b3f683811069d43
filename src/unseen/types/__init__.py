"""The things that pass between rooms: observation, score table, coreset.

Nothing here computes a score, reads data or knows a learner.
"""

from unseen.types.arrays import (
    Array,
    Arrays,
    FloatArray,
    IdArray,
    IntArray,
    as_integers,
    check_real,
    dense,
    is_tensor,
    of_tensor,
    unmasked,
)
from unseen.types.chosen import Coreset
from unseen.types.directions import DIRECTIONS, Direction, meaning
from unseen.types.observation import Observation, Side
from unseen.types.table import OWN_COLUMNS, ScoreTable

__all__ = [
    "DIRECTIONS",
    "OWN_COLUMNS",
    "Array",
    "Arrays",
    "Coreset",
    "Direction",
    "FloatArray",
    "IdArray",
    "IntArray",
    "Observation",
    "ScoreTable",
    "Side",
    "as_integers",
    "check_real",
    "dense",
    "is_tensor",
    "meaning",
    "of_tensor",
    "unmasked",
]
