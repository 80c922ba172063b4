"""What a person does at the screen: a value, and the one function that moves it on, key by key.

`press` is pure: what is asked of the session comes out as requests, and the dashboard sends them. The view
(`view.py`) is what came from the session, and no key changes it.
The rule of this file: each key does something or says in a line why not, and Esc always leads back.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from erc_live.live.label_looks import label_of
from erc_live.live.screen.key_codes import Key
from erc_live.live.screen.view import SessionView
from erc_live.streams.annotations import NOTE_LENGTH, Annotation
from erc_live.streams.messages import EmotionEvent, SessionCommand

Mode = Literal["watch", "help", "note", "speaker", "name", "choose", "label"]
Request = SessionCommand | Annotation
Item = EmotionEvent | Annotation
AUTHOR = "dashboard"
ENDING = "Ending: what was being said is finished. q again ends at once."


class Span(NamedTuple):
    """Which items of the transcript are on the screen, from `first` to `last`."""

    first: int
    last: int


class Desktop(NamedTuple):
    """What a key meets: the view, the time of the session, what is on the screen where the transcript ends with an item
    (`span`), and the line of the help with which the screen begins at its end (`last_top`).
    """

    view: SessionView
    now_ns: int
    span: Callable[[int], Span]
    last_top: Callable[[], int]


@dataclass(frozen=True)
class Interaction:
    """What somebody is at.

    `line`: what was typed. `moment_ns`: when `m` was pressed. `speaker`: who is named. `anchor`: the item that the
    transcript ends with; None: the newest. `chosen`: the utterance that is corrected. `top`: the first line of the
    help. `answer`: what came of the last key.
    """

    mode: Mode = "watch"
    line: str = ""
    moment_ns: int = 0
    speaker: int = 0
    anchor: str | None = None
    chosen: str | None = None
    top: int = 0
    answer: str = ""


Pressed = tuple[Interaction, tuple[Request, ...]]


def press(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    """The interaction after a key, and what is asked of the session."""
    state = replace(state, answer="")
    if key.name == "escape":
        return _escaped(state), ()
    return _MODES[state.mode](state, key, desktop)


def items(view: SessionView) -> tuple[Item, ...]:
    """The transcript: utterances, and between them the marks, each after what had begun before it."""
    placed: list[Item] = list(view.utterances)
    for mark in view.marks:
        place = len(placed)
        while place and _begin_ns(placed[place - 1]) > mark.t_ns:
            place -= 1
        placed.insert(place, mark)
    return tuple(placed)


def item_key(item: Item) -> str:
    """By what an item is known again."""
    if isinstance(item, Annotation):
        return f"mark {item.wall_ns} {item.t_ns} {item.text}"
    return f"utterance {item.dialogue} {item.utterance}"


def place_of(key: str | None, listed: tuple[Item, ...]) -> int | None:
    """Where an item is; None for none. One that is so old that it has gone counts as the oldest."""
    if key is None or not listed:
        return None
    return next((place for place, item in enumerate(listed) if item_key(item) == key), 0)


def _escaped(state: Interaction) -> Interaction:
    """Out of what somebody was at; a second time, back to the newest."""
    return Interaction() if state.mode == "watch" else Interaction(anchor=state.anchor)


def _begin_ns(item: Item) -> int:
    return item.t_ns if isinstance(item, Annotation) else item.t_start_ns


def _watch(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    if key.name in ("up", "down", "page_up", "page_down", "home", "end"):
        return _scrolled(state, key, desktop), ()
    match key.text.lower() if key.name == "text" else "":
        case "?":
            return replace(state, mode="help", top=0), ()
        case "p":
            return state, (SessionCommand(command="resume" if desktop.view.paused else "pause"),)
        case "q":
            return replace(state, answer=ENDING), (SessionCommand(command="stop"),)
        case "m" | "n" | "c" as letter:
            return _begun(state, letter, desktop), ()
        case _:
            return state, ()


def _begun(state: Interaction, letter: str, desktop: Desktop) -> Interaction:
    """What somebody begins to say of the session."""
    if desktop.view.hello is None:
        return replace(state, answer="The session has not begun.")
    if letter == "m":
        return replace(state, mode="note", line="", moment_ns=desktop.now_ns)
    return _ask_who(state, desktop.view) if letter == "n" else _ask_which(state, desktop)


def _help(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    last = desktop.last_top()
    move = {"up": -1, "down": 1, "page_up": -5, "page_down": 5, "home": -last, "end": last}.get(key.name)
    if move is not None:
        return replace(state, top=max(0, min(last, min(state.top, last) + move))), ()
    if key.text.lower() in ("p", "q"):  # what is urgent works from here, too
        return _watch(replace(state, mode="watch"), key, desktop)
    return _escaped(state), ()


def _note(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    if key.name != "enter":
        return _typed(state, key), ()
    note = _annotation(desktop, "mark", t_ns=state.moment_ns, text=state.line.strip())
    return replace(_escaped(state), answer="Marked."), (note,)


def _speaker(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    known = speakers_by_number(desktop.view)
    if key.name != "enter":
        state = _typed(state, key)
        if len(known) > 9 or not state.line.strip():
            return state, ()
    number = state.line.strip()
    if not (number.isascii() and number.isdigit() and int(number) in known):
        return replace(_escaped(state), answer=f"There is no speaker {number or 'without a number'}."), ()
    return replace(state, mode="name", line="", speaker=int(number) - 1), ()


def _name(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    if key.name != "enter":
        return _typed(state, key), ()
    name = " ".join(state.line.split())
    if not name:
        return replace(_escaped(state), answer="No name was given: it stays as it is."), ()
    named = _annotation(desktop, "name", text=name, speaker=state.speaker)
    return replace(_escaped(state), answer=f"Speaker {state.speaker + 1} is {name}."), (named,)


def _choose(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    listed = items(desktop.view)
    finals = [place for place, item in enumerate(listed) if isinstance(item, EmotionEvent) and item.final]
    now = place_of(state.chosen, listed)
    if now is None or not finals:
        return replace(_escaped(state), answer="No utterance is left to correct."), ()
    rank = min(range(len(finals)), key=lambda n: abs(finals[n] - now))
    if key.name == "enter":
        return replace(state, mode="label", line=""), ()
    move = {"up": -1, "down": 1, "page_up": -5, "page_down": 5, "home": -len(finals), "end": len(finals)}
    rank = min(len(finals) - 1, max(0, rank + move.get(key.name, 0)))
    if key.name == "text":  # who knows which one may type at once
        return _typed(replace(state, mode="label", line=""), key), ()
    return _visible(replace(state, chosen=item_key(listed[finals[rank]])), finals[rank], desktop), ()


def _label(state: Interaction, key: Key, desktop: Desktop) -> Pressed:
    if key.name != "enter":
        return _typed(state, key), ()
    label = label_of(state.line, desktop.view.labels)
    event = next((e for e in desktop.view.utterances if item_key(e) == state.chosen), None)
    if not label or event is None:
        why = "The utterance is too old to be here." if label else "No label was given: it stays as it is."
        return replace(_escaped(state), answer=why), ()
    corrected = _annotation(desktop, "label", t_ns=event.t_start_ns, utterance=event.utterance, label=label)
    return replace(_escaped(state), answer=f"Noted beside the estimate: {label}."), (corrected,)


def speakers_by_number(view: SessionView) -> dict[int, str]:
    """The names of those who can be named, by the number that the screen shows, from 1."""
    names = {speaker.index: speaker.name for speaker in view.speakers}
    roster = view.hello.speakers if view.hello else ()
    return {index + 1: name for index, name in sorted({**dict(enumerate(roster)), **names}.items()) if name}


def _ask_who(state: Interaction, view: SessionView) -> Interaction:
    if not speakers_by_number(view):
        return replace(state, answer="Nobody has spoken yet, so nobody can be named.")
    return replace(state, mode="speaker", line="")


def _ask_which(state: Interaction, desktop: Desktop) -> Interaction:
    """The newest final utterance that is on the screen."""
    listed = items(desktop.view)
    last = _last(state, listed)
    finals = [p for p, item in enumerate(listed[: last + 1]) if isinstance(item, EmotionEvent) and item.final]
    if not finals:
        return replace(state, answer="No utterance has ended yet, so there is no label to correct.")
    return _visible(replace(state, mode="choose", chosen=item_key(listed[finals[-1]])), finals[-1], desktop)


def _last(state: Interaction, listed: tuple[Item, ...]) -> int:
    place = place_of(state.anchor, listed)
    return len(listed) - 1 if place is None else place


def _scrolled(state: Interaction, key: Key, desktop: Desktop) -> Interaction:
    listed = items(desktop.view)
    if not listed or key.name == "end":
        return replace(state, anchor=None)
    oldest, newest = desktop.span(0).last, len(listed) - 1  # the transcript fills the screen as long as it can
    last = _last(state, listed)
    match key.name:
        case "up":
            last -= 1
        case "down":
            last += 1
        case "page_up":
            last = min(last - 1, desktop.span(last).first)
        case "page_down":
            bottom = last = desktop.span(last).last
            while last < newest and desktop.span(last + 1).first <= bottom:
                last += 1
        case "home":
            last = 0
    last = max(oldest, last)
    return replace(state, anchor=None if last >= newest else item_key(listed[last]))


def _visible(state: Interaction, place: int, desktop: Desktop) -> Interaction:
    """Scrolled so far that an item can be seen."""
    listed = items(desktop.view)
    last = desktop.span(_last(state, listed)).last
    if place > last:
        last = place
    while last > place and desktop.span(last).first > place:
        last -= 1
    return replace(state, anchor=None if last >= len(listed) - 1 else item_key(listed[last]))


def _typed(state: Interaction, key: Key) -> Interaction:
    """The line, after a key that writes in it."""
    match key.name:
        case "text":
            line = state.line + key.text
        case "paste":
            line = state.line + " ".join(key.text.split())
        case "backspace":
            line = _without_last(state.line)
        case "clear":
            line = ""
        case _:
            line = state.line
    return replace(state, line=line[:NOTE_LENGTH])


def _without_last(line: str) -> str:
    """Without the last letter, and with it the accents and joined signs that stand on it."""
    end = len(line) - 1
    while end > 0 and (unicodedata.category(line[end]) in ("Mn", "Me", "Cf", "Sk") or line[end - 1] == "\u200d"):
        end -= 1
    return line[: max(0, end)]


def _annotation(desktop: Desktop, kind: Literal["mark", "name", "label"], **fields: object) -> Annotation:
    hello = desktop.view.hello
    assert hello is not None
    wall_ns = hello.wall_ns + desktop.now_ns - hello.t_ns
    own = {"t_ns": desktop.now_ns, "wall_ns": wall_ns, "author": AUTHOR, **fields}
    return Annotation(session=hello.session, kind=kind, **own)  # type: ignore[arg-type]  # by name, checked by msgspec


_MODES: dict[Mode, Callable[[Interaction, Key, Desktop], Pressed]] = {
    "watch": _watch,
    "help": _help,
    "note": _note,
    "speaker": _speaker,
    "name": _name,
    "choose": _choose,
    "label": _label,
}
