"""The verb `export`: write a coreset in a form that other tools read; and the kinds of export by name.

Other packages add kinds by the entry-point group `unseen.exports`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.core.registry import Registry
from unseen.data.sources import without_reading
from unseen.errors import ArgumentError
from unseen.exporting import images, tables
from unseen.exporting.files import refuse_existing
from unseen.exporting.request import Report, make_request


@dataclass(frozen=True)
class Kind:
    """One kind of export.

    Args:
        write: called with the request, the place, and the options by name; writes everything or nothing.
        summary: what it writes, in a few words.
        use: code that reads the result; `{out}` is the place.
    """

    write: Callable[..., None]
    summary: str
    use: str

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


def check_options(name: str, options: Mapping[str, Any]) -> Kind:
    """Return the kind of that name, and refuse options that it does not have.

    Raises:
        UnknownNameError: there is no such kind.
        ArgumentError: the kind has no such option.
    """
    kind = KINDS.get(name)
    for option in options:
        if option not in kind.options:
            has = ", ".join(kind.options) or "none"
            raise ArgumentError(f"to={name!r} has no option {option!r}; its options: {has}")
    return kind


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
        to: the kind: `"folder"`, `"parquet"`, `"huggingface"`, `"webdataset"`, `"npy"`,
            `"cleanlab"` or `"fiftyone"`.
        out: the file or folder to make; it must not exist.
        data: the data set, as `unseen.data.resolve` takes it. The default is the one that the run was started with on
            the command line. Index files and `"cleanlab"` need none. A path exports most: files are linked, and tables
            keep all their columns. From a data set that is open already, only what learners see can be exported.
        data_options: options of the reader of `data`, such as `label`; the default is those that the run was started
            with. Those of `unseen.data.sources.Reading` may also be given by themselves, as to other verbs.
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
    reading, options = without_reading(options)
    if reading:
        data_options = {**(data_options or {}), **reading}
    kind = check_options(to, options)
    place = Path(out)
    refuse_existing(place)
    kind.write(make_request(source, data, data_options, coreset, report), place, **options)
    return place
