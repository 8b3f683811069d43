"""Readers of tables that are in memory as a whole: frames of pandas, polars and Arrow, and CSV and JSON-lines files."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from unseen.core.arrays import IdArray, IntArray, is_frame, refuse_sparse
from unseen.core.protocols import Data
from unseen.data.arrow import TEXT, decode_dictionary, is_any, without_views
from unseen.data.base import Samples
from unseen.data.columns import HEAD, PIECE_ROWS, TableFormat, refuse_twice
from unseen.data.decoding import ColumnImages, with_files
from unseen.data.files import UNPACK, check_readable, stamp
from unseen.data.formats import BESIDE, COLUMNS, IMAGE, IMAGES_IN_FILES, Place, ReaderOptions, with_features
from unseen.data.labels import is_missing, name_of, refuse_other_order
from unseen.errors import ArgumentError, DataError, some

_ARROW = (pa.Table, pa.RecordBatch)


class LoadedFormat(TableFormat):
    """A table that is in memory as a whole."""

    table: pa.Table

    def hold(self, table: pa.Table, where: str) -> None:
        """Keep a table, or the split of it that the user named; `where` is its name, for messages."""
        self.table, self.schema, self.rows = table, table.schema, np.arange(len(table))
        self.choose_split(f"a column 'split', which {where} does not have")
        if len(self.rows) < len(table):
            self.table = table.take(self.rows)

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of all rows."""
        return self.table.select(list(names))

    def images(self, name: str) -> ColumnImages:
        """Return the encoded images of a column."""
        return ColumnImages(self.table.column(name), self.folder)

    @cached_property
    def _with_ids(self) -> pa.Table | None:
        """All columns, with the ids where no column has them; None if labels are not in the table."""
        if self.label_column is None:
            return None
        ids, table = self.labelling.ids, self.table
        if self.reading.id is None and "id" not in table.column_names and not np.array_equal(ids, np.arange(len(ids))):
            table = table.append_column("id", pa.array(ids.tolist()))
        return pa.table([decode_dictionary(column) for column in table.columns], table.column_names)

    def whole(self) -> pa.Table:
        """Return all columns, with the ids where no column has them."""
        return super().whole() if self._with_ids is None else self._with_ids

    @cached_property
    def stored_schema(self) -> pa.Schema:
        """The schema of the table, or else of what learners see."""
        if self._with_ids is None:
            return super().stored_schema
        fields = [pa.field(field.name, IMAGE) if field.name == self.image else field for field in self._with_ids.schema]
        return with_features(pa.schema(fields), {})

    def stored(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows with all columns of the table, images read in; or else what learners see."""
        if self._with_ids is None:
            yield from super().stored(rows)
            return
        for start in range(0, len(rows), PIECE_ROWS):
            yield with_files(self._with_ids.take(rows[start : start + PIECE_ROWS]), self.stored_schema, self.folder)


class FrameFormat(LoadedFormat):
    """A frame of pandas or polars, or an Arrow table; or a pair of such a frame and labels."""

    reader = "from_frame"
    about = ("a frame", "of pandas or polars, or a pyarrow table; label= names the column of labels")
    options = ("y", *TableFormat.options, *BESIDE)

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it has named columns in memory."""
        return is_frame(source[0] if isinstance(source, tuple) and len(source) == 2 else source)

    def __init__(self, source: Any, **given: Any) -> None:
        self.frame, y = source if isinstance(source, tuple) else (source, given.pop("y", None))
        refuse_sparse(self.frame, "frame")
        if isinstance(y, (str, int)):
            if (label := given.get("label")) is not None:
                raise ArgumentError(f"the column of labels is named twice: y={y!r} and label={label!r}; leave one out")
            y, given["label"] = None, y
        numbers = None if isinstance(given.get("target"), str) else given.pop("target", None)
        super().__init__(source, **given)
        self.files = None
        options, outside = self.reading, y is not None or numbers is not None
        self._check_once(outside)
        for name, values in (("y", y), ("target", numbers), ("ids", options.ids), ("groups", options.groups)):
            refuse_other_order(self.frame, values, name)
        table = to_arrow(self.frame)
        self.hold(table, "the frame")
        beside = {"ids": options.ids, "groups": options.groups}
        if outside:
            beside["name"] = name_of(y, "y") if numbers is None else name_of(numbers, "target")
            y, numbers = (column_of(one) if is_frame(one) else one for one in (y, numbers))
            beside |= {"y": y, "target": numbers, "n": len(table)}
            beside["class_names"] = options.class_names
        elif options.class_names is not None:
            raise ArgumentError("class_names go with labels given as y; a column of text names its classes itself")
        if options.id is None and options.ids is None:
            beside["default_ids"], notes = _index_of(self.frame, self.rows)
            self.notes += notes
        self.beside = {name: value for name, value in beside.items() if value is not None}

    def _check_once(self, outside: bool) -> None:
        """Refuse ids, groups, labels or targets that are given both as an array and as a column."""
        options = self.reading
        for array, column in (("ids", "id"), ("groups", "group")):
            if getattr(options, array) is not None and getattr(options, column) is not None:
                raise ArgumentError(f"give {array} (an array) or {column} (a column), got both; leave one out")
        if not outside:
            return
        for column in ("label", "target"):
            if (name := getattr(options, column)) is not None:
                raise ArgumentError(f"labels are given twice, as an array and by {column}={name!r}; leave one out")
        if options.split is not None:
            raise ArgumentError(f"split={options.split!r} goes with a column of labels; name it with label=")

    def open(self) -> Samples:
        """Read the frame; estimators of scikit-learn get it with its names and types, and dates in it as days."""
        data, frame = super().open(), self.frame
        if isinstance(frame, _ARROW) or (self.days and not hasattr(frame, "iloc")):
            return data
        if data.feature_names is not None:
            places = [self.schema.names.index(name) for name in data.feature_names]
            inputs = frame.iloc[:, places] if hasattr(frame, "iloc") else frame[:, places]
            if self.days:
                inputs = inputs.copy()
                for name, days in self.days.items():
                    inputs[inputs.columns[data.feature_names.index(name)]] = days
            data.frame = inputs
            if len(self.rows) < len(frame):
                data.frame = data.as_frame(self.rows)
        return data


def from_frame(frame: Any, y: Any = None, **options: Unpack[ReaderOptions]) -> Samples:
    """Read a pandas or polars frame, or an Arrow table; the roles and types of columns are as in `from_parquet`.

    Estimators of scikit-learn get the frame itself, with its names and types; other learners get arrays.

    Args:
        frame: the frame, with the labels in one of its columns; or only the inputs, and the labels in `y`.
        y: (n,) labels: an array, a series, a frame of one column; or the name of a column.
        **options: those of `from_parquet`; and `ids` and `groups`, arrays in place of columns, and `class_names`, if
            labels are given as `y`. A target may be a column or (n,) numbers. By default, ids are the index of a pandas
            frame if it holds unique integers or text; else row numbers.

    Raises:
        UnknownNameError: no such column; the message lists the nearest names.
        ArgumentError: no column of labels is named, and none is called `"label"`.
        DataError: two columns of one name, columns that are no features, missing labels.

    >>> data = from_frame(pa.table({"age": [31, 52], "paid": ["yes", "no"]}), label="paid")
    >>> data, data.feature_names
    (ArrayData(2 samples, 2 classes, vector 1 float32), ('age',))
    """
    return FrameFormat(frame if y is None else (frame, y), **options).open()


def to_arrow(frame: Any) -> pa.Table:
    """Convert a frame to an Arrow table; the message names a column that cannot be converted."""
    if not is_frame(frame):
        raise ArgumentError(f"a frame of pandas or polars, or an Arrow table, is needed, got {type(frame).__name__}")
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    names = [str(name) for name in (frame.column_names if isinstance(frame, pa.Table) else frame.columns)]
    refuse_twice(names, "the frame")
    if not hasattr(frame, "iloc"):
        try:
            return without_views(frame if isinstance(frame, pa.Table) else pa.table(frame))
        except (pa.ArrowException, TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"the {type(frame).__name__} cannot be read as a table of Arrow: {error}") from error
    return without_views(pa.table([_of_series(frame.iloc[:, at], name) for at, name in enumerate(names)], names))


def _of_series(series: Any, name: str) -> pa.ChunkedArray | pa.Array:
    if str(series.dtype).startswith("Sparse"):
        raise DataError(f"column {name!r} is sparse, which is not supported; make it dense with .sparse.to_dense()")
    kind = getattr(getattr(series.dtype, "categories", None), "dtype", None)
    if str(kind).startswith(("interval", "period")):  # as of pandas.cut
        series = series.cat.rename_categories(series.cat.categories.astype(str))
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        kinds = [None if is_missing(entry) else type(entry) for entry in series]
        first = next((kind for kind in kinds if kind is not None), type(None))
        row = next((row for row, kind in enumerate(kinds) if kind not in (None, first)), None)
        if row is None:
            raise DataError(f"column {name!r} has entries of {first.__name__}, which is no feature; drop it") from error
        raise DataError(
            f"column {name!r} must hold entries of one type, but row {row} holds {kinds[row].__name__} "  # type: ignore[union-attr]
            f"{series.iloc[row]!r} among {first.__name__}; make it text, as in frame[{name!r}].astype(str)"
        ) from error


def column_of(frame: Any) -> Any:
    """Return labels in a frame as its only column."""
    table = to_arrow(frame)
    if table.num_columns != 1:
        raise DataError(f"y must be one column, but it has {table.num_columns}: {some(table.column_names)}; choose one")
    return frame.iloc[:, 0] if hasattr(frame, "iloc") else np.array(table.column(0).to_pylist(), dtype=object)


def _index_of(frame: Any, rows: IntArray) -> tuple[IdArray | None, tuple[str, ...]]:
    """Return the ids in the index of a pandas frame, None if there are none; and the notes on them."""
    index = getattr(frame, "index", None)
    if index is None or type(index).__name__ == "RangeIndex" or not hasattr(frame, "iloc"):
        return None, ()
    values: npt.NDArray[Any] = np.array(index.tolist(), dtype=object)[rows] if index.nlevels == 1 else np.array([])
    kinds = {type(value) for value in values.tolist()}
    if kinds in ({int}, {str}) and len(set(values.tolist())) == len(values):
        return np.array(values.tolist()), ("ids are the index of the frame",)
    return None, ("ids are row numbers, as the index of the frame is not of unique integers or text",)


# ---- text tables -----------------------------------------------------------------------------------------------------

_SEPARATORS = ",;\t|"
_BLOCK = 1 << 20  # bytes that pyarrow parses at a time; a row must fit
_OTHER = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_THOUSANDS = r"^\s*[-+]?\d{1,3}([,.' ]\d{3})+([,.]\d+)?\s*$"
_PLAIN = r"^\s*[-+]?\d+([,.]\d+)?\s*$"
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")  # names no column where two entries of the first row are equal
_REAL = re.compile(r"-?\d+\.\d+(e-?\d+)?")  # names no column; a whole number may
_ZEROS, _LONG = r"^[-+]?0\d+$", r"^[-+]?\d{16,}$"  # a number loses the zeros, a real number the last digits
_DECIMAL_COMMA = r"^\s*[-+]?\d+,\d+\s*$"
_FEW_SIGNS = 60  # of a line, in a message
_PACKINGS = ("", ".gz", ".bz2", ".zst")  # which pyarrow unpacks while it reads
_WORDS = {"int64": "integer", "double": "real", "string": "text", "bool": "yes/no", "null": "nothing"}


class CsvFormat(LoadedFormat):
    """A CSV file with commas, semicolons, tabs or vertical bars; it may be packed, as data.csv.gz."""

    reader = "from_csv"
    about = ("path to a .csv or .tsv file", "the first row names the columns; packed too, as .csv.gz")
    options = (*COLUMNS, *IMAGES_IN_FILES)
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")
    _layout: tuple[str, int] | None = None  # the separator, and the bytes parsed at a time

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is a file with one of the suffixes."""
        endings = tuple(suffix + packing for suffix in cls.suffixes for packing in _PACKINGS)
        return isinstance(source, Place) and source.is_file and str(source.given).lower().endswith(endings)

    def __init__(self, source: Any, **given: Any) -> None:
        super().__init__(source, **given)
        path = check_readable(Path(source))
        table, notes = self.parse(path)
        self.folder = path.absolute().parent
        self.files = stamp(path.parent, [path.name])
        self.hold(table, str(path))
        kinds: dict[str, list[str]] = {}
        for field in table.schema:
            kinds.setdefault(_WORDS.get(str(field.type), str(field.type)), []).append(field.name)
        found = ", ".join(f"{kind} ({some(of_kind, 10)})" for kind, of_kind in kinds.items())
        self.notes += (*notes, f"types found: {found}")

    def open(self) -> Samples:
        """Open the data set. Columns that are text in the training set are text in the test set, too."""
        others = {one.name for one in self.schema if not is_any(one.type, TEXT)}
        texts = sorted(_find_text_columns(self.like) & others)
        if texts and self._layout is not None:
            separator, size = self._layout
            table = _parse_csv(Path(self.source), separator, size, as_text=texts).take(self.rows)
            for name in texts:
                self.table = self.table.set_column(self.schema.get_field_index(name), name, table.column(name))
            self.schema = self.table.schema
        return super().open()

    def parse(self, path: Path) -> tuple[pa.Table, list[str]]:
        """Read the table, and notes on separators and decimal commas."""
        header = _first_line(path)
        for mark, name in _OTHER.items():
            if header.startswith(mark):
                raise DataError(f"{path} is {name}, and must be UTF-8: iconv -f {name} -t UTF-8 {path.name} > new.csv")
        try:
            first = header.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise _not_utf8(path, "the names of columns", header) from None
        separator = _separator_in(first)
        _check_first_row(path, first, separator)
        size = max(_BLOCK, 4 * len(header))
        self._layout = separator, size
        table = _parse_csv(path, separator, size)
        refuse_twice(
            table.column_names, str(path), "rename one, or put a line of names first where the file begins with data"
        )
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_binary(column.type):
                _check_utf8(path, name, column)
        words = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
        notes = [f"columns are separated by {words[separator]}"] if separator in words else []
        if separator == ";" and _has_decimal_commas(table):
            table = _parse_csv(path, separator, size, decimal_point=",")
            notes.append("numbers have decimal commas")
        for name, column in zip(table.column_names, table.columns, strict=True):
            if _all_match(column, _THOUSANDS, _PLAIN):
                row = int(np.flatnonzero(pc.match_substring_regex(column, _THOUSANDS).fill_null(False).to_numpy())[0])
                raise DataError(
                    f"{path}: column {name!r} must hold numbers without thousands separators, but row {row} has "
                    f"{column[row].as_py()!r}; write them without"
                )
        table, lost = self._keep_zeros(table, partial(_parse_csv, path, separator, size))
        return table, notes + lost

    def _keep_zeros(self, table: pa.Table, parse: Callable[..., pa.Table]) -> tuple[pa.Table, list[str]]:
        """Read labels, ids and groups as text if numbers would lose digits, as `01` does; note features that lose them.

        `parse` reads columns as text, which costs a second pass over the file.
        """
        features = set[str]()
        with pa.input_stream(Path(self.source)) as opened:
            begins = re.search(rb'(^|[,;\t|\r])"?[-+]?0\d+"?([,;\t|\r\n]|$)', opened.read(_BLOCK), re.MULTILINE)
        if begins and self.reading.text is None and self.reading.image is None:
            features = set(self.reading.wanted) or set(table.column_names) - self.not_inputs
        whole = {field.name for field in table.schema if pa.types.is_integer(field.type)}
        real = {field.name for field in table.schema if pa.types.is_floating(field.type)}
        lossy = (whole & features) | ((whole | real) & set(self.kept_as_text))
        suspects = [name for name in table.column_names if name in lossy]
        texts = parse(as_text=suspects) if suspects else table
        notes = []
        for name in suspects:
            column = texts.column(name)
            if name in self.kept_as_text:
                if _all_match(column, _ZEROS if name in whole else f"{_ZEROS}|{_LONG}", r"^[-+]?\d+$"):
                    table = table.set_column(table.schema.get_field_index(name), name, column)
            elif pc.any(pc.match_substring_regex(column, _ZEROS)).as_py():
                notes.append(
                    f"column {name!r} is written with zeros in front, but read as a number; "
                    f"pandas.read_csv(..., dtype={{{name!r}: str}}) makes a frame that keeps them as text"
                )
        return table, notes

    def copy_rows(self, rows: IntArray, out: BinaryIO) -> bool:
        """Write the first line of the file and these rows, ascending, as they are written there.

        What was written is read again and compared. Return False, with nothing written, where it is not these rows, or
        where relative paths of images would not hold in the new place.
        """
        stored = self._with_ids  # with a column of ids where the file has none
        own = stored is not None and stored.column_names == self.table.column_names
        if self._layout is None or self.reading.image is not None or not own:
            return False
        path, rows = Path(self.source), self.rows[rows]
        wanted = set(rows.tolist())
        # Latin-1 keeps every byte, and lines may end in a carriage return alone.
        with io.TextIOWrapper(io.BufferedReader(pa.input_stream(path)), "latin-1", newline="") as opened:
            for row, record in enumerate(_records(opened, self._layout[0]), start=-1):
                if row == -1 or row in wanted:
                    out.write(record.encode("latin-1"))
        out.flush()
        written, whole = (
            _parse_csv(place, *self._layout, as_text=self.table.column_names) for place in (Path(out.name), path)
        )
        if written.equals(whole.take(rows)):
            return True
        out.seek(0)
        out.truncate()
        return False


class JsonLinesFormat(CsvFormat):
    """A file of JSON objects, one a line."""

    reader = "from_json_lines"
    about = ("path to a .jsonl file", "one JSON object a line")
    suffixes = (".jsonl", ".ndjson", ".json")

    def parse(self, path: Path) -> tuple[pa.Table, list[str]]:
        """Read the table."""
        first = _first_line(path)
        if first.lstrip(codecs.BOM_UTF8).lstrip().startswith(b"["):
            raise DataError(
                f"{path} must hold one JSON object a line, but it is a list of them; "
                "pandas.read_json(path).to_json(new, orient='records', lines=True) writes it so"
            )
        size = max(_BLOCK, 4 * len(first))
        try:
            return pyarrow.json.read_json(
                path, read_options=pyarrow.json.ReadOptions(block_size=size, use_threads=False)
            ), []
        except (pa.ArrowException, OSError) as error:
            why = "it is empty" if "Empty JSON" in str(error) else " ".join(str(error).split())
            raise DataError(f"{path} cannot be read as JSON lines: {why}") from error


def from_csv(path: str | Path, **options: Unpack[ReaderOptions]) -> Samples:
    """Read a whole CSV file; the roles and types of columns are as in `from_parquet`.

    The first row names the columns. The separator is the comma, semicolon, tab or vertical bar, whichever is most
    frequent in the first row. With semicolons, numbers may have decimal commas. The notes list the types that were
    found. An entry that is empty, `NA`, `NaN` or `null` is missing.

    Args:
        path: the file, UTF-8 with or without a byte-order mark; it may be packed as `.gz`, `.bz2` or `.zst`.
        **options: those of `from_parquet` but `memory_limit`. A column of images holds their paths, relative to the
            folder of this file.

    Raises:
        UnknownNameError: no such column; the message has the nearest names.
        ArgumentError: no column of labels is named, and none is called `"label"`.
        DataError: rows of another number of entries, another encoding, numbers with thousands separators.
    """
    return CsvFormat(path, **options).open()


def from_json_lines(path: str | Path, **options: Unpack[ReaderOptions]) -> Samples:
    """Read a file of JSON objects, one a line; all else is as in `from_csv`."""
    return JsonLinesFormat(path, **options).open()


def _find_text_columns(data: Data | None) -> set[str]:
    """Return the columns of a table that hold text, by its first rows."""
    if data is None or data.kind != "table" or data.feature_names is None:
        return set()
    rows = data.take(np.arange(min(len(data), HEAD)))
    columns = zip(data.feature_names, rows.T, strict=True)
    return {name for name, column in columns if any(isinstance(entry, str) for entry in column)}


def layout_of(path: Path) -> tuple[str, str]:
    """Return the separator and the decimal point of a CSV file."""
    header = _first_line(path)
    separator = _separator_in(header.decode("utf-8-sig"))
    commas = separator == ";" and _has_decimal_commas(_parse_csv(path, separator, max(_BLOCK, 4 * len(header))))
    return separator, "," if commas else "."


def _separator_in(header: str) -> str:
    return max(_SEPARATORS, key=header.count)


def _check_first_row(path: Path, first: str, separator: str) -> None:
    """Refuse a first row that does not name the columns."""
    if re.fullmatch(r'"?sep=.?"?\s*', first, re.IGNORECASE):
        raise DataError(f"{path}: its first line, {first.strip()!r}, is for Excel alone; delete it")
    names = [name for name in (name.strip().strip('"') for name in first.split(separator)) if name]
    twice = len(set(names)) < len(names)
    if any(_REAL.fullmatch(name) or (twice and _NUMBER.fullmatch(name)) for name in names):
        reads = first.strip() if len(first) <= _FEW_SIGNS else f"{first[:_FEW_SIGNS].strip()}..."
        raise DataError(
            f"{path}: the first row must name the columns, but it reads {reads!r}; add a line of names above it"
        )


def _has_decimal_commas(table: pa.Table) -> bool:
    return any(_all_match(column, _DECIMAL_COMMA, _PLAIN) for column in table.columns)


def _records(lines: Iterable[str], separator: str) -> Iterator[str]:
    """Yield the rows of a CSV file with their line ends; a row ends where a line ends outside of quotes.

    Quotes begin an entry; within one, as in `5" pipe`, they are signs like others.
    """
    begins = rf'(^|{re.escape(separator)})"'
    quoted = re.compile(rf'{begins}([^"]|"")*"')
    record = ""
    for line in lines:
        record += line
        if '"' not in record or not re.search(begins, quoted.sub(r"\1", record)):
            if record.strip("\r\n"):  # blank lines are no rows
                yield record if record.endswith(("\r", "\n")) else record + "\n"
            record = ""
    if record:
        yield record


def _first_line(path: Path) -> bytes:
    try:
        with io.BufferedReader(pa.input_stream(path)) as opened:  # unpacks
            return opened.readline().split(b"\r")[0]  # lines may end in a carriage return alone
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _parse_csv(
    path: Path,
    separator: str,
    size: int,
    *,
    decimal_point: str = ".",
    as_text: Sequence[str] = (),
) -> pa.Table:
    """Read all columns of a CSV file, or those of `as_text` as text."""
    odd: list[Any] = []

    def note(row: Any) -> str:
        odd.append(row)
        return "skip"

    csv = pyarrow.csv
    try:
        table = csv.read_csv(
            path,
            # One thread numbers the rows, and leaves no thread that aborts a program which ends soon.
            read_options=csv.ReadOptions(block_size=size, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                decimal_point=decimal_point,
                include_columns=as_text,
                column_types=dict.fromkeys(as_text, pa.string()),
            ),
        )
    except (pa.ArrowException, OSError) as error:
        why = "it is empty" if "Empty CSV" in str(error) else " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as CSV: {why}") from error
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
    if (unpack := UNPACK.get(path.suffix.lower())) is not None:
        return DataError(f"{path} is packed in a way that is not read: {unpack} {path.name}")
    read = entry.decode("cp1252", "replace").strip()[:60]
    return DataError(
        f"{path} must be UTF-8, but it is not in {where}; as Windows-1252 it reads {read!r}: if that is right, "
        f"iconv -f CP1252 -t UTF-8 {path.name} > new.csv"
    )
