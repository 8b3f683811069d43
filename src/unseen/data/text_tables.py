"""Readers of text tables: CSV files with commas, semicolons or tabs, and JSON lines."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from unseen.data.base import Samples
from unseen.data.columns import refuse_twice
from unseen.data.content import stamp
from unseen.data.files import readable
from unseen.data.formats import Place
from unseen.data.frames import LoadedFormat
from unseen.data.options import ReaderOptions
from unseen.errors import DataError, some

_SEPARATORS = ",;\t"
_BLOCK = 1 << 20  # bytes that pyarrow parses at a time; a row must fit
_OTHER = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_THOUSANDS = r"^\s*[-+]?\d{1,3}([,.' ]\d{3})+([,.]\d+)?\s*$"
_PLAIN = r"^\s*[-+]?\d+([,.]\d+)?\s*$"
_REAL = re.compile(r"-?\d+\.\d+(e-?\d+)?")  # no name of a column, while whole numbers may be some
_DECIMAL_COMMA = r"^\s*[-+]?\d+,\d+\s*$"
_WORDS = {"int64": "integer", "double": "real", "string": "text", "bool": "yes/no", "null": "nothing"}


class CsvFormat(LoadedFormat):
    """A CSV file with commas, semicolons or tabs."""

    reader = "from_csv"
    about = ("path to a .csv or .tsv file", "the first row names the columns")
    options = tuple(name for name in LoadedFormat.options if name != "memory_limit")
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is a file with one of the suffixes."""
        return isinstance(source, Place) and source.is_file and source.suffix in cls.suffixes

    def __init__(self, source: Any, **given: Any) -> None:
        super().__init__(source, **given)
        path = readable(Path(source))
        table, notes = self.parse(path)
        table = _seen_from(path.absolute().parent, table, self.reading.image)
        refuse_twice(table.column_names, str(path))
        self.files = stamp(path.parent, [path.name])
        self.hold(table, str(path))
        kinds = [f"{field.name} {_WORDS.get(str(field.type), field.type)}" for field in table.schema]
        self.notes += (*notes, f"types found: {some(kinds, 20)}")

    def parse(self, path: Path) -> tuple[pa.Table, list[str]]:
        """Read the table, and notes on separators and decimal commas."""
        with path.open("rb") as opened:
            header = opened.readline()
        for mark, name in _OTHER.items():
            if header.startswith(mark):
                raise DataError(f"{path} is {name}, and must be UTF-8: iconv -f {name} -t UTF-8 {path.name} > new.csv")
        try:
            first = header.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise _not_utf8(path, "the names of columns", header) from None
        separator = max(_SEPARATORS, key=first.count)
        if numbers := [name for name in first.split(separator) if _REAL.fullmatch(name.strip())]:
            raise DataError(
                f"{path}: the first row must name the columns, but it holds numbers: {some(numbers)}; put names above"
            )
        size = max(_BLOCK, 4 * len(header))
        table = _parse_csv(path, separator, size)
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_binary(column.type):
                _check_utf8(path, name, column)
        words = {";": ["columns are separated by semicolons"], "\t": ["columns are separated by tabs"]}
        notes = words.get(separator, [])
        if separator == ";" and any(_all_match(column, _DECIMAL_COMMA, _PLAIN) for column in table.columns):
            table = _parse_csv(path, separator, size, decimal_point=",")
            notes.append("numbers have decimal commas")
        for name, column in zip(table.column_names, table.columns, strict=True):
            if _all_match(column, _THOUSANDS, _PLAIN):
                row = int(np.flatnonzero(pc.match_substring_regex(column, _THOUSANDS).fill_null(False).to_numpy())[0])
                raise DataError(
                    f"{path}: column {name!r} must hold numbers without thousands separators, but row {row} has "
                    f"{column[row].as_py()!r}; write them without"
                )
        return table, notes


class JsonLinesFormat(CsvFormat):
    """A file of JSON objects, one a line."""

    reader = "from_json_lines"
    about = ("path to a .jsonl file", "one JSON object a line")
    suffixes = (".jsonl", ".ndjson", ".json")

    def parse(self, path: Path) -> tuple[pa.Table, list[str]]:
        """Read the table."""
        with path.open("rb") as opened:
            first = opened.readline()
        if first.lstrip(codecs.BOM_UTF8).lstrip().startswith(b"["):
            raise DataError(
                f"{path} must hold one JSON object a line, but it is a list of them; "
                "pandas.read_json(path).to_json(new, orient='records', lines=True) writes it so"
            )
        size = max(_BLOCK, 4 * len(first))
        try:
            return pyarrow.json.read_json(path, read_options=pyarrow.json.ReadOptions(block_size=size)), []
        except (pa.ArrowException, OSError) as error:
            why = "it is empty" if "Empty JSON" in str(error) else " ".join(str(error).split())
            raise DataError(f"{path} cannot be read as JSON lines: {why}") from error


def from_csv(path: str | Path, **options: Unpack[ReaderOptions]) -> Samples:
    """Read a whole CSV file; the roles and types of columns are as in `from_parquet`.

    The first row names the columns. The separator is the comma, semicolon or tab, whichever is most frequent in the
    first row. With semicolons, numbers may have decimal commas. The notes list the types that were found. An entry that
    is empty, `NA`, `NaN` or `null` is missing.

    Args:
        path: the file, UTF-8 with or without a byte-order mark.
        **options: those of `from_parquet`, but `memory_limit`;
            a column of images holds their paths, seen from the folder of this file.

    Raises:
        UnknownNameError: no such column; the message has the nearest names.
        ArgumentError: no column of labels is named, and none is called `"label"`.
        DataError: rows of another number of entries, another encoding, numbers with thousands separators.
    """
    return CsvFormat(path, **options).open()


def from_json_lines(path: str | Path, **options: Unpack[ReaderOptions]) -> Samples:
    """Read a file of JSON objects, one a line; all else is as in `from_csv`."""
    return JsonLinesFormat(path, **options).open()


def _seen_from(folder: Path, table: pa.Table, image: str | None) -> pa.Table:
    """Return the table with paths of images that are relative to this folder made absolute."""
    at = table.schema.get_field_index(image) if image is not None else -1
    if at < 0 or not pa.types.is_string(table.column(at).type):
        return table
    names = [None if name is None else str(folder / name) for name in table.column(at).to_pylist()]
    return table.set_column(at, image, pa.array(names, pa.string()))


def _parse_csv(path: Path, separator: str, size: int, *, decimal_point: str = ".", ordered: bool = False) -> pa.Table:
    """Read a CSV file by pyarrow; `ordered` reads without threads, since only then row numbers are known."""
    odd: list[Any] = []

    def note(row: Any) -> str:
        odd.append(row)
        return "skip"

    csv = pyarrow.csv
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(block_size=size, use_threads=not ordered),
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                strings_can_be_null=True, quoted_strings_can_be_null=False, decimal_point=decimal_point
            ),
        )
    except (pa.ArrowException, OSError) as error:
        why = "it is empty" if "Empty CSV" in str(error) else " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as CSV: {why}") from error
    if odd and not ordered:
        return _parse_csv(path, separator, size, decimal_point=decimal_point, ordered=True)
    if odd:
        row = odd[0]
        raise DataError(
            f"{path}: every row must have {row.expected_columns} entries, as the first one, but {len(odd):,} have not: "
            f"row {row.number} of the file has {row.actual_columns}: {row.text[:60]!r}; put entries that hold "
            f"{separator!r} in quotes, or drop such rows"
        )
    return table


def _all_match(column: pa.ChunkedArray, some_: str, all_: str) -> bool:
    """Tell whether some entries of a text column match `some_`, and all other entries match `all_`."""
    if not pa.types.is_string(column.type):
        return False
    first = pc.match_substring_regex(column, some_)
    return bool(pc.any(first).as_py() and pc.all(pc.or_(first, pc.match_substring_regex(column, all_))).as_py())


def _check_utf8(path: Path, name: str, column: pa.ChunkedArray) -> None:
    for row, entry in enumerate(column.to_pylist()):
        try:
            (entry or b"").decode()
        except UnicodeDecodeError:
            raise _not_utf8(path, f"column {name!r}, row {row}", entry) from None


def _not_utf8(path: Path, where: str, entry: bytes) -> DataError:
    read = entry.decode("cp1252", "replace").strip()[:60]
    return DataError(
        f"{path} must be UTF-8, but it is not in {where}; as Windows-1252 it reads {read!r}: if that is right, "
        f"iconv -f CP1252 -t UTF-8 {path.name} > new.csv"
    )
