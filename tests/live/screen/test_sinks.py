"""Lines for programs and for people."""

import io
import json
import subprocess
import sys
import typing

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from erc_live.live.screen import sinks
from erc_live.streams import codec
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import Gap, Hello, PublicEvent

GAP = Gap(source="mic", t_start_ns=61_000_000_000, t_end_ns=62_000_000_000, lost=3, cause="device")
SESSION = [examples.hello(), examples.event(3, text="na ja, sch\u00f6n"), GAP, examples.session_end(1)]


def test_json_lines_are_the_messages() -> None:
    out = io.StringIO()
    sinks.write(SESSION, out, as_json=True)
    assert [codec.from_json(line.encode()) for line in out.getvalue().splitlines()] == SESSION


@pytest.mark.parametrize("locale", ["ascii", "latin-1", "utf-8"])
def test_json_is_utf_8_whatever_the_locale(locale: str) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=locale)
    sinks.write(SESSION, out, as_json=True)
    assert json.loads(raw.getvalue().splitlines()[1])["text"] == "na ja, sch\u00f6n"


def test_text_survives_a_locale_without_the_letters() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    sinks.write(SESSION, out, as_json=False)
    assert b"na ja, sch?n" in raw.getvalue()


def test_text_tells_when_who_what() -> None:
    out = io.StringIO()
    sinks.write(SESSION, out, as_json=False)
    assert out.getvalue().splitlines() == [
        "session s1, model m. estimates",
        "0:00:03  Ada         joy 100%       na ja, sch\u00f6n",
        "0:01:01  mic         3 lost (device)",
        "0:00:00  session ended (end of file), utterances: 1",
    ]


def test_words_that_are_missing_say_why() -> None:
    to_line = sinks.TextLines()
    assert to_line(examples.event(0, text="", skipped=True)).endswith("  (words skipped: machine too slow)")
    assert to_line(examples.event(0, text=" ")).endswith("  (no words)")
    assert to_line(examples.event(0, text="", final=False)).endswith("  ...")


def test_the_end_tells_what_is_missing_and_why() -> None:
    end = replace(examples.session_end(2), lost=3, deaths=1, skipped=4, note="mic-0 is too quiet")
    assert sinks.TextLines()(end) == (
        "0:00:00  session ended (end of file), utterances: 2, lost: 3, "
        "without words because the machine is too slow: 4, deaths: 1; mic-0 is too quiet"
    )


def test_times_count_from_the_hello() -> None:
    to_line = sinks.TextLines()
    to_line(examples.hello(t_ns=2_000_000_000))
    assert to_line(examples.event(3725)).startswith("1:02:03 ")
    assert to_line(examples.event(0)).startswith("0:00:00 ")


def test_a_provisional_event_shows_that_it_is_one() -> None:
    assert sinks.TextLines()(examples.event(0, final=False, text="well")).endswith("well ...")


def test_an_uncertain_event_shows_that_it_is_one() -> None:
    assert "  joy? 100%  " in sinks.TextLines()(examples.event(0, certain=False))


@given(examples.messages(*typing.get_args(PublicEvent)), st.integers(1, 100))
def test_a_line_of_text_fits_and_holds_no_control_codes(message: PublicEvent, width: int) -> None:
    lines = sinks.TextLines(width)(message).split("\n")
    assert len(lines) == 1 or isinstance(message, Hello)
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    line = sinks.TextLines(80)(examples.event(0, text="a\x1b[2Jb\nc\u202ed"))
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\u202e" not in line


def test_wide_letters_count_twice() -> None:
    line = sinks.TextLines(50)(examples.event(0, text="\u4f60" * 40))
    assert line.endswith("\u2026")
    assert 49 <= cell_len(line) <= 50


def test_a_reader_that_goes_away_is_an_ordinary_end() -> None:
    program = (
        "import sys, itertools, examples; from erc_live.live.screen import sinks;"
        "sinks.write(map(examples.event, itertools.count()), sys.stdout, as_json=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=examples.__file__.rpartition("/")[0],
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(200) == 0


def test_the_public_messages_of_a_bus_up_to_the_end() -> None:
    out = io.StringIO()
    said = [[examples.event(0), GAP], [examples.session_end(1), examples.event(1)]]

    class Inlet:
        def receive(self, timeout_s):
            return said.pop(0) if said else []

    sinks.run(Inlet(), out, lambda: False, as_json=True)
    kinds = [json.loads(line)["type"] for line in out.getvalue().splitlines()]
    assert kinds == ["EmotionEvent", "Gap", "SessionEnd"]
    sinks.run(Inlet(), out, lambda: True, as_json=True)  # stopped: returns although no end has come


def test_what_people_and_rules_add_is_a_line() -> None:
    about = {"session": "s1", "t_ns": 61_000_000_000, "wall_ns": 1, "author": "Ann"}
    lines = [
        sinks.TextLines()(message)
        for message in (
            Annotation(kind="mark", text="the phone rings", **about),
            Annotation(kind="name", speaker=0, text="Zoe", **about),
            Annotation(kind="label", utterance="u3", label="bored", **about),
            Alert(session="s1", t_ns=5, rule="a", on=False, text="a: it is over"),
        )
    ]
    assert lines == [
        "0:01:01  mark        Ann: the phone rings",
        "0:01:01  name        Ann: speaker 1 is Zoe",
        "0:01:01  label       Ann: u3 is bored",
        "0:00:00  alert       a: it is over (over)",
    ]


@pytest.mark.parametrize(("term", "provisional"), [("xterm", True), ("dumb", False)])
def test_on_a_dumb_terminal_there_is_one_line_for_each_utterance(monkeypatch, term: str, provisional: bool) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", term)
    out = Terminal()
    sinks.write([examples.hello(), examples.event(0, final=False), examples.event(1)], out, as_json=False)
    assert ("..." in out.getvalue()) == ("\r" in out.getvalue()) == provisional
    assert out.getvalue().count("\n") >= 2
