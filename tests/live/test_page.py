"""What people read who follow a session in a terminal or a file: one line for each utterance, and corrections once."""

import io

import pytest
from examples import event, hello, messages, session_end
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from erc_live.live.screen import sinks
from erc_live.live.screen.sinks import Page
from erc_live.streams.messages import EmotionEvent, Hello, PublicEvent, Relabel

S = 1_000_000_000
DRAFTS = [event(seq, utterance="u", t_start_ns=0, final=False, revision=seq, text="well " * seq) for seq in range(1, 4)]
FINAL = event(4, utterance="u", t_start_ns=0, revision=4, text="well")
RELABEL = Relabel(t_ns=9 * S, dialogue="d", moved=("u",), voice="mic-0#2", speaker_name=None, cause="merge")
PUBLIC = (EmotionEvent, Hello, Relabel)


def rows(text: str) -> list[str]:
    """What a terminal shows: what follows a return to the start of the row is written over it."""
    shown = []
    for line in text.split("\n"):
        row = ""
        for part in line.split("\r"):
            row = part + row[len(part) :]
        shown.append(row.rstrip())
    return shown


def written(width: int | None, *said: PublicEvent) -> str:
    page = Page(width)
    return "".join(page.add(message) for message in said) + page.end()


def test_what_is_provisional_is_replaced_on_a_terminal() -> None:
    text = written(80, hello(), *DRAFTS[:2])
    assert rows(text)[1].endswith("well well  ...")
    assert text.endswith("\n"), "the prompt of the shell gets a row of its own"
    shown = rows(written(80, hello(), *DRAFTS, FINAL))
    assert [row[:7] for row in shown] == ["session", "0:00:00", ""]
    assert shown[1].endswith("well")


def test_what_is_provisional_is_left_out_elsewhere() -> None:
    assert written(None, hello(), *DRAFTS, FINAL) == written(None, hello(), FINAL)


def test_of_what_is_said_again_only_what_changed_is_told() -> None:
    other = event(1, utterance="v")
    again = [event(5, utterance="u", t_start_ns=0, revision=5, text="well", speaker=1, speaker_name="Speaker 2")]
    again.append(event(6, utterance="v", t_start_ns=other.t_start_ns, revision=1))
    told = rows(written(80, hello(), FINAL, other, RELABEL, *again))
    assert told[3:] == ["0:00:09  corrected   Ada > Speaker 2 from 0:00:00, utterances: 1", ""]
    again.append(event(7, utterance="v", t_start_ns=other.t_start_ns, revision=2, label="anger"))
    told = rows(written(80, hello(), FINAL, other, RELABEL, *again))
    assert told[4].startswith("0:00:01  Ada         anger")
    assert len(told) == 6


def test_a_correction_of_what_nobody_read_is_told_without_names() -> None:
    text = rows(written(80, hello(), RELABEL, event(1, utterance="v")))
    assert text[1] == "0:00:09  corrected   1 of the utterances before said by another voice"
    assert "well then" in text[2]


def test_a_moved_utterance_with_another_label_is_told_again() -> None:
    again = event(5, utterance="u", t_start_ns=0, revision=5, text="well", speaker_name="Ben", speaker=1, label="fear")
    told = rows(written(None, hello(), FINAL, RELABEL, again))
    assert [row[9:20].strip() for row in told[2:4]] == ["corrected", "Ben"]


def test_who_is_unsure_has_a_question_mark() -> None:
    assert "Ada?" in written(None, event(1, speaker_confidence=0.3))
    assert "Ada?" not in written(None, event(1, speaker_confidence=0.9))
    assert "Ada?" not in written(None, event(1))


@pytest.mark.parametrize("width", [20, 40, 80, None])
def test_nobody_is_spared_a_word_of_the_notice(width: int | None) -> None:
    """It is wrapped where everything else is cut, and written over what is provisional."""
    greeting = hello(notice="A computer estimates which emotions are expressed here. Say so if you do not want it.")
    text = written(width, DRAFTS[0], greeting, FINAL)
    shown = rows(text)
    whole = " ".join(shown)
    assert all(word in whole for word in greeting.notice.split())
    assert width is None or all(cell_len(row) < width for row in shown)
    assert not any("..." in row for row in shown)


def test_another_session_tells_everything() -> None:
    assert written(None, hello(), FINAL, hello(session="s2"), FINAL).count("well") == 2


@given(st.lists(messages(*PUBLIC), max_size=20), st.integers(2, 100))
def test_every_row_fits_and_what_is_final_stays(said: list[PublicEvent], width: int) -> None:
    text = written(width, *said)
    assert all(cell_len(part) < width for line in text.split("\n") for part in line.split("\r"))
    greetings = [message for message in said if isinstance(message, Hello)]
    assert text.count("\n") <= len(said) + sum(len(f"{greeting}") for greeting in greetings)


@pytest.mark.parametrize("stops", [KeyboardInterrupt, BrokenPipeError])
def test_on_every_way_out_the_row_is_ended(stops: type[BaseException]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return sinks.os.open(sinks.os.devnull, sinks.os.O_WRONLY)

    def said():
        yield from (hello(), DRAFTS[0])
        raise stops

    out = Terminal()
    if stops is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            sinks.write(said(), out, as_json=False)
    else:
        sinks.write(said(), out, as_json=False)
    assert out.getvalue().endswith("...\n")


def test_lines_for_programs_hold_everything() -> None:
    out = io.StringIO()
    sinks.write([hello(), *DRAFTS, FINAL, RELABEL, FINAL, session_end()], out, as_json=True)
    assert out.getvalue().count("\n") == 8
