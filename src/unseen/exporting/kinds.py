"""The kinds of export by name: ours, and those of other packages by the entry-point group `unseen.exports`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unseen.errors import ArgumentError
from unseen.exporting import fiftyone, image_folder, index, pred_probs, tables, tars
from unseen.registry import Registry

__all__ = ["KINDS", "Kind", "check_options"]


@dataclass(frozen=True)
class Kind:
    """One way out.

    Args:
        write: called with what is asked, the place, and the options by name; writes all of it or nothing.
        summary: what it makes, in a few words.
        use: how to go on with it, in code; `{out}` is the place.

    """

    write: Callable[..., None]
    summary: str
    use: str

    @property
    def options(self) -> dict[str, Any]:
        """Its options and their defaults."""
        found = inspect.signature(self.write).parameters.values()
        return {option.name: option.default for option in found if option.kind is option.KEYWORD_ONLY}


KINDS: Registry[Kind] = Registry("kind of export", "unseen.exports")

for _name, _kind in {
    "folder": Kind(
        image_folder.to_folder,
        "the images in one folder a class: links, or copies",
        "torchvision.datasets.ImageFolder({out!r})",
    ),
    "parquet": Kind(tables.to_parquet, "the rows with all columns, in one file", "pandas.read_parquet({out!r})"),
    "huggingface": Kind(tables.to_huggingface, "a saved Hugging Face data set", "datasets.load_from_disk({out!r})"),
    "webdataset": Kind(
        tars.to_webdataset,
        "tar shards, or the keys of samples",
        "webdataset.WebDataset(sorted(glob.glob({out!r} + '/*.tar')), shardshuffle=False)",
    ),
    "npy": Kind(index.to_npy, "rows or ids, one array", "torch.utils.data.Subset(dataset, numpy.load({out!r}))"),
    "cleanlab": Kind(
        pred_probs.to_cleanlab,
        "held-out probabilities and labels of all samples",
        "cleanlab.filter.find_label_issues(numpy.load({out!r} + '/labels.npy'), "
        "numpy.load({out!r} + '/pred_probs.npy'))",
    ),
    "fiftyone": Kind(
        fiftyone.to_fiftyone,
        "fields for FiftyOne, by the paths of images",
        "for name, of in json.load(open({out!r}))['fields'].items(): "
        "dataset.set_values(name, [of[path] for path in dataset.values('filepath')])",
    ),
}.items():
    KINDS.add(_name, _kind)


def check_options(name: str, options: Mapping[str, Any]) -> Kind:
    """The kind of that name, which has these options.

    Raises:
        UnknownNameError: no such kind.
        ArgumentError: it does not have one of the options.

    """
    kind = KINDS.get(name)
    for option in options:
        if option not in kind.options:
            has = ", ".join(kind.options) or "none"
            raise ArgumentError(f"to={name!r} has no option {option!r}; its options: {has}")
    return kind
