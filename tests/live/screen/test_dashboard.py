import os
import pty
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from io import BytesIO, StringIO, TextIOWrapper
from xml.etree import ElementTree

import conversation
import pytest
from conversation import NOW_NS, START_NS, S
from examples import hello, session_end
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from erc_live.live.screen import terminal as terminal_module
from erc_live.live.screen.dashboard import run, screenshot
from erc_live.live.screen.theme import UNICODE
from erc_live.live.screen.view import SessionView, reduce
from erc_live.live.screen.wrap_up import rows, summary, transcript_lines
from erc_live.streams.annotations import Annotation
from erc_live.streams.clock import ManualClock

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
CURSOR_HIDDEN, CURSOR_SHOWN = "\x1b[?25l", "\x1b[?25h"
HOME = "\x1b[1;1H"  # the first row of a frame


class ScriptedInlet:
    """Messages at host times, on a clock that moves only while somebody waits."""

    def __init__(self, *script, host):
        self._script = list(script)
        self._host = host

    def receive(self, timeout_s):
        due_ns = min(self._script[0][0] if self._script else 2**62, self._host.now_ns() + int(timeout_s * 1e9))
        self._host.sleep_until(due_ns)
        received = []
        while self._script and self._script[0][0] <= self._host.now_ns():
            message = self._script.pop(0)[1]
            if callable(message):
                message()
            else:
                received.append(message)
        return received


def show(*script, refresh_hz=4.0, stopped=lambda: False, speed=1.0, file=None):
    """Run the screen over the script; the view, and what the terminal received."""
    file = file or StringIO()
    host = ManualClock(START_NS)
    console = Console(file=file, width=80, height=24, force_terminal=True, color_system="256")
    view = run(ScriptedInlet(*script, host=host), console, refresh_hz, stopped, speed, host)
    return view, file.getvalue() if isinstance(file, StringIO) else ""


def restored(text):
    """Whether the terminal is as it was."""
    return text.count(ENTERED) == text.count(LEFT) == 1 and text.rfind(CURSOR_SHOWN) > text.rfind(CURSOR_HIDDEN)


def test_a_session_is_shown_and_then_summed_up():
    script = [(START_NS + i * S // 10, message) for i, message in enumerate(conversation.messages())]
    view, text = show(*script, (NOW_NS, session_end()))
    assert view.end == session_end()
    screen, summed_up = text.split(LEFT)
    assert "I knew it! Come here." in screen
    assert "Ben: 4 in 0:12 of speech: neutral 1, sadness 1, anger 1, joy 1" in summed_up
    assert "Recorded in recordings/interview." in summed_up
    assert restored(text)


def test_frames_are_at_most_as_frequent_as_asked():
    flood = [(START_NS + i * S // 1000, conversation.status("mic-0", i, level_db=-i / 100)) for i in range(2000)]
    _, text = show(*flood, (START_NS + 2 * S, session_end()))
    assert 8 <= text.count(HOME) <= 10


def test_a_quiet_session_is_redrawn_once_a_second():
    _, text = show((START_NS, hello(t_ns=START_NS)), (START_NS + 10 * S, session_end()))
    assert 10 <= text.count(HOME) <= 12
    assert "0:09" in text


def test_the_time_of_a_replay_runs_at_its_speed():
    _, text = show((START_NS, hello(t_ns=START_NS)), (START_NS + 10 * S, session_end()), speed=6.0)
    assert "0:54" in text


def test_what_has_arrived_when_it_is_told_to_stop_is_still_shown():
    answers = iter([False, True])
    view, text = show((START_NS, hello()), (START_NS, conversation.utterance(0, 0, 0)), stopped=lambda: next(answers))
    assert len(view.utterances) == 1
    assert conversation.SCRIPT[0][4] in text.split(LEFT)[0]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(kind):
    inherited = signal.signal(kind, signal.default_int_handler)  # who runs the tests may have had it ignored
    try:
        _, text = show((START_NS, hello()), (START_NS + S, lambda: os.kill(os.getpid(), kind)))
        assert signal.getsignal(kind) is signal.default_int_handler
    finally:
        signal.signal(kind, inherited)
    assert restored(text)
    assert "Session s1" in text.split(LEFT)[1]


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        view, _ = show((START_NS, lambda: os.kill(os.getpid(), signal.SIGINT)), (START_NS + S, session_end()))
    finally:
        signal.signal(signal.SIGINT, before)
    assert view.end == session_end()


def fail():
    raise ZeroDivisionError


def test_an_exception_leaves_the_terminal_as_it_was():
    file = StringIO()
    with pytest.raises(ZeroDivisionError):
        show((START_NS + S, fail), file=file)
    assert restored(file.getvalue())
    assert "Session" not in file.getvalue()


def test_a_terminal_without_unicode_gets_ascii():
    raw = BytesIO()
    terminal = TextIOWrapper(raw, encoding="ascii", write_through=True)
    script = [(START_NS, message) for message in conversation.messages()]
    show(*script, (START_NS + S, session_end()), file=terminal)
    assert b"* ANALYSING" in raw.getvalue()
    assert raw.getvalue().isascii()


@contextmanager
def pseudo_terminal(typed=None, written=None):
    """A terminal that somebody looks at: one that nobody reads from blocks its writer. `typed` gets what types,
    `written` what is written.
    """
    master, slave = pty.openpty()
    if typed is not None:
        typed.append(lambda keys: os.write(master, keys))

    def look():
        with suppress(OSError):  # the other side is closed
            while data := os.read(master, 65536):
                if written is not None:
                    written.append(data)

    user = threading.Thread(target=look)
    user.start()
    with os.fdopen(slave, "w") as terminal:
        yield terminal
    user.join()
    os.close(master)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("last", [session_end(), fail])
def test_keys_are_neither_echoed_nor_left_to_the_shell(last):
    import termios

    with pseudo_terminal() as terminal:
        before = termios.tcgetattr(terminal)
        during = []
        look = (START_NS, lambda: during.append(termios.tcgetattr(terminal)))
        try:
            show((START_NS, hello()), look, (START_NS + S, last), file=terminal)
        except ZeroDivisionError:
            assert last is fail
        assert not during[0][terminal_module.LOCAL_FLAGS] & (termios.ECHO | termios.ICANON)
        assert during[0][terminal_module.LOCAL_FLAGS] & termios.ISIG
        assert during[0][terminal_module.CONTROL_CHARACTERS][termios.VSUSP] == b"\0"
        assert termios.tcgetattr(terminal) == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_p_pauses_and_resumes_at_once():
    """Within 100 ms, on a screen that is redrawn every 250 ms; another key does nothing."""
    asked, hosts, keyboard = [], [], []
    host = ManualClock(START_NS)
    script = [
        (START_NS, hello(t_ns=START_NS)),
        (START_NS + S, lambda: keyboard[0](b"x")),
        (START_NS + 2 * S, lambda: keyboard[0](b"p")),
        (START_NS + 3 * S, conversation.state(paused=True)),
        (START_NS + 4 * S, lambda: keyboard[0](b"P")),
        (START_NS + 5 * S, session_end()),
    ]

    def ask(request):
        asked.append(request.command)
        hosts.append(host.now_ns())

    with pseudo_terminal(keyboard) as terminal:
        console = Console(file=terminal, width=80, height=24, force_terminal=True, color_system="256")
        run(ScriptedInlet(*script, host=host), console, 4.0, lambda: False, host=host, ask=ask)
    assert asked == ["pause", "resume"]
    assert [at - START_NS - late * S for at, late in zip(hosts, (2, 4), strict=True)] <= [S // 10] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_note_is_typed_in_pieces_pasted_and_sent_and_the_terminal_is_told_of_pastes():
    asked, keyboard, written = [], [], []
    host = ManualClock(START_NS)
    pieces = (b"m", "é".encode()[:1], "é".encode()[1:], b"\x1b[200~a\nb\x1b[201~", b"\x1b", b"[A", b"\x7f", b"!", b"\r")
    typed = [(START_NS + S + n * S // 10, lambda piece=piece: keyboard[0](piece)) for n, piece in enumerate(pieces)]
    script = [(START_NS, hello(t_ns=START_NS)), *typed, (START_NS + 5 * S, session_end())]
    with pseudo_terminal(keyboard, written) as terminal:
        console = Console(file=terminal, width=80, height=24, force_terminal=True, color_system="256")
        run(ScriptedInlet(*script, host=host), console, 4.0, lambda: False, host=host, ask=asked.append)
    (mark,) = asked
    assert (mark.kind, mark.text) == ("mark", "éa !")
    assert START_NS + S <= mark.t_ns <= START_NS + S + S // 10, "when m was pressed"
    text = b"".join(written)
    assert text.count(b"\x1b[?2004h") == text.count(b"\x1b[?2004l") == 1


def test_the_transcript_stays_on_the_terminal_as_far_as_asked():
    view = conversation.viewed(conversation.messages())
    noted = Annotation(session="s1", t_ns=0, wall_ns=0, author="Ann", kind="label", utterance="u8", label="calm")
    lines = transcript_lines(reduce(view, noted), 2)
    assert lines[0] == "(7 earlier ones; --record keeps all of a session)"
    assert "Ben         joy 92%" in lines[1]
    assert lines[2].endswith("I knew it! Come here.  [corrected: calm]")
    assert transcript_lines(view, 0) == []
    assert len(transcript_lines(view, 100)) == 9


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (replace(session_end(), note="mic-0 was silent"), "mic-0 was silent."),
        (conversation.state(paused=True), "was paused"),
        (conversation.status("mic-0", phase="failed", note="unplugged"), "mic-0 failed (unplugged)"),
        (conversation.status("mic-0", level_db=-88.0), "-88 dB"),
        (conversation.status("mic-0", level_db=-20.0), "nobody had finished an utterance"),
    ],
)
def test_an_empty_session_is_explained_in_one_line(message, why):
    lines = summary(conversation.viewed(iter([hello(t_ns=START_NS), message])))
    (line,) = [line for line in lines if line.startswith("No utterance was classified: ")]
    assert why in line


def test_a_session_that_was_ended_while_it_loaded_says_what_it_loaded():
    notes = {"perception": "loading tiny.en", "tracker": "loading", "recorder": ""}
    statuses = (conversation.status(name, phase="starting", note=note) for name, note in notes.items())
    why = "The session ended before it began: still loading perception (tiny.en), recorder, tracker."
    assert summary(conversation.viewed(statuses)) == [why]


def test_the_words_that_stay_stand_under_each_other_where_there_is_room_for_columns():
    view = conversation.viewed(conversation.messages())
    lines = rows(view, 2, 80, UNICODE)
    first = next(n for n, line in enumerate(lines) if "I got it!" in line)
    assert lines[first].index("I got it!") == 36
    assert lines[first + 1].startswith(" " * 36 + "first, and they said")
    narrow = rows(view, 2, 40, UNICODE)
    assert "0:12:20  Ada  joy 88%  I knew it! Come" in narrow
    assert "  here." in narrow


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 90), st.integers(0, 40))
def test_nothing_is_lost_where_a_line_is_broken(text, width, indent):
    broken = UNICODE.hang(text, width, indent)
    assert "".join("".join(broken).split()) == "".join(UNICODE.text(text).split())
    assert all(cell_len(row) <= max(2, width) for row in broken)


def test_a_path_that_people_copy_is_not_broken():
    path = "recordings/" + "monday-" * 20
    view = conversation.viewed(conversation.messages(), iter([conversation.status("recorder", note=path)]))
    assert any(path in row for row in rows(view, 0, 40, UNICODE))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_that_can_only_be_written_to_has_no_keys():
    with pseudo_terminal() as terminal:
        written = os.open(os.ttyname(terminal.fileno()), os.O_WRONLY | os.O_NOCTTY)
        with os.fdopen(written, "w") as half:
            view, _ = show((START_NS, hello()), (START_NS + S, session_end()), file=half)
    assert view.end


def test_nothing_is_summed_up_of_a_session_that_did_not_begin():
    assert summary(SessionView()) == []


def test_the_summary_tells_of_losses():
    view = conversation.viewed(conversation.messages(), conversation.troubled())
    assert "Gaps: 1, 31 messages lost." in summary(view)
    failed = conversation.viewed(conversation.messages(), iter([conversation.status("recorder", phase="failed")]))
    assert "The recording failed." in summary(failed)


def test_a_screenshot_is_a_picture_that_calls_nobody():
    svg = screenshot(conversation.viewed(conversation.messages()), 80, 24, NOW_NS)
    assert "ANALYSING" in "".join(ElementTree.fromstring(svg).itertext())
    assert "url(http" not in svg
    assert "@font-face" not in svg
    assert svg == screenshot(conversation.viewed(conversation.messages()), 80, 24, NOW_NS)
