"""`unseen embed`: vectors of images, texts or tables, for closed forms and for rules that read features."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rich.text import Text

import unseen
from unseen.cli import _options as o
from unseen.cli._console import Interrupted, err, print_json, print_lines
from unseen.core.words import size

EMBEDDING = "Embedding"

LINES = 10  # of progress, for each part


@o.subcommand("out_dir backbone labels test test_split device batch_size label image text threads quiet json")
def embed(
    *,
    data: str = o.DATA_SET,
    out_dir: Path = o.option(
        "FOLDER", "The folder to make; it appears only when it is complete.", default=o.REQUIRED, names="--out"
    ),
    reading: o.ReadingOptions,
    backbone: str = o.option(
        "NAME",
        "Without labels: patches (images), tfidf (text), columns (tables). Pretrained on other data: "
        "efficientnet_lite0 (images), wordllama (text). Options as in patches:size=5. Your own: module:function, which "
        "makes an nn.Module; or the folder of a model. auto: without labels, by the kind of data.",
        EMBEDDING,
        default="auto",
        names="--backbone --by",
    ),
    labels: Literal["unknown", "none", "these", "others"] | None = o.option(
        None, "Labels that a module, model or pretrained backbone was trained on.", EMBEDDING, shown="what is known"
    ),
    test: str | None = o.option(
        "DATA", "A test set, read as DATA is and embedded in FOLDER/test; nothing is fitted on it.", o.DATA
    ),
    test_split: str | None = o.option(
        "NAME", "Rows of the test set (of DATA, without --test) whose column 'split' has this value.", o.DATA
    ),
    device: str | None = o.option("DEVICE", "Device of a network: cpu, cuda, ...", EMBEDDING),
    batch_size: int | None = o.option("N", "Batch size of a module or model.", EMBEDDING),
    seed: int = o.SEED,
    threads: int | None = o.option("N", "Threads.", EMBEDDING, shown="all"),
    verify: Literal["cheap", "full"] = o.VERIFY,
    showing: o.DisplayOptions,
) -> None:
    """Make vectors of a data set, by features that read no label or by a pretrained backbone.

    A model that was trained on these labels has seen every sample: held-out scores from its vectors are not held out.

    Examples:
      unseen embed photos/ --out features/photos
      unseen embed photos/ --backbone efficientnet_lite0 --out features/photos
      unseen prune features/photos --learner ridge --plan leave_one_out --keep 0.7 --out runs/photos
    """
    from unseen.data import resolve
    from unseen.data.sources import resolve_like

    read = reading.arguments()
    source, asked = resolve(data, **read), None
    if test is not None or test_split is not None:
        asked = resolve_like(data if test is None else test, source, **{**read, "split": test_split})
    try:
        made = unseen.embed(
            source,
            by=backbone,
            out=out_dir,
            test=asked,
            labels=labels,
            seed=seed,
            threads=threads,
            verify=verify,
            report=EmbedProgress(quiet=showing.silent),
            **o.without_none(device=device, batch_size=batch_size),
        )
    except KeyboardInterrupt:
        raise Interrupted("nothing was kept; the same command begins again") from None
    n, width = len(made), made.sample_shape[0]
    if showing.json:
        print_json({"data": str(out_dir), "n": n, "columns": width, "embedding": made.embedding})
        return
    notes = [("note", note) for note in made.notes]
    print_lines([("embedded", f"{n:,} samples, {width:,} columns"), *notes, ("data", str(out_dir))])


class EmbedProgress:
    """Prints the work ahead and the progress, in lines."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, kind: str, **fields: Any) -> None:
        """Take one report."""
        if not self.quiet:
            (self._begun if kind == "embedding" else self._reached)(**fields)

    def _begun(self, **plan: Any) -> None:
        beside = f", {plan['test']:,} to test" if plan["test"] else ""
        lines = [("data", f"{plan['n']:,} samples{beside}"), ("vectors", f"{plan['width']:,} columns")]
        if plan["copies"]:
            lines.append(
                ("copies", f"{plan['copies']:,} are exact copies, embedded once; at most {plan['most_copies']:,} alike")
            )
        lines.append(("needs", f"{size(plan['bytes'])} on disk, about {size(plan['memory'])} of memory at work"))
        print_lines(lines, err)

    def _reached(self, *, part: str, done: int, n: int, before: int) -> None:
        if err.is_terminal:
            err.file.write(f"\r{part}: {done:,} of {n:,} " + ("\n" if done == n else ""))
            err.file.flush()
        elif LINES * done // n > LINES * before // n:
            err.print(Text(f"{part}: {done:,} of {n:,}"))
