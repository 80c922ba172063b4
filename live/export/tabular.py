"""A session as three tables: utterances, words, and moments (marks, names, labels by people, alerts, gaps).

The rule of this file: a column means one thing, in every format of tables. Times are seconds from the start of the
session (`_s`), nanoseconds on its clock (`_ns`), or wall time in UTC (`_time`); what is unknown is empty.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from erc_live.streams.annotations import Annotation
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView

Value = str | int | float | bool | None
ColumnType = Literal["string", "int64", "float64", "bool"]


@dataclass(frozen=True)
class ExportTable:
    """`columns`: name -> type, in order; a row has a value for each."""

    name: str
    columns: dict[str, ColumnType]
    rows: Callable[[], Iterator[tuple[Value, ...]]]


def session_tables(view: ConversationView) -> tuple[ExportTable, ...]:
    """All that is known of a session, as tables."""
    return (
        ExportTable(
            "utterances", utterance_columns(view.estimated_labels), lambda: map(_utterance_row(view), view.utterances)
        ),
        ExportTable("words", _WORDS, lambda: _word_rows(view)),
        ExportTable("moments", _MOMENTS, lambda: iter(_moment_rows(view))),
    )


_UTTERANCES: dict[str, ColumnType] = {
    "dialogue": "string",
    "index": "int64",
    "utterance": "string",
    "speaker": "int64",
    "speaker_name": "string",
    "source": "string",
    "start_s": "float64",
    "end_s": "float64",
    "start_time": "string",
    "text": "string",
    "label": "string",
    "confidence": "float64",
    "certain": "bool",
    "label_annotated": "string",
    "annotated_by": "string",
    "shift": "bool",
    "entropy": "float64",
    "valence": "float64",
    "arousal": "float64",
    "modalities": "string",
    "speaker_confidence": "float64",
    "text_confidence": "float64",
    "face_coverage": "float64",
    "words_skipped": "bool",
    "engine": "string",
    "model": "string",
    "t_start_ns": "int64",
    "t_end_ns": "int64",
    "t_published_ns": "int64",
}
_WORDS: dict[str, ColumnType] = {
    "utterance": "string",
    "speaker_name": "string",
    "start_s": "float64",
    "end_s": "float64",
    "word": "string",
    "confidence": "float64",
}
_MOMENTS: dict[str, ColumnType] = {
    "kind": "string",
    "start_s": "float64",
    "end_s": "float64",
    "source": "string",
    "speaker": "int64",
    "utterance": "string",
    "label": "string",
    "text": "string",
    "author": "string",
    "made_time": "string",
}


def utterance_columns(labels: Sequence[str]) -> dict[str, ColumnType]:
    """Those of the table of utterances, where a model has estimated these labels."""
    return {**_UTTERANCES, **{f"p_{label}": "float64" for label in labels}}


def _utterance_row(view: ConversationView) -> Callable[[AnnotatedUtterance], tuple[Value, ...]]:
    estimated = view.estimated_labels

    def row(utterance: AnnotatedUtterance) -> tuple[Value, ...]:
        event = utterance.event
        return (
            event.dialogue,
            event.index,
            event.utterance,
            event.speaker,
            utterance.speaker_name,
            event.source,
            relative_s(view, event.t_start_ns),
            relative_s(view, event.t_end_ns),
            time_text(view.wall_ns(event.t_start_ns)),
            event.text,
            event.label,
            event.probs.get(event.label),
            event.certain,
            utterance.label_annotated,
            "; ".join(utterance.authors) or None,
            event.shift,
            event.entropy,
            event.valence,
            event.arousal,
            " ".join(event.modalities),
            event.speaker_confidence,
            event.text_confidence,
            event.face_coverage,
            event.skipped,
            event.engine.name,
            event.model,
            event.t_start_ns,
            event.t_end_ns,
            event.t_published_ns,
            *(event.probs.get(label) for label in estimated),
        )

    return row


def _word_rows(view: ConversationView) -> Iterator[tuple[Value, ...]]:
    for each in view.utterances:
        for word in each.event.words:
            times = relative_s(view, word.t_start_ns), relative_s(view, word.t_end_ns)
            yield each.event.utterance, each.speaker_name, *times, word.text, word.confidence


def _moment_rows(view: ConversationView) -> list[tuple[Value, ...]]:
    rows = [_annotation_row(view, each) for each in (*view.names, *view.marks)]
    rows += [_annotation_row(view, each) for spoken in view.utterances for each in spoken.annotations]
    for alert in view.alerts:
        at_s, kind = relative_s(view, alert.t_ns), "alert" if alert.on else "alert over"
        rows.append((kind, at_s, at_s, None, alert.speaker, None, None, alert.text, alert.rule, None))
    for gap in view.gaps:
        start_s, end_s = relative_s(view, gap.t_start_ns), relative_s(view, gap.t_end_ns)
        rows.append(("gap", start_s, end_s, gap.source, None, None, None, gap.cause, None, None))
    return sorted(rows, key=lambda row: (row[1], row[2], row[0]))


def _annotation_row(view: ConversationView, each: Annotation) -> tuple[Value, ...]:
    at_s, made = relative_s(view, each.t_ns), time_text(each.wall_ns)
    return each.kind, at_s, at_s, None, each.speaker, each.utterance, each.label, each.text, each.author, made


def relative_s(view: ConversationView, t_ns: int) -> float:
    """Seconds from the start of the session."""
    return (t_ns - view.start_ns) / 1e9


def time_text(wall_ns: int) -> str | None:
    """Unix time as ISO 8601 in UTC, to the microsecond; None beyond the years that a date can have."""
    try:
        return datetime.fromtimestamp(wall_ns // 1_000 / 1e6, UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        return None
