"""What stays on the terminal when a session has ended: the transcript with its labels, and a short summary.

The rule of this file: nobody is left with an empty terminal and no reason.
"""

import re
from textwrap import TextWrapper

from erc_live.live.screen.interaction import items
from erc_live.live.screen.layout import NOTICE
from erc_live.live.screen.lines import TextLines
from erc_live.live.screen.sheet import clock_text
from erc_live.live.screen.theme import Glyphs
from erc_live.live.screen.view import SessionView
from erc_live.streams.annotations import Annotation
from erc_live.streams.messages import SessionEnd
from erc_live.streams.plural import counted

QUIET_DB = -60.0  # a microphone that was never louder gave nothing to listen to
WORDS_FROM_CELLS = 36  # of a line of the transcript (`lines.py`): time, name and label come before the words
LEAST_WORDS_CELLS = 30  # of a column of words
NARROW_INDENT = 2
SUMMARY_INDENT = 4
_COLUMNS = re.compile(r"  +")


def rows(view: SessionView, most: int, width: int, glyphs: Glyphs) -> list[str]:
    """The transcript and the summary in rows of at most `width` cells, broken at words, so that it can be read who said
    what: what goes on stands under the words. Where there is no room for columns, there are none.
    """
    lines, indent = transcript_lines(view, most), WORDS_FROM_CELLS
    if width - indent < LEAST_WORDS_CELLS:
        lines, indent = [_COLUMNS.sub("  ", line) for line in lines], NARROW_INDENT
    said = [row for line in lines for row in glyphs.hang(line, width, indent)]
    whole = TextWrapper(width, subsequent_indent=" " * SUMMARY_INDENT, break_long_words=False, break_on_hyphens=False)
    return said + [row for line in summary(view) for row in whole.wrap(glyphs.text(line))]  # paths are copied: whole


def transcript_lines(view: SessionView, most: int) -> list[str]:
    """The last `most` utterances and the marks between them, a line each; how many were before, if any."""
    if view.hello is None or not most:
        return []
    to_line = TextLines()
    to_line(view.hello)
    finals = [item for item in items(view) if isinstance(item, Annotation) or item.final]
    before = len(finals) - most
    lines = [f"({before} earlier ones; --record keeps all of a session)"] if before > 0 else []
    for item in finals[-most:]:
        noted = None if isinstance(item, Annotation) else view.corrections.get(item.utterance)
        lines.append(to_line(item) + (f"  [corrected: {noted}]" if noted else ""))
    return lines


def summary(view: SessionView) -> list[str]:
    """What is worth keeping of a session, in a few lines."""
    if view.hello is None:
        starting = (worker for worker in view.workers if worker.phase == "starting")
        notes = {worker.worker: worker.note.removeprefix("loading").strip() for worker in starting}
        awaited = ", ".join(f"{name} ({note})" if note else name for name, note in notes.items())
        return [f"The session ended before it began: still loading {awaited}."] if awaited else []
    finals = sum(sum(speaker.counts.values()) for speaker in view.speakers)
    until_ns = view.end.t_ns if view.end else max((e.t_logits_ns for e in view.utterances), default=view.hello.t_ns)
    lines = [f"Session {view.hello.session}: {clock_text(until_ns - view.hello.t_ns)}, {counted(finals, 'utterance')}."]
    if not finals:
        lines.append(_why_empty(view))
    for speaker in sorted(view.speakers, key=lambda speaker: (speaker.dialogue, speaker.index)):
        counts = sorted(speaker.counts.items(), key=lambda item: -item[1])
        labels = ", ".join(f"{label} {count}" for label, count in counts)
        lines.append(
            f"  {speaker.name}: {sum(speaker.counts.values())} in {clock_text(speaker.talk_ns)} of speech: {labels}"
        )
    if view.gaps:
        lines.append(f"Gaps: {view.gaps}" + (f", {counted(view.lost, 'message')} lost." if view.lost else "."))
    lines += _missing(view.end) if view.end else []
    if view.recorder is not None:
        folder = f" in {view.recorder.note}" if view.recorder.note else ""
        lines.append("The recording failed." if view.recorder.phase == "failed" else f"Recorded{folder}.")
    return [*lines, f"Labels are {NOTICE}."]


def _why_empty(view: SessionView) -> str:
    """Why nothing was classified, as far as the screen knows."""
    microphones = [worker for worker in view.workers if worker.worker.startswith("mic")]
    if view.end is not None and view.end.note:
        return f"No utterance was classified: {view.end.note}."
    if view.paused:
        return "No utterance was classified: the session was paused."
    if failed := [worker for worker in microphones if worker.phase == "failed"]:
        return f"No utterance was classified: {failed[0].worker} failed ({failed[0].note})."
    levels = [worker.level_db for worker in microphones if worker.level_db is not None]
    if levels and max(levels) < QUIET_DB:
        loudest = f"the loudest microphone gave {max(levels):.0f} dB at the end"
        return f"No utterance was classified: {loudest}; `erc-live devices` lists others."
    return "No utterance was classified: nobody had finished an utterance, or no speech was recognised as such."


def _missing(end: SessionEnd) -> list[str]:
    """What a session did not do."""
    missing = {"lost with a process that died": end.lost, "without words, for the machine was too slow": end.skipped}
    return [f"Utterances {what}: {count}." for what, count in missing.items() if count]
