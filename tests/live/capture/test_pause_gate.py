"""While people want nobody to listen, nothing passes, and exactly that is said."""

import numpy as np
from examples import picture
from fakes import chunks
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.capture.pause_gate import PauseGate
from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, Gap

SOUND = [*chunks("mic-0", np.zeros(40 * CHUNK_SAMPLES, np.int16))]


def test_what_was_being_said_is_finished_at_once() -> None:
    gate = PauseGate("mic-0")
    assert [*gate.pass_on(SOUND[:2], paused=False)] == SOUND[:2]
    (first,) = gate.pass_on(SOUND[2:5], paused=True)
    assert first == Gap(source="mic-0", t_start_ns=SOUND[2].t_ns, t_end_ns=SOUND[2].t_end_ns, lost=0, cause="paused")
    assert [*gate.pass_on(SOUND[5:9], paused=True)] == []
    rest, *sound = gate.pass_on(SOUND[9:], paused=False)
    assert isinstance(rest, Gap)
    assert (rest.t_start_ns, rest.t_end_ns) == (SOUND[2].t_end_ns, SOUND[8].t_end_ns)
    assert sound == SOUND[9:]
    assert not [*gate.end()]


@given(st.lists(st.booleans(), min_size=len(SOUND), max_size=len(SOUND)))
def test_what_passes_and_what_is_said_to_be_missing_are_the_whole(paused: list[bool]) -> None:
    gate = PauseGate("mic-0")
    passed = [out for message, off in zip(SOUND, paused, strict=True) for out in gate.pass_on([message], off)]
    passed += gate.end()
    assert [message for message in passed if isinstance(message, AudioChunk)] == [
        message for message, off in zip(SOUND, paused, strict=True) if not off
    ]
    at_ns = SOUND[0].t_ns
    for message in passed:
        start_ns, end_ns = (message.t_start_ns if isinstance(message, Gap) else message.t_ns), message.t_end_ns
        assert start_ns == at_ns
        at_ns = end_ns
    assert at_ns == SOUND[-1].t_end_ns
    pauses = sum(off and not before for before, off in zip([False, *paused], paused, strict=False))
    assert sum(isinstance(message, Gap) for message in passed) <= 2 * pauses


def test_pictures_and_gaps_of_a_pause_are_dropped_as_well() -> None:
    gate = PauseGate("cam")
    own = Gap(source="cam", t_start_ns=300, t_end_ns=900, lost=3, cause="device")
    (first,) = gate.pass_on([picture(1), picture(2), own], paused=True)
    assert (first.cause, first.t_start_ns, first.t_end_ns) == ("paused", 100, 100)
    (rest,) = gate.end()
    assert (rest.t_start_ns, rest.t_end_ns) == (100, 900)
