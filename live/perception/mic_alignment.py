"""Microphones aligned: what several of them hear, in windows, in the order of time.

Sound comes in pieces of any size, from each microphone when its device has it. Who compares microphones must have
heard all of them up to the same time, and must read them in an order that is the same live and in replay. So what a
microphone heard waits until the others have been heard as far, but not for one that is far behind: that has stalled.
Only times of the media decide, never when something arrived.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, Gap, SourceEnd, samples_to_ns

JITTER_NS = 1_000_000  # chunks this close to where they are expected are continuous

Sound = AudioChunk | Gap | SourceEnd


class MicAlignment:
    """`take` what microphones send, get what is due: sound in windows of `CHUNK_SAMPLES`, without the rest before a
    hole, a gap or the end. A microphone that is `stalled_ns` behind the newest sound is not waited for.
    """

    def __init__(self, sources: Sequence[str], start_ns: int, stalled_ns: float) -> None:
        self._microphones = {source: _MicrophoneQueue(start_ns) for source in sources}
        self._stalled_ns = stalled_ns

    def take(self, message: Sound) -> list[Sound]:
        """The next message of a microphone, those of each in its own order."""
        microphone = self._microphones[message.source]
        if isinstance(message, AudioChunk):
            microphone.cut(message)
        else:
            microphone.stop(message)
        newest_ns = max(microphone.begun_ns for microphone in self._microphones.values())
        awaited = [
            microphone.covered_ns
            for microphone in self._microphones.values()
            if not microphone.ended and newest_ns - microphone.covered_ns < self._stalled_ns
        ]
        until_ns = min(awaited, default=None)
        due = [item for microphone in self._microphones.values() for item in microphone.take_until(until_ns)]
        return [message for _, message in sorted(due, key=lambda item: (item[0], item[1].source))]


class _MicrophoneQueue:
    """One microphone: what waits, and the time from which it is due."""

    def __init__(self, start_ns: int) -> None:
        self.covered_ns = start_ns
        self.begun_ns = start_ns  # where the latest chunk begins, so that the size of chunks decides nothing
        self.ended = False
        self._waiting: deque[tuple[int, Sound]] = deque()
        self._due_ns = start_ns
        self._next_ns: int | None = None  # where the rest begins; None: after a stop
        self._rest = np.empty(0, np.int16)

    def cut(self, chunk: AudioChunk) -> None:
        """Take sound; what is continuous is counted in samples, whatever the stamps say."""
        if self._next_ns is None or abs(chunk.t_ns - self._next_ns - samples_to_ns(len(self._rest))) > JITTER_NS:
            self._next_ns, self._rest = chunk.t_ns, np.empty(0, np.int16)
        samples = np.concatenate([self._rest, chunk.pcm])
        whole = len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES
        for pcm in samples[:whole].reshape(-1, CHUNK_SAMPLES):
            window = AudioChunk(source=chunk.source, t_ns=self._next_ns, pcm=pcm)
            self._next_ns = window.t_end_ns
            self._wait(window.t_end_ns, window)
        self._rest = samples[whole:]
        self.begun_ns = max(self.begun_ns, chunk.t_ns)
        self.covered_ns = max(self.covered_ns, chunk.t_end_ns)

    def stop(self, message: Gap | SourceEnd) -> None:
        """Take what ends the sound here. Nothing of before the end of a gap will come any more."""
        self._wait(self.covered_ns, message)
        self._next_ns = None
        if isinstance(message, Gap):
            self.covered_ns = max(self.covered_ns, message.t_end_ns)
        else:
            self.ended = True

    def take_until(self, t_ns: int | None) -> list[tuple[int, Sound]]:
        """What is due by then; all for None."""
        due: list[tuple[int, Sound]] = []
        while self._waiting and (t_ns is None or self._waiting[0][0] <= t_ns):
            due.append(self._waiting.popleft())
        return due

    def _wait(self, due_ns: int, message: Sound) -> None:
        self._due_ns = max(self._due_ns, due_ns)
        self._waiting.append((self._due_ns, message))
