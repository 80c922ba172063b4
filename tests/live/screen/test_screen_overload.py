"""That the machine does not keep up can be seen on every screen with room for a line, and what it costs in full."""

import sys

import conversation
import pytest
from examples import hello, session_end
from test_dashboard import START_NS, S, pseudo_terminal, show
from test_screen import shown

from erc_live.live.perception.load_shedding import levels
from erc_live.live.screen import terminal as terminal_module
from erc_live.live.screen.view import reduce
from erc_live.streams.messages import Overload

STEPS = [f"{way} {step.lost}" for step in levels(spare=True) for way in ("without", "again with")]


def overloaded(step, level=2, *parts):
    view = conversation.viewed(conversation.messages(), *parts)
    return reduce(view, Overload(t_ns=conversation.NOW_NS, level=level, step=step, waiting_s=9.0))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("width", "height"), [(120, 36), (80, 24), (80, 12)])
def test_what_is_given_up_is_told_in_full(step, width, height):
    assert f"overload 2: {step}" in shown(overloaded(step), width, height)


def test_on_a_small_screen_it_takes_the_line_of_troubles():
    assert "overload 1: without words" in shown(overloaded("without words", 1), 40, 10)
    assert "overload" not in shown(overloaded("without words", 1), 40, 5)


def test_losses_are_still_told():
    text = shown(overloaded("without words", 4, conversation.troubled()), 120, 36)
    assert "gaps 1 (31 lost)" in text
    assert "dropped 3" in text
    assert "lag 2.4 s" in text
    assert "FAILED" in text


def test_it_goes_when_the_machine_keeps_up_again():
    assert "overload" not in shown(overloaded("again with words in provisional events", 0), 80, 24)


def test_an_utterance_whose_words_were_given_up_says_so():
    for skipped, says in ((True, "(words skipped: machine too slow)"), (False, "(no words recognised)")):
        view = reduce(conversation.viewed(), conversation.utterance(0, 0, START_NS, text="", skipped=skipped))
        assert says in shown(view, 80, 24)


@pytest.mark.parametrize(("width", "height"), [(120, 36), (80, 24), (80, 12)])
def test_what_people_are_to_be_told_stays_on_the_screen(width, height):
    died = f"the perception process was killed by SIGKILL; see /log/{'x' * 60}; it is started again"
    view = conversation.viewed(conversation.messages())
    for status in (
        conversation.status("perception", phase="failed", warning=died),
        conversation.status("perception", warning="words come from a makeshift"),
        conversation.status("perception", warning="words come from a makeshift"),
        conversation.status("perception"),
    ):
        view = reduce(view, status)
    assert view.warnings == (died, "words come from a makeshift")
    text = " ".join(shown(view, width, height).split())
    assert "it is started again" in text
    assert "words come from a makeshift" in text


def test_on_a_small_screen_there_is_a_line_for_the_newest():
    view = reduce(conversation.viewed(conversation.messages()), conversation.status("mic-0", warning="old"))
    view = reduce(view, conversation.status("mic-0", warning="new and long " * 9))
    assert "new and long" in shown(view, 40, 10)


def test_a_draft_without_words_is_speech_and_not_a_failure():
    view = reduce(conversation.viewed(), conversation.utterance(0, 0, START_NS, final=False, text=""))
    assert "(speaking)" in shown(view, 80, 24)
    assert "no words" not in shown(view, 80, 24)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_s_does_not_stop_the_screen():
    """A stopped screen reads nothing any more, while everything else goes on."""
    import termios

    during = []
    with pseudo_terminal() as terminal:
        before = termios.tcgetattr(terminal)
        look = (START_NS, lambda: during.append(termios.tcgetattr(terminal)))
        show((START_NS, hello()), look, (START_NS + S, session_end()), file=terminal)
        assert termios.tcgetattr(terminal) == before
    assert not during[0][terminal_module.INPUT_FLAGS] & termios.IXON


@pytest.mark.parametrize(("width", "height"), [(120, 36), (80, 24), (80, 12), (40, 10)])
def test_who_is_too_slow_for_words_is_told_what_helps(width, height):
    view = reduce(conversation.viewed(), conversation.utterance(0, 0, START_NS, text="", skipped=True))
    text = " ".join(shown(view, width, height).split())
    assert "words are skipped" in text
    assert ("choose a smaller transcriber.model" in text) == (width >= 80)
    later = [conversation.utterance(n, 0, START_NS, utterance=f"v{n}") for n in range(1, 7)]
    for said in later:
        view = reduce(view, said)
    assert "words are skipped" not in shown(view, width, height), "it keeps up again"


def test_what_is_to_be_known_of_a_device_is_wrapped_and_not_cut():
    note = "sound is clipping: turn the microphone down, or move it away from the mouth"
    view = reduce(conversation.viewed(conversation.messages()), conversation.status("mic-0", level_db=-1.0, note=note))
    left = " ".join(line[:40].removeprefix(" mic-0") for line in shown(view, 80, 30).split("\n"))
    assert note in " ".join(left.split())


def test_the_reason_of_a_failure_is_there_in_full():
    why = "cannot be opened: another program holds it; end that program, or choose another device with --mic"
    view = reduce(conversation.viewed(conversation.messages()), conversation.status("mic-1", phase="failed", note=why))
    assert f"mic-1 FAILED {why}" in " ".join(shown(view, 80, 24).split())
