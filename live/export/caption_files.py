"""Captions: WebVTT (W3C Candidate Recommendation, 2019) and SubRip, for players of the sound or a film of the session.

The label stands in brackets before the words, what people take it for behind it: `[joy; annotated: anger (Ann)]`.
The rule of this file: a cue is one line, so no word ends it, and WebVTT's marks are escaped; SubRip has no escapes.
"""

from html import escape

from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import (
    UniqueNames,
    annotated_text,
    label_text,
    one_line,
    seconds,
    span_ms,
)
from erc_live.live.export.tiers import speaker_names
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView

_NOTE = "NOTE Labels in brackets are estimated expressed emotion; what people annotated is named as theirs."


def write_vtt(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    view = export.view
    names = speaker_names(view, UniqueNames())
    blocks = ["WEBVTT", _NOTE]
    for mark in view.marks:
        at = seconds(mark.t_ns - view.start_ns)
        blocks.append(f"NOTE mark at {at} s by {_note(mark.author)}: {_note(mark.text)}".rstrip())
    for number, each in enumerate(view.utterances, 1):
        start, end = _times(view, each, ".")
        words = escape(f"[{_labels(each)}] {one_line(each.event.text)}".rstrip(), quote=False)
        voice = escape(names[each.speaker], quote=False)
        blocks.append(f"{number}\n{start} --> {end}\n<v {voice}>{words}</v>")
    export.write_text(f"{export.stem}.vtt", "\n\n".join(blocks) + "\n")


def write_srt(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    names = speaker_names(export.view, UniqueNames())
    blocks = []
    for number, each in enumerate(export.view.utterances, 1):
        start, end = _times(export.view, each, ",")
        words = f"{names[each.speaker]}: [{_labels(each)}] {one_line(each.event.text)}".rstrip()
        blocks.append(f"{number}\n{start} --> {end}\n{words}\n")
    export.write_text(f"{export.stem}.srt", "\n".join(blocks))


def _labels(utterance: AnnotatedUtterance) -> str:
    annotated = annotated_text(utterance)
    return one_line(label_text(utterance) + (f"; annotated: {annotated}" if annotated else ""))


def _times(view: ConversationView, utterance: AnnotatedUtterance, point: str) -> tuple[str, str]:
    event = utterance.event
    span = span_ms(event.t_start_ns - view.start_ns, event.t_end_ns - view.start_ns)
    start, end = (_time(at_ms, point) for at_ms in span)
    return start, end


def _time(at_ms: int, point: str) -> str:
    """`00:01:02.345`, with more digits of hours where there are more."""
    in_s, ms = divmod(at_ms, 1000)
    return f"{in_s // 3600:02}:{in_s // 60 % 60:02}:{in_s % 60:02}{point}{ms:03}"


def _note(text: str) -> str:
    """In a comment an arrow would begin a cue."""
    return one_line(text).replace("-->", "->")
