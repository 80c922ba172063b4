"""Processes of this machine that score.

The rule of this file: how such a process starts and ends, `piped_process.py` knows; what happens in it is in
`score_work.py`.
"""

from collections.abc import Sequence
from multiprocessing import connection

from erc_live.live.config import Config
from erc_live.live.piped_process import PipedProcess
from erc_live.live.scoring.score_pool import ScorerLost
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.live.scoring.score_work import Answer, Load, load_here, work


class ProcessPool:
    """A `ScorePool` of processes of this machine."""

    def __init__(self, config: Config, load: Load = load_here) -> None:
        self._config, self._load = config, load

    def start(self) -> "ScoreProcess":
        return ScoreProcess(self._config, self._load)

    def ready(self, scorers: Sequence["ScoreProcess"], timeout_s: float) -> list["ScoreProcess"]:
        pipes = connection.wait([scorer.pipe for scorer in scorers], timeout_s)
        return [scorer for scorer in scorers if scorer.pipe in pipes]


class ScoreProcess:
    """A `Scorer`. `pipe` is ready when there is an answer, or it died."""

    def __init__(self, config: Config, load: Load) -> None:
        self._process = PipedProcess("erc-live score", ScorerLost, work, config, load)
        self.pipe = self._process.pipe
        self.end, self.kill = self._process.end, self._process.close

    def begin(self, task: ScoreTask) -> None:
        self._process.send(task)

    def answer(self) -> Answer:
        answer: Answer = self._process.receive()
        return answer
