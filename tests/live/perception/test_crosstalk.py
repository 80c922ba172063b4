"""What a microphone hears of the others is not its own; what its person says is, whoever else talks."""

import numpy as np
import pytest
from fakes import chunks, merged
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import settings_

from erc_live.live.perception.crosstalk import Crosstalk
from erc_live.live.perception.endpointing import Endpointer
from erc_live.live.requests import RequestKind
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, SourceEnd

SECOND = SAMPLE_RATE_HZ
SEEDS = st.integers(0, 1000)


def voice(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Like speech in that its energy is, at any time, in few places: three tones that change every 100 ms."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(SECOND // 10) / SECOND
    tones = rng.uniform(200, 3500, (round(10 * seconds), 3, 1))
    return 2000 * np.sin(2 * np.pi * tones * time_s).sum(1).ravel()


def heard(sound: np.ndarray, db: float, delay: int) -> np.ndarray:
    """The same, further away."""
    return np.concatenate([np.zeros(delay), sound])[: len(sound)] * 10 ** (db / 20)


def pcm(sound: np.ndarray) -> np.ndarray:
    return np.clip(np.round(sound), -32768, 32767).astype(np.int16)


def kept(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Share of the windows that are still speech in each microphone, where detectors hear speech in all."""
    bleed, own = Crosstalk(["a", "b"]), {"a": [], "b": []}
    for window in merged(list(chunks("a", pcm(a))), list(chunks("b", pcm(b)))):
        if len(window.pcm) == CHUNK_SAMPLES:
            own[window.source].append(bleed.own(window, 1.0) >= 0.3)
    return float(np.mean(own["a"])), float(np.mean(own["b"]))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(-30, -6), st.integers(0, 320))
def test_who_is_only_heard_from_afar_does_not_speak_there(seed, db, delay):
    near = voice(seed)
    there, here = kept(heard(near, db, delay), near)
    assert here == 1.0
    assert there < 0.1


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(-60, -9), st.integers(0, 160))
def test_two_who_talk_at_once_are_both_heard(seed, db, delay):
    a, b = voice(seed, 2.0), voice(seed + 5000, 2.0)
    assert min(kept(a + heard(b, db, delay), b + heard(a, db, delay))) > 0.8


@pytest.mark.parametrize("gain_db", [-20, 20])
def test_microphones_may_differ_in_gain_once_both_have_been_spoken_into(gain_db):
    turns, silence = [heard(voice(seed, 3.0), -14, 0) for seed in range(6)], np.zeros(3 * SECOND)
    a = np.concatenate([silence if number % 2 else turn for number, turn in enumerate(turns)])
    b = np.concatenate([turn if number % 2 else silence for number, turn in enumerate(turns)])
    louder = pcm((a + heard(b, -12, 60)) * 10 ** (gain_db / 20))
    bleed = Crosstalk(["a", "b"])
    for window in merged(list(chunks("a", louder)), list(chunks("b", pcm(b + heard(a, -12, 60))))):
        turn, offset_s = divmod(window.t_ns / 1e9, 3.0)
        own = bleed.own(window, 1.0) if len(window.pcm) == CHUNK_SAMPLES else 0.0
        if turn >= 4 and 0.5 < offset_s < 2.9:  # a speaks in the fifth turn, b in the sixth
            assert (own > 0.5) == ((window.source == "a") == (turn == 4))


def test_one_that_is_heard_by_nobody_else_or_alone_keeps_all():
    sound = voice(1)
    assert kept(sound, np.zeros(SECOND)) == (1.0, 1.0)
    bleed = Crosstalk(["a"])
    assert all(bleed.own(window, 0.7) == 0.7 for window in chunks("a", pcm(sound[: 20 * CHUNK_SAMPLES])))


class Sensitive:
    """Any sound is speech."""

    def __call__(self, window: np.ndarray) -> float:
        return float(np.abs(window.astype(np.int32)).mean() > 50)

    def reset(self) -> None:
        """Keeps nothing."""


def room(size: int) -> list[tuple[str, str, int, int]]:
    """Every request about two people who take turns, talk at once and hear each other, as chunks of `size`."""
    quiet = np.zeros(SECOND // 2)
    a = np.concatenate([quiet, voice(1), quiet, np.zeros(SECOND), quiet, voice(3), quiet])
    b = np.concatenate([quiet, np.zeros(SECOND), quiet, voice(2), quiet, voice(4), quiet])
    core = Endpointer({"a": "Ann", "b": "Ben"}, Sensitive, settings_(), start_ns=0)
    sounds = {"a": a + heard(b, -12, 50), "b": b + heard(a, -12, 50)}
    messages = merged(*(list(chunks(source, pcm(sound), 0, size)) for source, sound in sounds.items()))
    ends = [SourceEnd(source=source, t_ns=0, reason="end of file") for source in sounds]
    requests = [request for message in [*messages, *ends] for request in core.feed(message)]
    return sorted((r.kind, r.utterance, r.t_start_ns, r.t_end_ns) for r in requests)


def test_in_one_room_every_utterance_is_asked_about_once_and_drafts_are_of_who_speaks():
    requests = room(CHUNK_SAMPLES)
    starts = {(kind, utterance.partition(":")[0], round(start_ns / 0.5e9)) for kind, utterance, start_ns, _ in requests}
    turns = {("a", 1), ("b", 4), ("a", 7), ("b", 7)}
    assert {start[1:] for start in starts if start[0] == "final"} == turns
    assert {start[1:] for start in starts if start[0] == RequestKind.PARTIAL} <= turns
    assert sum(kind == RequestKind.FINAL for kind, *_ in requests) == 4


@settings(max_examples=10, deadline=None)
@given(st.integers(100, 12_000))
def test_the_size_of_chunks_decides_nothing(size):
    assert room(size) == room(CHUNK_SAMPLES)
