import re
import time
import unicodedata
from io import StringIO

import conversation
import msgspec
import pytest
from examples import LABELS, hello, messages
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from erc_live.live.screen.interaction import Interaction
from erc_live.live.screen.layout import NOTICE, render
from erc_live.live.screen.theme import ASCII, UNICODE
from erc_live.live.screen.view import CHANGE_NS, SessionView, reduce
from erc_live.streams.messages import EmotionEvent, Gap, Hello, Recogniser, SessionEnd, SessionState, WorkerStatus

BUSY = conversation.viewed(conversation.messages())
STARTING = conversation.viewed(
    conversation.status(worker, phase="starting", note=note)
    for worker, note in (("mic-0", ""), ("perception", "faster-whisper base.en"))
)
ROOM = conversation.viewed(conversation.one_microphone())
TROUBLED = conversation.viewed(conversation.messages(), conversation.troubled())
PAUSED = conversation.viewed(conversation.messages(), iter([conversation.state(paused=True)]))
RECORDED = conversation.viewed(iter([hello(t_ns=conversation.START_NS), conversation.state(recording=True)]))
SGR = re.compile(r"\x1b\[[0-9;]*m")
COLOURS = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:[34][0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


def shown(view, width, height, glyphs=UNICODE, now_ns=conversation.NOW_NS, doing=Interaction(), **console):  # noqa: B008
    """What a terminal would receive."""
    out = StringIO()
    options = {"color_system": None, "force_terminal": True} | console
    target = Console(file=out, width=width, height=height, **options)
    target.print(render(view, width, height, now_ns, glyphs, doing), end="")
    return out.getvalue()


def plain(text):
    """Without the spaces at the ends of lines, which editors remove."""
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("name", "view", "width", "height", "glyphs"),
    [
        ("screen_busy_80x24.txt", BUSY, 80, 24, UNICODE),
        ("screen_busy_120x36.txt", BUSY, 120, 36, UNICODE),
        ("screen_busy_ascii_80x24.txt", BUSY, 80, 24, ASCII),
        ("screen_busy_80x16.txt", BUSY, 80, 16, UNICODE),
        ("screen_busy_40x10.txt", BUSY, 40, 10, UNICODE),
        ("screen_unsure_80x24.txt", ROOM, 80, 24, UNICODE),
        ("screen_unsure_ascii_40x10.txt", ROOM, 40, 10, ASCII),
        ("screen_starting_80x24.txt", STARTING, 80, 24, UNICODE),
        ("screen_empty_80x24.txt", SessionView(), 80, 24, UNICODE),
        ("screen_troubled_80x24.txt", TROUBLED, 80, 24, UNICODE),
        ("screen_troubled_40x10.txt", TROUBLED, 40, 10, UNICODE),
        ("screen_paused_80x24.txt", PAUSED, 80, 24, UNICODE),
        ("screen_paused_40x10.txt", PAUSED, 40, 10, UNICODE),
        ("screen_recording_80x24.txt", RECORDED, 80, 24, UNICODE),
    ],
)
def test_screens_look_as_they_were_approved(golden, name, view, width, height, glyphs):
    golden(name, plain(shown(view, width, height, glyphs)))


def test_without_colour_only_weight_is_left(golden):
    text = shown(TROUBLED, 80, 24, color_system="256", no_color=True)
    assert not COLOURS.search(text)
    golden("screen_no_colour_80x24.txt", plain(text.replace("\x1b", "^")))


def test_a_change_of_speaker_is_marked_in_its_row_for_some_seconds(golden):
    golden(
        "screen_unsure_no_colour_80x24.txt",
        plain(shown(ROOM, 80, 24, color_system="256", no_color=True).replace("\x1b", "^")),
    )
    during = shown(ROOM, 80, 24).split("\n")
    after = shown(ROOM, 80, 24, now_ns=conversation.NOW_NS + CHANGE_NS).split("\n")
    assert sum("#3>#1" in row for row in during) == 2
    assert not any(">#" in row for row in after)
    assert [row.replace("#3>#1", "#1   ") for row in during[3:]] == after[3:]


def test_names_too_long_for_both_leave_the_sign_of_a_change():
    held = conversation.utterance(0, 0, conversation.START_NS, speaker_name="Wilhelmina")
    now = conversation.utterance(1, 0, conversation.START_NS, speaker=1, speaker_name="Bob", revision=1)
    view = conversation.viewed(iter((hello(), held, now)))
    assert " >Bob " in shown(view, 80, 24, now_ns=now.t_logits_ns)


def test_colour_adds_nothing_but_colour():
    text = shown(TROUBLED, 120, 36, color_system="truecolor")
    assert COLOURS.search(text)
    assert SGR.sub("", text) == shown(TROUBLED, 120, 36)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_always_written_out(label):
    said = conversation.utterance(0, 0, conversation.START_NS, label=label, probs=conversation.shares(label, 0.5))
    view = reduce(SessionView(hello=hello()), said)
    assert f"{label} " in shown(view, 80, 24)
    assert f"{label} " in shown(view, 40, 10)


SIZES = st.tuples(st.integers(1, 200), st.integers(1, 60))
ANY_MESSAGE = messages(EmotionEvent, Gap, Hello, SessionEnd, SessionState, WorkerStatus)
ANY_NAME = st.sampled_from(("mic-0", "camera-0", "recorder")) | st.text(st.characters(), max_size=20)
ANY_STATUS = st.builds(
    lambda status, worker, level_db, rate_hz, lag_s: msgspec.structs.replace(
        status, worker=worker, level_db=level_db, rate_hz=rate_hz, lag_s=lag_s
    ),
    messages(WorkerStatus), ANY_NAME, st.none() | st.floats(), st.none() | st.floats(), st.floats(),
)  # fmt: skip
ANY_SAID = st.builds(
    lambda seq, line, text, name: conversation.utterance(seq, line, seq, text=text, speaker_name=name, utterance=name),
    st.integers(0, 99), st.integers(0, 8), st.text(st.characters(), max_size=400), ANY_NAME,
)  # fmt: skip


@given(st.lists(ANY_MESSAGE | ANY_STATUS | ANY_SAID, max_size=12), SIZES, st.integers(-(2**63), 2**63), st.booleans())
def test_whatever_is_seen_the_screen_has_its_size(received, size, now_ns, ascii_only):
    view = conversation.viewed(iter(received))
    width, height = size
    text = shown(view, width, height, ASCII if ascii_only else UNICODE, now_ns)
    lines = text.removesuffix("\n").split("\n")
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text.replace("\n", ""))
    assert text.isascii() or not ascii_only


@given(SIZES.filter(lambda size: size[0] >= 60))
def test_people_can_always_see_that_they_are_analysed_and_recorded(size):
    for view, doing in ((BUSY, "● ANALYSING  ● REC"), (PAUSED, "PAUSED  ● REC"), (RECORDED, "● ANALYSING  ● REC")):
        text = shown(view, *size)
        assert doing in text.split("\n")[0]
        assert size[1] < 3 or NOTICE.partition(",")[0] in text


def test_the_purpose_is_shown():
    view = SessionView(hello=hello(session="talk", purpose="research"))
    assert "talk  research" in shown(view, 80, 24).split("\n")[0]


@pytest.mark.parametrize("size", [(80, 24), (60, 12), (40, 10)])
def test_people_can_see_that_nobody_listens_and_how_that_ends(size):
    text = shown(PAUSED, *size)
    assert "PAUSED  ● REC" in text.split("\n")[0]
    assert "ANALYSING" not in text
    assert ("p resumes" in text) == (size[0] >= 60)
    assert "p pauses" not in shown(BUSY, *size), "a session that says nothing of its state cannot be paused"


def test_a_recording_is_shown_before_its_recorder_was_heard_of():
    assert "● ANALYSING  ● REC" in shown(RECORDED, 80, 24)
    failed = reduce(RECORDED, conversation.status("recorder", phase="failed"))
    assert "REC" not in shown(failed, 80, 24).split("\n")[0]


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]x[/red]\r\n\u202e:smile: \x1b[?1049l"


def test_no_text_can_give_orders_to_the_terminal_or_to_rich():
    said = conversation.utterance(
        0, 0, conversation.START_NS, text=HOSTILE, speaker_name=HOSTILE, engine=Recogniser(name=HOSTILE)
    )
    view = SessionView(hello=hello(session=HOSTILE, model=HOSTILE, speakers=("", HOSTILE), labels=(HOSTILE, "joy")))
    for message in (said, conversation.status("mic-0", note=HOSTILE, phase="failed"), conversation.status(HOSTILE)):
        view = reduce(view, message)
    for width, height in ((120, 36), (40, 10)):
        text = shown(view, width, height, color_system="256")
        assert "[red]x[/red]" in text
        assert "\x1b" not in SGR.sub("", text)
        assert "owned" not in text


def test_the_recogniser_that_is_named_is_that_of_what_is_final():
    view = SessionView(hello=hello())
    for number, final in enumerate((True, False)):
        engine = Recogniser(name="whisper" if final else "not asked", asked=final)
        said = conversation.utterance(
            number, 0, conversation.START_NS, utterance=str(number), final=final, engine=engine
        )
        view = reduce(view, said)
    assert " whisper  " in shown(view, 80, 24)
    assert "not asked" not in shown(view, 80, 24)


def test_the_newest_utterance_is_the_last_of_the_transcript():
    for height in range(4, 40):
        text = shown(BUSY, 80, height)
        assert text.rfind("I knew it!") < text.find("And what did they say about")


@pytest.mark.bench
def test_cost_of_a_frame():
    """5 % of a core at 4 Hz are 12.5 ms per frame."""
    frames = 200
    began_s = time.process_time()
    for frame in range(frames):
        shown(BUSY, 120, 36, now_ns=conversation.NOW_NS + frame * conversation.S, color_system="256")
    assert (time.process_time() - began_s) / frames < 0.0125
