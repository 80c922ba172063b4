"""Recognisers of a pool in actors of a real Ray, one of which is killed. What is dear is its start."""

import os
import queue
import signal
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from erc_live.live.asr.pooled_words import decode_words
from erc_live.live.asr.transcribers import open_transcriber
from erc_live.live.asr_pool.pool_scale import PoolScale
from erc_live.live.asr_pool.ray_recognisers import ray_starter
from erc_live.live.asr_pool.recogniser_pool import PoolNews, RecogniserPool
from erc_live.live.config import ModelsSection, TranscriberSection
from erc_live.live.requests import Speech
from erc_live.live.serving.ray_cluster import LOCAL, RayCluster
from erc_live.streams.recognition_channel import AskedRecognition, RecognitionRequest

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings(  # Ray ends its processes itself
        "ignore:Exception ignored in. <function Popen.__del__:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.xdist_group("processes"),
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL"),
]


def test_an_actor_that_is_killed_while_it_is_idle_is_replaced_and_costs_nothing(tiny_en):
    choice = TranscriberSection(engine="faster-whisper", model=str(tiny_en), device="cpu", threads=1)
    pcm = np.random.default_rng(0).normal(0, 1000, 16_000).astype(np.int16)
    awake, processes, answers = queue.SimpleQueue(), [], []
    news = PoolNews(lambda number, loaded: processes.append(loaded.process), print, print)
    with RayCluster(LOCAL, 1, lambda: awake.put(None)) as cluster:
        start = ray_starter(cluster, choice, ModelsSection(), 1)
        with closing(RecogniserPool(start, PoolScale(1, 1), news)) as pool:

            def go_on(until):
                answers.extend(pool.advance(time.monotonic()))
                while not until():
                    awake.get()
                    answers.extend(pool.advance(time.monotonic()))

            go_on(lambda: pool.load(time.monotonic()).idle)
            os.kill(processes[0], signal.SIGKILL)
            go_on(lambda: pool.counts["lost"])
            request = RecognitionRequest(ask="words", number=1)
            pool.take(AskedRecognition(b"me", request, pcm.tobytes()), time.monotonic())
            go_on(lambda: answers)
    assert len(processes) == 2
    assert decode_words(answers[0].words) == open_transcriber(choice, tiny_en.parent).transcribe(
        Speech(pcm, "mic", 0.0, 1.0)
    )
