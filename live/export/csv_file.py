"""Tables as CSV (RFC 4180), UTF-8: whatever is in a text, a field holds it.

The rule of this file: values are as they are. A spreadsheet takes a field that begins with `=`, `+`, `-` or `@` for a
formula: import the columns of words and names as text.
"""

import csv

from erc_live.live.export.exported import Export
from erc_live.live.export.tabular import Value, session_tables


def write(export: Export) -> None:
    """A file for each table. Raises as `ExportFolder.path`."""
    for table in session_tables(export.view):
        path = export.folder.path(f"{export.stem}.{table.name}.csv")
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(table.columns)
            writer.writerows([_field(value) for value in row] for row in table.rows())


def _field(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else value
