"""Who speaks, in a column of the transcript: sure, unsure, or somebody else than was said before.

The rule of this file: a change is drawn in the row that is there, and every sign is a letter, not a colour alone.
"""

from rich.cells import cell_len

from erc_live.live.screen.theme import CHANGED, QUIET, STRONG, Glyphs
from erc_live.live.screen.view import CHANGE_NS, SessionView
from erc_live.streams.messages import EmotionEvent

# Of the confidence in a speaker: from here on the name has no question mark. Of those below, about half are right.
UNSURE_BELOW = 0.65


def short_name(name: str, index: int) -> str:
    """`#2` of one who is only numbered: two of them fit into a column."""
    return f"#{index + 1}" if name == f"Speaker {index + 1}" else name


def is_unsure(event: EmotionEvent) -> bool:
    """Whether it may well be somebody else who speaks."""
    return event.speaker_confidence is not None and event.speaker_confidence < UNSURE_BELOW


def speaker_cells(
    view: SessionView, event: EmotionEvent, width: int, now_ns: int, glyphs: Glyphs
) -> list[tuple[str, str]]:
    """The name in `width` cells between two spaces, with styles. Where it is unsure it is dim, with a question mark.
    For `CHANGE_NS` after a change it stands out, after the name of before, or at least after the sign of a change.
    """
    name = glyphs.text(short_name(event.speaker_name, event.speaker))
    key = (event.dialogue, event.utterance)
    change = next((c for c in view.changes if (c.dialogue, c.utterance) == key), None)
    if change is not None and 0 <= now_ns - change.t_ns < CHANGE_NS:
        before = glyphs.text(short_name(change.before.speaker_name, change.before.speaker))
        fits = cell_len(f"{before}>{name}") <= width
        return [(" ", ""), (glyphs.fit(f"{before}>{name}" if fits else f">{name}", width), CHANGED), (" ", "")]
    if not is_unsure(event):
        return [(" " + glyphs.fit(name, width) + " ", STRONG)]
    name = glyphs.fit(name, min(cell_len(name), width - 1))
    return [(" " + glyphs.fit(f"{name}?", width) + " ", QUIET)]
