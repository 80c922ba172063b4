"""What is wrong with the sound of a source, in words for people; a constant offset is taken out.

Bad sound is analysed all the same: people are told, and decide. The one thing that is mended is an offset of the
converter, which would count as loudness for ever. The rule of this file: what leaves depends on the chunks that came,
and on nothing else, so a file gives the same samples at any speed. A recorded session was mended when it was live.
"""

from collections import deque
from typing import Literal

import msgspec
import numpy as np

from erc_live.streams.messages import CHUNK_S, SAMPLE_RATE_HZ, AudioChunk
from erc_live.streams.mixing import Mixer

ZEROS_S = 3.0  # of nothing but zeros, which no open microphone delivers
FILE_ZEROS_S = 10.0  # from the start; later, pauses may have been made silent
RAIL = 32_300  # of 32768: resampling rounds off what was cut flat
CLIPPING_S = 3.0
CLIPPING_SHARE = 0.002  # of the samples of the last `CLIPPING_S`: loud speech that is not cut touches the rails singly
OFFSET = 256  # of 32768 (-42 dB): more than this in the mean is no speech
OFFSET_S = 2.0  # over which the mean is taken
OFFSET_FIRST_S = 0.5  # before which no mean is believed
TURNED_OVER = "its two channels cancel each other, so one is turned over; --mic NAME@1 hears the first alone"


class SoundCheck:
    """Listens to the chunks of one source, in order. `level_db`: dBFS of the latest one, None before. `mixer`: makes
    them of the channels of a file.
    """

    def __init__(self, medium: Literal["device", "file", "bundle"], rate_hz: float) -> None:
        self.level_db: float | None = None
        self.mixer = Mixer()
        self._medium = medium
        self._telephone = f"recorded at {rate_hz / 1000:g} kHz: telephone quality" if rate_hz < SAMPLE_RATE_HZ else ""
        self._zeros = 0
        self._sounded = False  # something else than zeros ever came
        self._cut: deque[int] = deque(maxlen=round(CLIPPING_S / CHUNK_S))  # samples of each chunk that touch a rail
        self._chunks = 0
        self._mean = 0.0
        self._taken = 0.0  # off the end of the latest chunk
        self._offset = False

    def take(self, chunk: AudioChunk) -> AudioChunk:
        """Listen to the next chunk. Returns it, without its offset where it has one."""
        pcm = chunk.pcm
        silent = not len(pcm) or int(pcm.min()) == int(pcm.max())
        self._zeros = self._zeros + 1 if silent else 0
        self._sounded = self._sounded or not silent
        self._cut.append(int(np.count_nonzero(np.abs(pcm.astype(np.int32)) >= RAIL)))
        if self._medium != "bundle" and len(pcm):
            pcm = self._without_offset(pcm)
            chunk = msgspec.structs.replace(chunk, pcm=pcm)
        self.level_db = level_db(pcm) if len(pcm) else self.level_db
        return chunk

    @property
    def note(self) -> str:
        """All that is wrong now, the worst first; "" if all is well."""
        zeros_s, zeros = self._zeros * CHUNK_S, ""
        if self._medium == "device" and zeros_s >= ZEROS_S:
            zeros = "sound is all zero: is the microphone muted, or not permitted?"
        elif zeros_s >= FILE_ZEROS_S and not self._sounded:
            zeros = "sound is all zero so far"
        clipping = sum(self._cut) > CLIPPING_SHARE * CLIPPING_S * SAMPLE_RATE_HZ
        notes = (
            zeros,
            "sound is clipping: lower the level" if clipping else "",
            TURNED_OVER if self.mixer.turned_over else "",
            "a constant offset is taken out of the sound" if self._offset else "",
            self._telephone,
        )
        return "; ".join(note for note in notes if note)

    def _without_offset(self, pcm: np.ndarray) -> np.ndarray:
        """The first offset that is found is followed from there on: to stop and begin again would be heard."""
        self._chunks += 1
        self._mean += (float(pcm.mean()) - self._mean) / min(self._chunks, OFFSET_S / CHUNK_S)
        self._offset = self._offset or (self._chunks * CHUNK_S >= OFFSET_FIRST_S and abs(self._mean) > OFFSET)
        if not self._offset:
            return pcm
        before, self._taken = self._taken, self._mean
        steps = np.linspace(before, self._taken, len(pcm), endpoint=False)  # without a jump, also where it begins
        return np.clip(np.rint(pcm - steps), -32768, 32767).astype(np.int16)


def level_db(pcm: np.ndarray) -> float:
    """Level in dB below full scale, -90.3 (one step of the converter) at the least. Shapes: pcm (n,) int16, n > 0."""
    rms = float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))
    return float(20 * np.log10(max(rms, 1.0) / 32768))
