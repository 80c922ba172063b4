"""Processes that Ray keeps, on this machine or on those of a cluster, and that score.

The rule of this file: what Ray is, `serving/ray_cluster.py` alone knows; what happens in the processes is in
`score_actor.py`.
"""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any

from erc_live.live.config import Config
from erc_live.live.scoring.score_actor import ScoreActor
from erc_live.live.scoring.score_pool import ScorerLost
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.live.scoring.score_work import Answer, Load
from erc_live.live.serving.ray_cluster import RayActor, RayCluster


class RayPool:
    """A `ScorePool` of actors. `options`: of Ray for each of them."""

    def __init__(self, cluster: RayCluster, config: Config, load: Load, **options: Any) -> None:
        self._cluster, self._arguments, self._options = cluster, (config, load), options

    def start(self) -> "RayScorer":
        return RayScorer(self._cluster.actor(ScoreActor, ScorerLost, *self._arguments, **self._options))

    def ready(self, scorers: Sequence["RayScorer"], timeout_s: float) -> list["RayScorer"]:
        done, _ = wait([scorer.next for scorer in scorers], timeout_s, FIRST_COMPLETED)
        return [scorer for scorer in scorers if scorer.next in done]


class RayScorer:
    """A `Scorer` in an actor. `next`: its next answer."""

    def __init__(self, actor: RayActor) -> None:
        self._actor = actor
        self.next: Future[Answer] = actor.call("answer")

    def begin(self, task: ScoreTask) -> None:
        self.next = self._actor.call("answer", task)

    def answer(self) -> Answer:
        answer = self.next.result()
        if isinstance(answer, float):  # and more will come
            self.next = self._actor.call("answer")
        return answer

    def end(self) -> None:
        self.kill()

    def kill(self) -> None:
        with suppress(Exception):  # Ray raises what comes, of an actor that has died already
            self._actor.kill()
