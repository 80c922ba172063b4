"""A session and a pool over real sockets, with recognisers that are none: a pool that vanishes in the middle of a
request, and another one in its place.
"""

import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import closing, contextmanager

import numpy as np
import pytest

from erc_live.live.asr.pooled_words import PooledTranscriber, PoolPatience, encode_words
from erc_live.live.asr_pool.pool_loop import turn
from erc_live.live.asr_pool.pool_metrics import PoolMetrics
from erc_live.live.asr_pool.pool_scale import PoolScale
from erc_live.live.asr_pool.recogniser_pool import LoadedRecogniser, PoolNews, RecogniserPool
from erc_live.live.requests import Speech, Transcript
from erc_live.streams.plural import counted
from erc_live.streams.recognition_channel import RecognitionInlet, RecognitionOutlet

SPEECH = Speech(np.ones(1600, np.int16), "mic-0", 3.0, 3.1)


class AtOnce:
    """A recogniser that answers at once; `mute`: never. `asked` is set when it is asked."""

    alive = True

    def __init__(self, mute, asked):
        self.loaded, self._mute, self._asked = Future(), mute, asked
        self.loaded.set_result(LoadedRecogniser(1, "whisper", quick=False))

    def transcribe(self, sound, partial):
        words = Future()
        if not self._mute:
            words.set_result(encode_words(Transcript(f"{len(sound)} bytes")))
        self._asked.set()
        return words

    def end(self):
        """There is nothing to end."""

    kill = end


@pytest.fixture
def endpoint():
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield f"ipc://{place}/r"


@contextmanager
def serving(endpoint, mute=False):
    """A pool in a thread, until the end of the block; yields what is set when it is asked for words."""
    asked, over = threading.Event(), threading.Event()
    news = PoolNews(lambda *_: None, lambda *_: None, lambda *_: None)
    pool, metrics = RecogniserPool(lambda: AtOnce(mute, asked), PoolScale(1, 1), news), PoolMetrics()

    def serve():
        with closing(RecognitionInlet(endpoint)) as inlet:
            while not over.is_set():
                turn(pool, inlet, metrics)

    thread = threading.Thread(target=serve)
    thread.start()
    yield asked
    over.set()
    thread.join()


def test_a_pool_that_vanishes_in_the_middle_of_a_request_is_told_and_so_is_its_return(endpoint):
    lines, clock, begun_s = [], {"speed": 1.0}, time.monotonic()
    with closing(RecognitionOutlet(endpoint)) as outlet:
        with serving(endpoint, mute=True) as asked:
            words = PooledTranscriber(
                outlet, PoolPatience(1e9, True, lines.append), lambda: clock["speed"] * (time.monotonic() - begun_s)
            )
            answers = []
            waiting = threading.Thread(target=lambda: answers.append(words.transcribe(SPEECH)))
            waiting.start()
            assert asked.wait(200)
        clock["speed"] = 100.0  # nobody is there any more: that is known at once
        waiting.join()
        clock["speed"] = 1.0
        assert answers == [Transcript("", skipped=True)]
        with serving(endpoint):
            while (again := words.transcribe(SPEECH)).skipped:
                answers.append(again)
    assert again == Transcript("3200 bytes")
    gone, back = lines
    assert "nobody answers" in gone
    assert back.endswith(f"{counted(len(answers), 'utterance')} got none")
