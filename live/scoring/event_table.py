"""The events of many recordings as one Parquet table: the columns of an exported session, and `recording` before them.

One row for each utterance, as the last event about it says. The rule of this file: the table is made of the files of
events and of nothing else, and is there whole or not at all.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from erc_live.live.export.tabular import ColumnType, Value, session_tables, utterance_columns
from erc_live.streams import codec
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.journal import commit_part, open_private, part_of
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import Gap
from erc_live.streams.session import Manifest, RecordedSession, new_manifest

TABLE = "events.parquet"
_ROWS = 20_000  # of a group, which is in memory at once


def write_table(path: Path, recordings: Sequence[tuple[str, Path]], labels: Sequence[str]) -> int:
    """Write the table; how many rows it has.

    Args:
        path: of the table.
        recordings: name, and file of events.
        labels: of the model, which has estimated all of them.

    Raises OSError.
    """
    import pyarrow as pa
    from pyarrow import parquet

    from erc_live.live.export.parquet_file import arrow_schema

    columns: dict[str, ColumnType] = {"recording": "string", **utterance_columns(labels)}
    schema, rows = arrow_schema(columns), 0
    part = part_of(path)
    part.unlink(missing_ok=True)
    try:
        with open(part, "xb", opener=open_private) as file:
            with parquet.ParquetWriter(file, schema) as writer:
                for group in _groups(_rows(recordings)):
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    rows += len(group)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    commit_part(path)
    return rows


def _groups(rows: Iterable[dict[str, Value]]) -> Iterator[list[dict[str, Value]]]:
    group: list[dict[str, Value]] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS:
            yield group
            group = []
    if group:
        yield group


def _rows(recordings: Sequence[tuple[str, Path]]) -> Iterator[dict[str, Value]]:
    manifest = new_manifest("", 0, 0, (), {})
    for name, path in recordings:
        table, *_ = session_tables(conversation_view(_session(path, manifest)))
        for row in table.rows():
            # A medium does not say when it was recorded.
            yield {"recording": name, **dict(zip(table.columns, row, strict=True)), "start_time": None}


def _session(path: Path, manifest: Manifest) -> RecordedSession:
    """The events of a file as if they came from a bundle."""
    with path.open("rb") as file:
        messages = [message for message in map(codec.from_json, file) if isinstance(message, PublicMessage)]
    gaps = tuple(message for message in messages if isinstance(message, Gap))
    events = tuple(message for message in messages if not isinstance(message, Gap))
    return RecordedSession(path, manifest, (), (), gaps, events, ())
