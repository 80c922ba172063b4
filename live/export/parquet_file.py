"""Tables as Apache Parquet, through pyarrow: typed columns, compressed, for pandas, Polars, R and DuckDB.

The rule of this file: the same columns as in CSV, and null where that has an empty field.
"""

from collections.abc import Mapping

import pyarrow as pa
from pyarrow import parquet

from erc_live.live.export.exported import Export
from erc_live.live.export.tabular import ColumnType, session_tables

_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}


def write(export: Export) -> None:
    """A file for each table. Raises as `ExportFolder.path`."""
    for table in session_tables(export.view):
        rows = list(table.rows())
        schema = arrow_schema(table.columns)
        columns = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=True)]
        path = export.folder.path(f"{export.stem}.{table.name}.parquet")
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def arrow_schema(columns: Mapping[str, ColumnType]) -> pa.Schema:
    """The columns of a table, typed."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
