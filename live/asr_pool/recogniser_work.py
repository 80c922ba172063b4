"""What a process of a pool does, wherever it is: load one recogniser, then samples in and words out.

The rule of this file: nothing is kept of what was said, neither in memory nor on a disk.
"""

import os
from collections.abc import Callable

import numpy as np

from erc_live.live.asr.pooled_words import encode_words
from erc_live.live.asr_pool.recogniser_pool import LoadedRecogniser
from erc_live.live.config import ModelsSection, TranscriberSection
from erc_live.live.errors import mendable
from erc_live.live.requests import Speech
from erc_live.live.session.heap import Heap
from erc_live.streams.messages import SAMPLE_RATE_HZ

Samples = tuple[bytes, bool]  # int16, and whether the utterance goes on


class RecogniserWork:
    """`load`, then `transcribe`. Not for several threads."""

    def __init__(self, choice: TranscriberSection, models: ModelsSection) -> None:
        self._choice, self._models = choice, models

    def load(self) -> LoadedRecogniser:
        """Raises EngineError where the recogniser cannot run here."""
        from erc_live.live.asr.transcribers import makeshift, open_transcriber  # who asks loads no engine
        from erc_live.live.session.weight_cache import models_folder

        self._heap = Heap()
        self._recogniser = open_transcriber(self._choice, models_folder(self._models))
        warning = makeshift(self._choice, self._recogniser)
        return LoadedRecogniser(os.getpid(), self._recogniser.name, self._recogniser.quick, warning)

    def transcribe(self, sound: bytes, partial: bool) -> bytes:
        """The words, as `decode_words` reads them."""
        pcm = np.frombuffer(sound, "<i2")
        speech = Speech(pcm, source="", start_s=0.0, end_s=len(pcm) / SAMPLE_RATE_HZ, partial=partial)
        words = encode_words(self._recogniser.transcribe(speech))
        self._heap.trim()
        return words


def work(
    receive: Callable[[], Samples],
    send: Callable[[LoadedRecogniser | bytes | Exception], object],
    choice: TranscriberSection,
    models: ModelsSection,
) -> None:
    """The life of such a process, until one of the functions raises. What a recogniser raises ends it, loudly: what it
    was at is then tried in another one.
    """
    recogniser = RecogniserWork(choice, models)
    try:
        loaded = recogniser.load()
    except Exception as error:
        send(mendable(error))
        return
    send(loaded)
    while True:
        send(recogniser.transcribe(*receive()))
