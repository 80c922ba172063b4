"""Tables with a header (csv), read row by row; what is wrong with one is said with its line."""

import csv
from collections.abc import Iterator, Sequence
from math import isfinite, nan
from pathlib import Path

from erc_live.models.errors import CorpusError

Row = dict[str, str]


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Read the rows of `path`, each with the number of the line it ends on.

    Raises:
        CorpusError: the file cannot be read, is not UTF-8, or lacks one of `columns` in its header or in a row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [column for column in columns if column not in (table.fieldnames or ())]
            if missing:
                raise CorpusError(f"{path}: no column {', '.join(missing)} in its first line")
            for row in table:
                if any(row[column] is None for column in columns):
                    raise CorpusError(f"{path}: line {table.line_num}: fewer values than the first line has columns")
                yield table.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as a table in UTF-8: {error}") from error


def whole(path: Path, line: int, row: Row, column: str) -> int:
    """The whole number in a column of a row.

    Raises:
        CorpusError: there is something else.
    """
    try:
        return int(row[column])
    except ValueError as error:
        raise CorpusError(f"{path}: line {line}: {column} is {row[column]!r}, not a whole number") from error


def measured(path: Path, line: int, row: Row, column: str) -> float:
    """The measured number in a column of a row: NaN where there is none, or one that is not finite.

    Raises:
        CorpusError: there is something else.
    """
    try:
        value = float(row[column] or nan)
    except ValueError as error:
        raise CorpusError(f"{path}: line {line}: {column} is {row[column]!r}, not a number") from error
    return value if isfinite(value) else nan
