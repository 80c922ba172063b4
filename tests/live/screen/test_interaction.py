"""What keys do: every way leads back, what is asked is what was meant, and news does not move what somebody reads."""

from functools import reduce as fold

import conversation
import pytest
from conversation import NOW_NS, START_NS, S
from examples import hello, messages
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from test_screen import plain, shown

from erc_live.live.screen.interaction import Desktop, Interaction, Pressed, item_key, items, press
from erc_live.live.screen.key_codes import Key
from erc_live.live.screen.layout import scrolled
from erc_live.live.screen.theme import ASCII, UNICODE
from erc_live.live.screen.view import SessionView, reduce
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import SessionCommand

BUSY = conversation.viewed(conversation.messages(), iter([conversation.state()]))
NAMES = ("enter", "escape", "backspace", "clear", "up", "down", "page_up", "page_down", "home", "end")
KEYS = st.sampled_from([Key(name) for name in NAMES]) | st.sampled_from("?pmncq12Jo").map(lambda c: Key("text", c))
MARK = Annotation(session="s1", t_ns=START_NS + 727 * S, wall_ns=1, author="Ann", kind="mark", text="the phone rings")


def typed(text: str) -> list[Key]:
    return [{"\n": Key("enter"), "\x1b": Key("escape"), "<": Key("backspace")}.get(c, Key("text", c)) for c in text]


def at(keys: list[Key], view: SessionView = BUSY, size=(80, 24), doing: Interaction | None = None) -> Pressed:
    """After the keys, with all that was asked for."""

    def one(before: Pressed, key: Key) -> Pressed:
        state, asked = before
        plan = scrolled(view, *size, UNICODE, state)
        desktop = Desktop(view, NOW_NS, plan.span, plan.last_top)
        after, requests = press(state, key, desktop)
        return after, (*asked, *requests)

    return fold(one, keys, (doing or Interaction(), ()))


def annotation(text: str) -> Annotation:
    doing, (asked,) = at(typed(text))
    assert doing.mode == "watch"
    assert asked.session == "interview"
    assert asked.author == "dashboard"
    return asked


def test_a_mark_is_of_the_moment_when_m_was_pressed() -> None:
    view = BUSY
    first, _ = press(Interaction(), Key("text", "m"), Desktop(view, NOW_NS, lambda place: (0, 0), int))
    later = Desktop(view, NOW_NS + 9 * S, lambda place: (0, 0), int)
    state = fold(lambda s, key: press(s, key, later)[0], typed("na 東京<!"), first)
    state, (mark,) = press(state, Key("enter"), later)
    assert (mark.kind, mark.text, mark.t_ns) == ("mark", "na 東!", NOW_NS)
    assert "Marked" in state.answer


def test_a_paste_is_text_and_no_command() -> None:
    assert at([Key("paste", "q\np")])[1] == ()
    _, (mark,) = at([Key("text", "m"), Key("paste", "one\ntwo\tq"), Key("enter")])
    assert mark.text == "one two q"


def test_backspace_takes_what_is_seen_as_one_letter() -> None:
    for letter in ("e\u0301", "\U0001f469\u200d\U0001f52c", "\U0001f44d\U0001f3fd"):
        (_, (mark,)) = at([Key("text", "m"), Key("paste", "a" + letter), Key("backspace"), Key("enter")])
        assert mark.text == "a"


def test_somebody_is_named_by_the_number_on_the_screen() -> None:
    named = annotation("n2Benjamin\n")
    assert (named.kind, named.speaker, named.text) == ("name", 1, "Benjamin")


@pytest.mark.parametrize(
    ("keys", "answer"), [("n7", "no speaker 7"), ("nx", "no speaker x"), ("n1\n", "No name"), ("n\n", "no speaker")]
)
def test_what_cannot_be_done_is_answered(keys: str, answer: str) -> None:
    doing, asked = at(typed(keys))
    assert asked == ()
    assert answer in doing.answer
    assert answer in shown(BUSY, 80, 24, doing=doing)
    assert answer in shown(BUSY, 40, 10, doing=doing)


@pytest.mark.parametrize("key", "mnc")
def test_nothing_can_be_said_of_a_session_that_has_not_begun(key: str) -> None:
    doing, asked = at(typed(key), SessionView())
    assert (doing.mode, asked) == ("watch", ())
    assert "has not begun" in doing.answer


def test_without_speakers_or_utterances_that_is_the_answer() -> None:
    empty = SessionView(hello=hello(speakers=()))
    assert "nobody can be named" in at(typed("n"), empty)[0].answer
    assert "no label to correct" in at(typed("c"), empty)[0].answer


@pytest.mark.parametrize(
    ("keys", "utterance", "label"),
    [("cjo\n", "u8", "joy"), ("c\n1\n", "u8", "neutral"), ("cwistful\n", "u8", "wistful")],
)
def test_a_label_is_given_to_the_utterance_that_is_chosen(keys: str, utterance: str, label: str) -> None:
    corrected = annotation(keys)
    assert (corrected.kind, corrected.utterance, corrected.label) == ("label", utterance, label)


def test_up_and_down_choose_an_older_one() -> None:
    doing, _ = at([Key("text", "c"), Key("up"), Key("up"), Key("down")])
    assert doing.chosen == "utterance d u7"
    assert ">12:15 Ben" in shown(BUSY, 80, 24, doing=doing)
    doing, _ = at([Key("text", "c"), Key("home")])
    assert doing.chosen == "utterance d u0"
    assert ">11:40 Ada" in shown(BUSY, 80, 24, doing=doing)


def test_p_and_q_ask_at_once_and_again() -> None:
    assert at(typed("pP"))[1] == (SessionCommand(command="pause"),) * 2
    assert at(typed("qq"))[1] == (SessionCommand(command="stop"),) * 2
    assert at(typed("?p"))[1] == (SessionCommand(command="pause"),)
    assert at(typed("mpq\x1b"))[1] == (), "in a note they are letters"


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 6)])
def test_in_the_help_each_key_moves_at_once_and_none_goes_beyond_its_ends(size: tuple[int, int]) -> None:
    end, _ = at([Key("text", "?"), Key("end")], size=size)
    assert end.mode == "help"
    assert at([Key("text", "?"), *[Key("page_down")] * 50], size=size)[0] == end
    assert "Jo>Ne" in shown(BUSY, *size, doing=end) or size[0] < 40
    for name in ("down", "page_down", "end"):
        assert at([Key(name)], size=size, doing=end)[0] == end
    up, _ = at([Key("up")], size=size, doing=end)
    assert up.top == max(0, end.top - 1)
    assert at([Key("home")], size=size, doing=end)[0].top == 0


@given(st.lists(KEYS, max_size=25), st.sampled_from([(80, 24), (40, 10), (20, 4), (1, 1)]))
def test_whatever_is_pressed_the_screen_has_its_size_and_two_escapes_lead_back(keys, size) -> None:
    doing, asked = at(keys, size=size)
    lines = shown(BUSY, *size, doing=doing).removesuffix("\n").split("\n")
    assert len(lines) == size[1]
    doing, more = at([Key("escape"), Key("escape")], size=size, doing=doing)
    assert doing == Interaction()
    assert more == ()
    assert all(isinstance(request, SessionCommand | Annotation) for request in asked)


def long_view(count: int) -> SessionView:
    parts = (conversation.utterance(n, n % 9, START_NS + n * S, utterance=f"u{n}", index=n) for n in range(count))
    return conversation.viewed(iter([hello(t_ns=START_NS)]), parts)


@given(st.lists(st.sampled_from(["up", "page_up", "page_down", "home"]), min_size=1, max_size=9), st.integers(1, 30))
def test_news_does_not_move_what_somebody_reads(names: list[str], new: int) -> None:
    view = long_view(60)
    doing, _ = at([Key(name) for name in names], view)
    if doing.anchor is None:
        return
    after = long_view(60 + new)
    first, then = (shown(v, 80, 24, doing=doing).split("\n") for v in (view, after))
    body = slice(5, 12)
    assert first[body] == then[body]
    below = [line for line in then if "newer below" in line]
    assert len(below) == 1
    assert int(below[0].split()[0]) == new + int(next(line for line in first if "newer below" in line).split()[0])


def test_page_up_and_page_down_show_everything_in_order() -> None:
    view, doing = long_view(60), Interaction()
    seen = set()
    for _ in range(60):
        span = scrolled(view, 80, 24, UNICODE, doing).span(
            59 if doing.anchor is None else [item_key(i) for i in items(view)].index(doing.anchor)
        )
        seen |= {*range(span.first, span.last + 1)}
        doing, _ = at([Key("page_up")], view, doing=doing)
    assert seen == {*range(60)}
    oldest = doing
    assert at([Key("up")], view, doing=doing)[0] == oldest, "there is nothing above"
    for _ in range(60):
        doing, _ = at([Key("page_down")], view, doing=doing)
    assert doing.anchor is None


def test_where_somebody_reads_an_utterance_is_there_in_full() -> None:
    assert "this year, or the year" not in " ".join(shown(BUSY, 80, 24).split())
    doing, _ = at([Key("up")])
    assert "the year before." in " ".join(shown(BUSY, 80, 24, doing=doing).split())


NOTED = fold(
    reduce,
    (
        MARK,
        replace(MARK, kind="label", utterance="u8", label="neutral"),
        replace(MARK, kind="label", utterance="u7", label="wistful"),
        replace(MARK, kind="name", speaker=1, text="Benjamin"),
        Alert(session="s1", t_ns=NOW_NS, rule="joy", on=True, text="joy of Benjamin above 80 % for 5 s", speaker=1),
    ),
    BUSY,
)


def test_what_people_note_stands_beside_the_estimate() -> None:
    text = shown(NOTED, 80, 24)
    assert "Jo>Ne" in text or "Jo>neutral" in text
    assert "Jo>wistful" in text
    assert "marked" in text
    assert "Benjamin" in text
    assert " Ben " not in text
    assert [e.label for e in NOTED.utterances] == [e.label for e in BUSY.utterances]
    over = reduce(NOTED, Alert(session="s1", t_ns=NOW_NS, rule="joy", on=False, text="", speaker=1))
    assert "ALERT" not in shown(over, 80, 24)


SCREENS = {
    "help_80x24": (BUSY, "?", 80, 24, UNICODE),
    "help_40x10": (BUSY, "?", 40, 10, UNICODE),
    "note_80x24": (BUSY, "mthe phone 東京", 80, 24, UNICODE),
    "note_ascii_40x10": (BUSY, "mthe phone rings, and Ada looks at it", 40, 10, ASCII),
    "label_80x24": (BUSY, "c\njo", 80, 24, UNICODE),
    "choose_40x10": (BUSY, "c", 40, 10, UNICODE),
    "speaker_40x10": (BUSY, "n", 40, 10, UNICODE),
    "noted_80x24": (NOTED, "", 80, 24, UNICODE),
    "noted_ascii_40x10": (NOTED, "", 40, 10, ASCII),
}


@pytest.mark.parametrize("name", SCREENS)
def test_screens_of_who_does_something_look_as_they_were_approved(golden, name: str) -> None:
    view, keys, width, height, glyphs = SCREENS[name]
    doing, _ = at(typed(keys), view, (width, height))
    golden(f"screen_{name}.txt", plain(shown(view, width, height, glyphs, doing=doing)))


def test_scrolled_screens_look_as_they_were_approved(golden) -> None:
    doing, _ = at([Key("page_up")])
    golden("screen_scrolled_80x24.txt", plain(shown(BUSY, 80, 24, doing=doing)))
    doing, _ = at([Key("up"), Key("up")], size=(40, 10))
    golden("screen_scrolled_40x10.txt", plain(shown(BUSY, 40, 10, doing=doing)))


def test_what_is_done_needs_no_colour() -> None:
    doing, _ = at(typed("c\njo"), NOTED)
    assert "\x1b[3" not in shown(NOTED, 80, 24, doing=doing, color_system="256", no_color=True)


@given(st.lists(messages(Annotation, Alert), max_size=8), st.sampled_from([(80, 24), (40, 10)]))
def test_whatever_is_noted_the_screen_has_its_size(noted, size) -> None:
    view = fold(reduce, noted, BUSY)
    lines = shown(view, *size).removesuffix("\n").split("\n")
    assert len(lines) == size[1]
