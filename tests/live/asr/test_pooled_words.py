"""Words from a pool: as they were recognised, or none, and then people know; in virtual time and without a socket."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.asr.pooled_words import (
    LOADING_S,
    SILENCE_S,
    PooledTranscriber,
    PoolPatience,
    decode_words,
    encode_words,
)
from erc_live.live.errors import EngineError
from erc_live.live.requests import Speech, TimedWord, Transcript
from erc_live.streams.errors import BadMessage
from erc_live.streams.messages import Recogniser
from erc_live.streams.recognition_channel import SOUND_BYTES, RecognitionReply, RecognitionRequest

HELLO = Transcript("hello", confidence=0.1 + 0.2, words=(TimedWord("hello", 0.1, 1 / 3, 0.7),), language="en")
LIVE_S = 10.0


def speech(start_s: float = 1.0, partial: bool = False, samples: int = 1600) -> Speech:
    return Speech(np.ones(samples, np.int16), "mic-0", start_s, start_s + samples / 16_000, partial=partial)


def here(request: RecognitionRequest) -> RecognitionReply:
    return RecognitionReply(number=request.number, verdict="here", name="whisper", quick=True)


@dataclass
class FakePool:
    """`verdicts` of the requests for words, one after the other, the last for good; None: nobody answers. `gone`: nor
    from then until then.
    """

    verdicts: list[str | None]
    endpoint: str = "ipc:///pool"
    gone: tuple[float, float] = (0.0, 0.0)
    now_s: float = 0.0
    asked: list[RecognitionRequest] = field(default_factory=list)
    replies: list[tuple[RecognitionReply, bytes]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    words: bytes = encode_words(HELLO)

    def send(self, request: RecognitionRequest, sound: bytes = b"") -> bool:
        self.asked.append(request)
        if self.gone[0] <= self.now_s < self.gone[1]:
            return False
        verdict = self.verdicts[0]
        if request.ask == "words" and len(self.verdicts) > 1:
            self.verdicts.pop(0)
        if verdict is None:
            return False
        if request.ask == "who":
            self.replies.append((here(request), b""))
        else:
            reply = RecognitionReply(number=request.number, verdict=verdict, name="whisper", why="because")
            self.replies.append((reply, self.words if verdict == "done" else b""))
        return True

    def receive(self, timeout_s: float) -> tuple[RecognitionReply, bytes] | None:
        if self.replies:
            self.now_s += 0.01
            return self.replies.pop(0)
        self.now_s += timeout_s
        return None

    def open(self, within_s: float | None = LIVE_S, required: bool = True) -> PooledTranscriber:
        patience = PoolPatience(within_s, required, self.lines.append)
        return PooledTranscriber(self, patience, lambda: self.now_s)


FINITE = st.floats(allow_nan=False)
WORDS = st.builds(TimedWord, st.text(), FINITE, FINITE, st.none() | FINITE)
TRANSCRIPTS = st.builds(
    Transcript,
    st.text(),
    st.none() | st.text(),
    st.none() | FINITE,
    st.lists(WORDS, max_size=3).map(tuple),
    st.none() | st.text(),
    st.none() | st.builds(Recogniser, name=st.text()),
    st.booleans(),
)


@given(TRANSCRIPTS)
def test_words_come_back_as_they_were(transcript: Transcript) -> None:
    assert decode_words(encode_words(transcript)) == transcript


@given(st.binary() | st.builds(msgspec.msgpack.encode, st.dictionaries(st.text(), st.integers(0, 9))))
def test_what_is_no_words_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_words(data)


def test_the_words_and_the_name_are_those_of_the_recogniser() -> None:
    pool = FakePool(["done"])
    words = pool.open()
    assert words.transcribe(speech()) == HELLO
    assert (words.name, words.quick, pool.lines) == ("whisper", True, [])


def test_without_a_pool_nothing_begins() -> None:
    with pytest.raises(EngineError, match="start them with erc-live recognise"):
        FakePool([None]).open()


def test_a_pool_that_loads_is_waited_for() -> None:
    pool = FakePool(["waiting"])
    loading: Callable[[RecognitionRequest], RecognitionReply] = lambda request: RecognitionReply(  # noqa: E731
        number=request.number, verdict="waiting" if pool.now_s < LOADING_S - 10 else "here", name="whisper"
    )
    pool.send = lambda request, sound=b"": pool.replies.append((loading(request), b"")) is None  # type: ignore[method-assign]
    assert pool.open().name == "whisper"
    assert pool.now_s >= LOADING_S - 10


def test_of_one_that_is_gone_people_are_told_once_and_again_when_it_is_back() -> None:
    pool = FakePool(["done"])
    words = pool.open()
    pool.verdicts = [None]
    for start_s in (3.0, 5.0):
        assert words.transcribe(speech(start_s)) == Transcript("", skipped=True)
    assert SILENCE_S <= pool.now_s < SILENCE_S + 1.0, "the second did not wait"
    pool.verdicts = ["done"]
    assert words.transcribe(speech(7.0)) == HELLO
    gone, back = pool.lines
    assert gone.startswith("no words of what is said at 3.0 s of mic-0: nobody answers at ipc:///pool")
    assert back == "words come again from whisper, at 7.0 s of mic-0: 2 utterances got none"


def test_while_nobody_is_there_no_sound_is_sent() -> None:
    pool = FakePool(["done"])
    words = pool.open()
    pool.verdicts = [None]
    words.transcribe(speech())
    pool.asked.clear()
    words.transcribe(speech())
    assert {request.ask for request in pool.asked} == {"who"}


def test_words_that_do_not_come_in_time_are_done_without_and_a_late_reply_is_dropped() -> None:
    pool = FakePool(["waiting"])
    words = pool.open()
    begun_s = pool.now_s
    assert words.transcribe(speech(3.0)).skipped
    assert pool.now_s - begun_s == pytest.approx(LIVE_S)
    assert "no answer in time" in pool.lines[0]
    late = RecognitionReply(number=pool.asked[-1].number, verdict="done", name="whisper")
    pool.replies.append((late, encode_words(Transcript("late"))))
    pool.verdicts = ["done"]
    assert words.transcribe(speech(20.0)) == HELLO


@pytest.mark.parametrize("verdict", ["refused", "failed", "unreadable", "dropped"])
def test_what_is_not_recognised_is_skipped_with_the_reason(verdict: str) -> None:
    pool = FakePool([verdict])
    assert pool.open().transcribe(speech(3.0)) == Transcript("", skipped=True)
    assert pool.now_s < 1.0
    assert "because" in pool.lines[0]


def test_a_provisional_one_without_words_is_no_news() -> None:
    pool = FakePool(["dropped"])
    assert pool.open().transcribe(speech(partial=True)).skipped
    assert not pool.lines


def test_a_pool_that_was_started_anew_is_given_the_sound_again() -> None:
    pool = FakePool(["unknown", "done"])
    assert pool.open().transcribe(speech()) == HELLO
    assert [request.ask for request in pool.asked] == ["who", "words", "words"]


def test_a_recording_waits_and_loses_nothing() -> None:
    pool = FakePool(["refused", "done"], gone=(0.3, 500.0))
    words = pool.open(within_s=None)
    assert words.transcribe(speech(3.0)) == HELLO
    assert pool.now_s > 500.0
    assert pool.lines == [
        "the recording waits at 3.0 s of mic-0: because",
        "words come again from whisper, at 3.0 s of mic-0: none were lost",
    ]


def test_a_recording_that_kills_recognisers_does_not_try_for_ever() -> None:
    pool = FakePool(["failed"])
    assert pool.open(within_s=None).transcribe(speech()).skipped


def test_one_that_is_slow_to_say_that_it_is_back_is_found_all_the_same() -> None:
    pool = FakePool(["done"])
    words = pool.open()
    pool.verdicts = [None]
    assert words.transcribe(speech(3.0)).skipped
    assert words.transcribe(speech(4.0)).skipped
    pool.replies.append((here(pool.asked[-1]), b""))
    pool.verdicts, pool.gone = ["done"], (0.0, pool.now_s + 0.005)
    assert words.transcribe(speech(5.0)) == HELLO


def test_what_is_no_words_of_ours_is_told() -> None:
    pool = FakePool(["done"], words=b"\x01")
    assert pool.open().transcribe(speech()).skipped
    assert "another version of erc-live" in pool.lines[0]


def test_what_is_too_long_is_not_sent() -> None:
    pool = FakePool(["done"])
    assert pool.open().transcribe(speech(samples=SOUND_BYTES // 2 + 1)).skipped
    assert "longer than 60 s" in pool.lines[0]
    assert [request.ask for request in pool.asked] == ["who"]
