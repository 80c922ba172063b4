"""Recognisers of a pool on the machines of a Ray cluster, each in an actor.

Each machine has its own weights on its disk. With GPUs in the cluster, and where the configuration allows them, the
recognisers share these evenly; without, each takes as many CPUs as it has threads.
The rule of this file: what Ray is, `serving/ray_cluster.py` alone knows.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from erc_live.live.asr_pool.recogniser_pool import LoadedRecogniser, RecogniserLost
from erc_live.live.asr_pool.recogniser_work import RecogniserWork
from erc_live.live.config import ModelsSection, TranscriberSection
from erc_live.live.serving.ray_cluster import RayCluster


class RecogniserActor:
    """As `RecogniserWork`; and `stay` ends when it dies, so that this is known of one that is idle, too."""

    def __init__(self, choice: TranscriberSection, models: ModelsSection) -> None:
        self._work = RecogniserWork(choice, models)

    def load(self) -> LoadedRecogniser:
        return self._work.load()

    def transcribe(self, sound: bytes, partial: bool) -> bytes:
        return self._work.transcribe(sound, partial)

    def stay(self) -> None:
        threading.Event().wait()


class RayRecogniser:
    """A `PoolWorker`. `options`: of Ray."""

    def __init__(
        self, cluster: RayCluster, choice: TranscriberSection, models: ModelsSection, options: dict[str, Any]
    ) -> None:
        self._actor = cluster.actor(RecogniserActor, RecogniserLost, choice, models, max_concurrency=2, **options)
        self.loaded: Future[LoadedRecogniser] = self._actor.call("load")
        self._life: Future[None] = self._actor.call("stay")

    @property
    def alive(self) -> bool:
        return not self._life.done()

    def transcribe(self, sound: bytes, partial: bool) -> Future[bytes]:
        return self._actor.call("transcribe", sound, partial)

    def kill(self) -> None:
        with suppress(Exception):  # Ray raises what comes, of an actor that has died already
            self._actor.kill()

    end = kill


def ray_starter(
    cluster: RayCluster, choice: TranscriberSection, models: ModelsSection, most: int
) -> Callable[[], RayRecogniser]:
    """Starts one of at most so many."""
    options: dict[str, Any] = {"num_cpus": choice.threads}
    if choice.device != "cpu" and (gpus := cluster.gpus()):
        options["num_gpus"] = min(1.0, int(gpus / most * 1000) / 1000)  # Ray counts in shares of 0.0001
    return lambda: RayRecogniser(cluster, choice, models, options)
