"""pocketsphinx in a process of its own, because its decoder holds Python's lock from the first sample to the last.

In the process of perception that stopped everything else for as long as it decoded, 11 s of speech for seconds on a
busy machine: no microphone was listened to, and nobody noticed that the recogniser was too slow. Decoding piece by
piece gives other, worse words, since the mean spectrum is then not that of the whole utterance.

The process reads from its standard input the number of samples (4 bytes, little-endian) and the samples, and answers
each with a line of JSON: words, first and last frame, probability. At the end of its input it ends; so it never
outlives the process that asks.
"""

import subprocess
import sys
import weakref

import msgspec
import numpy as np

from erc_live.live.errors import EngineError

FRAMES_PER_S = 100

_SIZE_BYTES = 4


class DecodedWord(msgspec.Struct, frozen=True):
    """An entry of the dictionary that was recognised; frames count from the start. `probability` is the decoder's."""

    word: str
    first: int
    last: int
    probability: float


class Sphinx:
    """Samples in, words out. Raises EngineError when the decoder cannot be had or its process has died."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "erc_live.live.asr.sphinx"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._end = weakref.finalize(self, _end, self._process)
        self.recognise(np.zeros(0, np.int16))  # the first answer is there when the model is loaded

    def recognise(self, pcm: np.ndarray) -> list[DecodedWord]:
        """Shapes: pcm (n,) int16 at 16 kHz."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(len(pcm).to_bytes(_SIZE_BYTES, "little") + pcm.astype("<i2").tobytes())
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise EngineError("the process of pocketsphinx died: pip install --force-reinstall 'erc-live[offline]'")
        return msgspec.json.decode(line, type=list[DecodedWord])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The end of its input ends the process."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait()
    process.stdout.close()


def main() -> None:
    """The process: answer until the input ends."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(loglevel="FATAL")
    while size := sys.stdin.buffer.read(_SIZE_BYTES):
        pcm = sys.stdin.buffer.read(2 * int.from_bytes(size, "little"))
        words: list[DecodedWord] = []
        if pcm:
            decoder.reinit_feat()  # else the mean spectrum of one utterance changes the words of the next
            decoder.start_utt()
            decoder.process_raw(pcm, no_search=False, full_utt=True)
            decoder.end_utt()
            parts = decoder.seg() if decoder.hyp() is not None else ()
            words = [DecodedWord(part.word, part.start_frame, part.end_frame, part.prob) for part in parts]
        sys.stdout.buffer.write(msgspec.json.encode(words) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
