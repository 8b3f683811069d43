"""The verb `export`: write a coreset in a form that other tools read; the kinds of export by name; training loops.

Other packages add kinds by the entry-point group `unseen.exports`. In a training loop a coreset is a `subset` of the
data set, or a `CoresetSampler`, whose order depends only on seed, epoch and id.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.core import seeds
from unseen.core.checks import check_options
from unseen.core.coreset import Coreset
from unseen.core.registry import Registry
from unseen.data.sources import split_reading_options
from unseen.errors import ArgumentError, import_optional
from unseen.exporting import images, tables
from unseen.exporting.request import Report, make_request, refuse_existing

if TYPE_CHECKING:
    from torch.utils.data import Subset


@dataclass(frozen=True)
class Kind:
    """One kind of export."""

    write: Callable[..., None]  # called with the request, the place, and the options by name; all or nothing
    summary: str  # what it writes, in a few words
    use: str | Callable[[str], str]  # code that reads the result; `{out}` is the place, or it is called with the place

    def reading(self, out: str) -> str:
        """Return code that reads the result in `out`."""
        return self.use.format(out=out) if isinstance(self.use, str) else self.use(out)

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults."""
        parameters = inspect.signature(self.write).parameters.values()
        return {option.name: option.default for option in parameters if option.kind is option.KEYWORD_ONLY}


KINDS: Registry[Kind] = Registry("kind of export", "unseen.exports")

for _name, _kind in {
    "folder": Kind(
        images.to_folder,
        "the images in one folder a class: links, or copies",
        "torchvision.datasets.ImageFolder({out!r})",
    ),
    "parquet": Kind(tables.to_parquet, "the rows with all columns, in one file", "pandas.read_parquet({out!r})"),
    "csv": Kind(tables.to_csv, "the rows with all columns of numbers and text", tables.read_by_pandas),
    "huggingface": Kind(tables.to_huggingface, "a saved Hugging Face data set", "datasets.load_from_disk({out!r})"),
    "webdataset": Kind(
        images.to_webdataset,
        "tar shards, or the keys of samples",
        "webdataset.WebDataset(sorted(glob.glob({out!r} + '/*.tar')), shardshuffle=False)",
    ),
    "npy": Kind(tables.to_npy, "rows or ids, one array", "torch.utils.data.Subset(dataset, numpy.load({out!r}))"),
    "cleanlab": Kind(
        tables.to_cleanlab,
        "held-out probabilities and labels of all samples",
        "cleanlab.filter.find_label_issues(numpy.load({out!r} + '/labels.npy'), "
        "numpy.load({out!r} + '/pred_probs.npy'))",
    ),
    "fiftyone": Kind(
        tables.to_fiftyone,
        "fields for FiftyOne, by the paths of images",
        "for name, of in json.load(open({out!r}))['fields'].items(): "
        "dataset.set_values(name, [of[path] for path in dataset.values('filepath')])",
    ),
}.items():
    KINDS.add(_name, _kind)


def export(
    source: Any,
    to: str,
    out: str | Path,
    *,
    data: Any = None,
    data_options: Mapping[str, Any] | None = None,
    coreset: Any = None,
    report: Report | None = None,
    **options: Any,
) -> Path:
    """Write a coreset in a form that other tools read, completely or not at all. Nothing is overwritten.

    Args:
        source: the directory of a run of `prune` or `grow`, the result of one of these, a `Coreset`, or a coreset file.
        to: the kind: `"folder"`, `"parquet"`, `"csv"`, `"huggingface"`, `"webdataset"`, `"npy"`, `"cleanlab"` or
            `"fiftyone"`.
        out: the file or folder to make; it must not exist.
        data: the data set, as `unseen.data.resolve` takes it. The default is the one that the run was started with on
            the command line. Index files and `"cleanlab"` need none. Give a path to keep everything: files are linked,
            and tables keep all their columns. A data set that is already open yields only what learners see. For a run
            on vectors of `unseen.embed` it may be what they were made of.
        data_options: options of the reader of `data`, such as `label`; the default is those that the run was started
            with. Those of `unseen.data.sources.Reading` may also be given directly, as keywords.
        coreset: another coreset of the same data set (or its file), instead of the coreset of the run.
        report: called with (kind, **fields) as work goes on: `"exported"`, with `done` samples of `n`.
        **options: options of the kind: `link`; `column`; `keys`, `shards`, `shard_bytes`; and of reading.

    Returns:
        `out`.

    Raises:
        ArgumentError: there is no such kind, option or coreset, `out` exists, or the data does not fit the kind.
        RunMismatchError: the data set is not the one that was scored; the message lists what differs.
        DataError: the data set lacks samples of the coreset, or cannot be read any more.
        StorageError: `out` cannot be written.
        MissingDependencyError: an optional package is needed.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import unseen
        >>> pruned = unseen.prune("digits", keep=0.1, rule="top", learner="logistic")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.load(unseen.export(pruned, "npy", Path(folder) / "rows.npy")).shape
        (180,)
    """
    reading, options = split_reading_options(options)
    if reading:
        data_options = {**(data_options or {}), **reading}
    kind = KINDS.get(to)
    check_options(f"to={to!r}", options, kind.options)
    place = Path(out)
    refuse_existing(place)
    kind.write(make_request(source, data, data_options, coreset, report), place, **options)
    return place


def subset(coreset: Coreset, dataset: Any) -> Subset[Any]:
    """Return the kept part of a map-style data set, in its order, as a `torch.utils.data.Subset`.

    Args:
        coreset: a coreset of this data set.
        dataset: the data set, with the same samples in the same order as were scored.

    Raises:
        ArgumentError: the data set has another number of samples.
        MissingDependencyError: torch is not installed.

    >>> import numpy as np
    >>> kept = subset(Coreset(np.array([1, 2]), np.array([1, 2]), n=3), ["a", "b", "c"])
    >>> list(kept)
    ['b', 'c']
    """
    data = import_optional("torch.utils.data", "a Subset", "torch")
    if len(dataset) != coreset.n:
        raise ArgumentError(
            f"dataset must be the one that was scored, of {coreset.n:,} samples, but it has {len(dataset):,}"
        )
    kept: Subset[Any] = data.Subset(dataset, coreset.indices.tolist())
    return kept


class CoresetSampler:
    """A sampler of the rows of a coreset, in a new order each epoch, for a `DataLoader` over the whole data set.

    The order depends only on (seed, epoch, id): samples that two coresets share come in the same order in both, which
    is also their order in a pass over everything.

    Args:
        coreset: the coreset to train on.
        seed: the root seed.
        epoch: the first epoch, counted from 0; each pass is the next epoch, unless `set_epoch` changes it.

    >>> import numpy as np
    >>> sampler = CoresetSampler(Coreset(np.array([3, 5, 8]), np.array([3, 5, 8]), n=10), seed=0)
    >>> len(sampler), sorted(sampler), list(sampler) == list(sampler)
    (3, [3, 5, 8], False)
    """

    def __init__(self, coreset: Coreset, *, seed: int = 0, epoch: int = 0) -> None:
        self.coreset, self.seed, self.epoch = coreset, seed, epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass, as in distributed samplers; needed to continue an interrupted training."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.coreset)

    def __iter__(self) -> Iterator[int]:
        order = seeds.order(self.seed, self.coreset.ids, "order", self.epoch)
        self.epoch += 1
        return iter(self.coreset.indices[order].tolist())
