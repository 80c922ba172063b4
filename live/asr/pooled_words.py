"""Words from a pool of recognisers that many sessions share (`erc-live recognise`): no recogniser is loaded here.

They are the words of the recogniser alone, bit for bit. Where somebody waits for them, an utterance for which they do
not come in time goes without, as on overload (`skipped`); a recording waits, and loses nothing. Either way a line says
when it begins and when it is over, for a pool that is gone looks like people who say nothing.
The rule of this file: a reply that comes too late is dropped, and while nobody answers, no sound is sent.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from erc_live.live import config
from erc_live.live.errors import EngineError
from erc_live.live.requests import Speech, Transcript
from erc_live.streams.address import recognition_endpoint
from erc_live.streams.codec import UNREADABLE
from erc_live.streams.errors import BadMessage
from erc_live.streams.plural import counted
from erc_live.streams.recognition_channel import (
    SOUND_BYTES,
    SOUND_S,
    RecognitionOutlet,
    RecognitionReply,
    RecognitionRequest,
)

ASK_S = 0.5  # without an answer, after which it is asked whether the request is still there
SILENCE_S = 3.0  # without any answer, after which the pool counts as gone; one that works takes milliseconds
PROBE_S = 0.1  # for which one that is gone is asked for before an utterance goes without words
LOADING_S = 300.0  # in which a pool that has just been started has loaded
RETRY_S = 0.5  # before a recording asks again for what was refused
_NEVER = ("dropped", "unreadable", "failed")  # asking again would give nothing else


@dataclass(frozen=True)
class PoolPatience:
    """For how long the words of an utterance are waited for (None: until they come). `required`: a pool must be there
    when it is opened. `notify`: told, in any thread, when words are missing and when they come again.
    """

    within_s: float | None = None
    required: bool = True
    notify: Callable[[str], None] = lambda line: None


class Asking(Protocol):
    """As `RecognitionOutlet`."""

    endpoint: str

    def send(self, request: RecognitionRequest, sound: bytes = b"") -> bool: ...

    def receive(self, timeout_s: float) -> tuple[RecognitionReply, bytes] | None: ...


class PooledTranscriber:
    """A `Transcriber`. `name` is that of the recogniser behind, as it said last. Not for several threads at once."""

    def __init__(self, outlet: Asking, patience: PoolPatience, now_s: Callable[[], float] = time.monotonic) -> None:
        """Raises EngineError where nobody answers, and that is required."""
        self.name = f"recognisers at {outlet.endpoint}"
        self.quick = False
        self._outlet, self._patience, self._now_s = outlet, patience, now_s
        self._number = 0
        self._is_there = False
        self._troubled = False  # it was said that words are missing
        self._without = 0  # utterances since
        if not self._find(SILENCE_S) and patience.required:
            raise EngineError(
                f"no recognisers answer at {outlet.endpoint}: start them with erc-live recognise, or set "
                "`transcriber.engine` to auto"
            )

    def transcribe(self, utterance: Speech) -> Transcript:
        sound = utterance.pcm.astype("<i2", copy=False).tobytes()
        if not sound:
            return Transcript("")
        within_s = self._patience.within_s
        end_s = math.inf if within_s is None else self._now_s() + within_s
        why = f"it is longer than {SOUND_S} s" if len(sound) > SOUND_BYTES else ""
        while not why:
            reply, words = self._ask(sound, utterance.partial, end_s)
            if reply.verdict == "done":
                transcript = self._read(reply, words)
                if transcript is not None:
                    self._come_again(utterance)
                    return transcript
                why = "what came is no words: is it another version of erc-live?"
            elif within_s is not None or reply.verdict in _NEVER:
                why = reply.why or reply.verdict
            else:  # nobody is there, or too much waits
                self._say(f"the recording waits at {utterance.start_s:.1f} s of {utterance.source}: {reply.why}")
                self._receive(RETRY_S)
        return self._go_without(utterance, why)

    def _ask(self, sound: bytes, partial: bool, end_s: float) -> tuple[RecognitionReply, bytes]:
        """What becomes of it until `end_s`; "waiting" where nothing does."""
        self._number += 1
        nothing = RecognitionReply(number=self._number, verdict="waiting", why="no answer in time")
        gone = msgspec.structs.replace(nothing, why=f"nobody answers at {self._outlet.endpoint}")
        if not (self._is_there or self._find(PROBE_S)):
            return gone, b""
        request = RecognitionRequest(
            ask="words", number=self._number, partial=partial, within_s=self._patience.within_s
        )
        self._outlet.send(request, sound)
        answered_s = self._now_s()
        while (left_s := end_s - self._now_s()) > 0:
            received = self._receive(min(ASK_S, left_s))
            if received is None:
                if self._now_s() - answered_s >= SILENCE_S:
                    self._is_there = False
                    return gone, b""
                self._outlet.send(RecognitionRequest(ask="still", number=self._number))
                continue
            answered_s = self._now_s()
            reply, words = received
            if reply.number == self._number and reply.verdict == "unknown":  # the pool was started anew
                self._outlet.send(request, sound)
            elif reply.number == self._number and reply.verdict != "waiting":
                return reply, words
        return nothing, b""

    def _find(self, within_s: float) -> bool:
        """Whether somebody answers, and from then on is there; one that loads is waited for where that is required."""
        self._number += 1
        question = RecognitionRequest(ask="who", number=self._number)
        self._outlet.send(question)
        begun_s = answered_s = self._now_s()
        while self._now_s() - answered_s < within_s:
            received = self._receive(PROBE_S)
            if received is None:
                self._outlet.send(question)
                continue
            reply, _ = received
            if reply.verdict == "here":  # also to an earlier question: on a slow machine one takes longer than a probe
                self._is_there, self.name, self.quick = True, reply.name, reply.quick
                return True
            if self._patience.required and self._now_s() - begun_s < LOADING_S:
                answered_s = self._now_s()
        return False

    def _receive(self, timeout_s: float) -> tuple[RecognitionReply, bytes] | None:
        """The next reply that can be read, if there is one."""
        try:
            return self._outlet.receive(timeout_s)
        except BadMessage:
            return None

    def _read(self, reply: RecognitionReply, words: bytes) -> Transcript | None:
        self.name = reply.name
        try:
            return decode_words(words)
        except BadMessage:
            return None

    def _go_without(self, utterance: Speech, why: str) -> Transcript:
        if not utterance.partial:
            self._without += 1
            self._say(
                f"no words of what is said at {utterance.start_s:.1f} s of {utterance.source}: {why}; what follows may "
                "have none either"
            )
        return Transcript("", skipped=True)

    def _come_again(self, utterance: Speech) -> None:
        if self._troubled:
            lost = f"{counted(self._without, 'utterance')} got none" if self._without else "none were lost"
            self._patience.notify(
                f"words come again from {self.name}, at {utterance.start_s:.1f} s of {utterance.source}: {lost}"
            )
        self._troubled, self._without = False, 0

    def _say(self, line: str) -> None:
        """Once, until words come again."""
        if not self._troubled:
            self._troubled = True
            self._patience.notify(line)


def open_pooled(choice: config.TranscriberSection, patience: PoolPatience) -> PooledTranscriber:
    """Ask the pool that the configuration names. Raises EngineError where it has to be there, and is not, and
    AddressError.
    """
    return PooledTranscriber(RecognitionOutlet(recognition_endpoint(choice.pool)), patience)


def pooled_name(choice: config.TranscriberSection) -> str:
    """The recogniser of the pool. Raises EngineError where nobody answers, and AddressError."""
    outlet = RecognitionOutlet(recognition_endpoint(choice.pool))
    try:
        return PooledTranscriber(outlet, PoolPatience()).name
    finally:
        outlet.close()


def encode_words(transcript: Transcript) -> bytes:
    """As they come back from a pool; every number as it was, to the last bit."""
    return msgspec.msgpack.encode(transcript)


def decode_words(data: bytes) -> Transcript:
    """Inverse of `encode_words`. Raises BadMessage."""
    try:
        return msgspec.msgpack.decode(data, type=Transcript)
    except UNREADABLE as error:
        raise BadMessage(f"no words: {error}") from error
