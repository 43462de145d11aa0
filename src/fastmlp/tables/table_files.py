"""Reader for tables in CSV files, and names of their columns.

It needs pandas (the extra `table`), which is imported only when a table is read.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import install_command
from .numbers_as_text import mark_of_thousands

if TYPE_CHECKING:
    import pandas as pd

CSV_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
# Texts that stand for a missing cell: those of pandas.read_csv, and "?".
MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "?", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
PIECE_CELLS = 250_000  # of a piece of a table
CHARACTERS_TRIED = 200_000  # first ones of a CSV file, whose rows decide about its marks
MOST_LINE = 10_000_000  # bytes of a line of a gzipped file: it may be a thousand times as long as what is on disk
QUOTED = re.compile(r'"(?:[^"]|"")*"')


def import_pandas() -> Any:
    """Return the module pandas, or raise an ImportError that says how to install it."""
    try:
        import pandas
    except ImportError:
        raise ImportError(f"Tables need pandas, which is not installed: {install_command('table')}.") from None
    return pandas


def check_ending(path: Path) -> str:
    """Return the name of a table file in lower case. Raises ValueError if its ending is not one of a table."""
    name, endings = path.name.lower(), CSV_ENDINGS + PARQUET_ENDINGS
    if not name.endswith(endings):
        raise ValueError(f"A table should be a file ending in {', '.join(endings)}, but it is {str(path)!r}.")
    return name


def with_text_names(table: pd.DataFrame, noun: str = "The table") -> pd.DataFrame:
    """Return the table with text as column names.

    noun : what error messages call the table

    Raises
    ------
    ValueError
        If column names have several levels, or two columns have the same name.
    """
    if table.columns.nlevels > 1:
        raise ValueError(
            f"{noun} has column names of {table.columns.nlevels} levels, such as {table.columns[0]!r}, but each column "
            "needs one name; join the levels: table.columns = ['_'.join(map(str, name)) for name in table.columns]."
        )
    check_names(list(map(str, table.columns)), noun)
    return table if set(map(type, table.columns)) == {str} else table.rename(columns=str)  # np.str_ has another repr


def with_columns(table: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a copy of a table with other cells in some columns: assign, which takes any name but "self"."""
    table = table.copy(deep=False)
    for name, cells in columns.items():
        table[name] = cells
    return table


def check_names(names: Sequence[str], noun: str, may_be_blank: bool = False) -> None:
    """Raise ValueError if two columns have the same name: only the user can tell whether they mean the same thing.

    may_be_blank : whether several columns may have no name, as in a CSV file, where pandas names them
    """
    first_position: dict[str, int] = {}
    for k, name in enumerate(names, start=1):
        if name in first_position and (name or not may_be_blank):
            raise ValueError(
                f"{noun} has two columns named {name!r}, columns {first_position[name]} and {k} of {len(names)}; "
                "rename or drop one of them."
            )
        first_position[name] = k


def read_csv(path: Path, text_columns: Iterable[str], unchanged: Iterable[str]) -> pd.DataFrame:
    """Return the table in a CSV file; arguments and errors are those of read_table (streams/table_sources.py)."""
    pandas = import_pandas()
    options = _csv_options(path, text_columns, unchanged)
    with _csv_errors(pandas, path), _csv_content(path) as content:
        # otherwise a column may be text in one part of the file and numbers in another
        return pandas.read_csv(content, **options, low_memory=False)


def csv_pieces(path: Path, text_columns: Iterable[str], unchanged: Iterable[str] = ()) -> Iterator[pd.DataFrame]:
    """Yield a CSV file in pieces. Unlike for read_table, cells of a column may have other types in another piece.

    text_columns, unchanged : columns that stay text in all pieces, as of read_table
    """
    pandas = import_pandas()
    options = _csv_options(path, text_columns, unchanged)
    rows = max(1, PIECE_CELLS // max(1, len(csv_format(path)[2])))
    with _csv_content(path) as content:
        with _csv_errors(pandas, path):
            pieces = pandas.read_csv(content, **options, chunksize=rows, low_memory=False)
        with pieces:
            while True:
                with _csv_errors(pandas, path):  # not around the yield: the caller may go on to anything else
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece


def mixed_columns(path: Path, is_training: bool = False) -> tuple[str, ...]:
    """Return the columns of a CSV file that read_table would read as text, by the types in all of its pieces."""
    kinds: dict[str, set[str]] = {name: {"O"} for name in (columns_with_thousands(path) if is_training else ())}
    for piece in csv_pieces(path, ()):
        for name, dtype in piece.dtypes.items():
            kind = "f" if dtype.kind in "iu" else dtype.kind
            if kind != "f" or piece[name].notna().any():  # a column without a cell is read as numbers
                kinds.setdefault(str(name), set()).add(kind)
    return tuple(name for name, kinds_of_cells in kinds.items() if kinds_of_cells not in ({"f"}, {"b"}))


def columns_with_thousands(path: Path) -> tuple[str, ...]:
    """Return the columns of a CSV file with semicolons whose marks may separate thousands, by its first rows."""
    separator, _, names, rows = csv_format(path)
    if separator != ";":
        return ()
    cells = [row for row in csv.reader(rows, delimiter=separator) if len(row) == len(names)]
    return tuple(name for name, texts in zip(names, zip(*cells, strict=True), strict=False) if mark_of_thousands(texts))


def _csv_options(path: Path, text_columns: Iterable[str], unchanged: Iterable[str]) -> dict[str, Any]:
    """Return the arguments of pandas.read_csv for a file."""
    unchanged = tuple(unchanged)
    separator, decimal, names, _ = csv_format(path)
    # pandas would rename the second of two equal names
    check_names(names, f"The table {str(path)!r}", may_be_blank=True)
    return {
        "sep": separator,
        "decimal": decimal,
        "index_col": False,
        "dtype": dict.fromkeys((*text_columns, *unchanged), str),
        # by column: in those that are not named, no text stands for a missing cell
        "na_values": dict.fromkeys((name for name in names if name not in unchanged), MISSING),
        "keep_default_na": False,
        "skipinitialspace": True,
    }


class _GuardedLines(gzip.GzipFile):
    """Gzipped file whose lines are no longer than MOST_LINE; a longer one is a ValueError."""

    _length = 0  # of the present line

    def read1(self, size: int = -1) -> bytes:
        data = super().read1(size)
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))  # pandas takes either as the end of a line
        self._length = len(data) - end - 1 if end >= 0 else self._length + len(data)
        if self._length > MOST_LINE:
            raise ValueError(f"one of its lines has more than {MOST_LINE:,} bytes, so it is no table")
        return data


def _csv_content(path: Path) -> BinaryIO | gzip.GzipFile:
    """Return a CSV file, opened to read its content."""
    return _GuardedLines(path) if path.name.lower().endswith(".gz") else open(path, "rb")


@contextmanager
def _csv_errors(pandas: Any, path: Path) -> Iterator[None]:
    """Raise what is wrong with a CSV file that pandas reads as ValueError with a sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # rows longer than the header would be cut
            yield
    except pandas.errors.ParserWarning:
        raise ValueError(
            f"The rows of {str(path)!r} have more cells than its header has names; name every column in the header."
        ) from None
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise _unreadable_csv(path, error) from None


def _unreadable_csv(path: Path, error: Exception) -> ValueError:
    if isinstance(error, UnicodeDecodeError):
        encoding = "utf-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        return ValueError(
            f"{str(path)!r} should be a CSV file in UTF-8, but {error}; save it as UTF-8, or pass the table that "
            f"pandas.read_csv returns, perhaps with encoding={encoding!r}."
        )
    reason = " ".join(str(error).split())
    return ValueError(
        f"{str(path)!r} should be a CSV file, a header line and then rows with as many cells, but could not be "
        f"read as one: {reason}"
    )


def csv_format(path: Path) -> tuple[str, str, list[str], list[str]]:
    """Return (separator, decimal mark, column names, first rows as text) of a CSV file; no names for an empty one.

    The separator is the most frequent of comma, semicolon and tab in the header outside quotation marks, with the comma
    on a tie. The decimal mark is a comma if semicolons separate and more numbers in the first rows have a comma than a
    point.

    Raises
    ------
    ValueError
        If the file cannot be read as CSV.
    """
    try:
        with io.TextIOWrapper(_csv_content(path), encoding="utf-8-sig", newline="") as file:
            lines = file.readlines(CHARACTERS_TRIED)
        header, *rows = [line for line in lines if line.strip()] or [""]
        separator = max(",;\t", key=QUOTED.sub("", header).count)
        names = next(csv.reader([header, *rows], delimiter=separator, skipinitialspace=True), [])
    except (OSError, EOFError, zlib.error, csv.Error, ValueError) as error:
        raise _unreadable_csv(path, error) from None
    if separator != ";":
        return separator, ".", names, rows
    cells = [cell.strip(' \r\n"') for row in rows for cell in row.split(separator)]
    commas, points = (sum(re.fullmatch(rf"[-+]?\d+\{mark}\d+", cell) is not None for cell in cells) for mark in ",.")
    return separator, "," if commas > points else ".", names, rows
