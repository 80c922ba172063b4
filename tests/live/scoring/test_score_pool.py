"""Who scores what, and when it is given up: no process, and a clock that nobody waits for."""

from collections import deque

import pytest
from fake_scores import recordings

from erc_live.live.errors import WorkerError
from erc_live.live.scoring.score_pool import LOADED_S, ScorerLost, score_all
from erc_live.live.scoring.score_report import PoolShrunk, TaskAdvance, TaskFailure, TaskResult, TaskRetry
from erc_live.live.scoring.score_task import ScoredRecording


class FakeScorer:
    """Each line of a recording is an answer: what is said, after so many s. It is silent after the last one."""

    def __init__(self, pool, says):
        self.pool, self.says, self.task, self.alive = pool, deque(says), None, True
        self.since_s = pool.now_s

    @property
    def due_s(self):
        return self.since_s + self.says[0][0] if self.says else float("inf")

    def begin(self, task):
        lines = [line.split(":") for line in task.path.read_text().split()]
        self.task, self.since_s = task, self.pool.now_s
        self.says = deque((float(after), what) for after, what in lines)

    def answer(self):
        _, what = self.says.popleft()
        self.since_s = self.pool.now_s
        if what == "dies":
            self.alive = False
            raise ScorerLost("SIGKILL")
        if what == "loaded":
            return None
        return ScoredRecording(b"", 1, 1.0, (), "") if what == "done" else float(what)

    def kill(self):
        self.alive = False

    end = kill


class FakePool:
    """Scorers say what is in `loads` when they start; None: nothing, as where there is no room for them."""

    def __init__(self, *loads):
        self.now_s, self.loads, self.started = 0.0, deque(loads), []

    def start(self):
        self.started.append(FakeScorer(self, [self.loads.popleft() if self.loads else (1, "loaded")]))
        return self.started[-1]

    def ready(self, scorers, timeout_s):
        assert all(scorer.alive for scorer in scorers)
        self.now_s = min(self.now_s + timeout_s, *(scorer.due_s for scorer in scorers), float("inf"))
        return [scorer for scorer in scorers if scorer.due_s <= self.now_s]

    def score(self, tasks, processes, timeout_s=60.0):
        reports = list(score_all(tasks, self, processes, timeout_s, lambda: self.now_s))
        assert not any(scorer.alive for scorer in self.started)
        return reports


def test_who_gets_no_further_is_killed_and_told_and_costs_its_recording_alone(tmp_path):
    pool = FakePool()
    tasks = recordings(tmp_path, a="50:10 30:20", b="10:done", c="59:1 59:2 59:3 59:done")
    reports = pool.score(tasks, 2)
    ends = {report.task.name[0]: report for report in reports if not isinstance(report, TaskAdvance)}
    assert [type(ends[name]) for name in "abc"] == [TaskFailure, TaskResult, TaskResult]
    assert (ends["a"].reason, ends["a"].code) == ("got no further for 60 s and was given up: try a longer --timeout", 4)
    assert len(pool.started) == 2, "nothing was left for a third one"
    assert pool.now_s == 1 + 10 + 4 * 59, "a long recording is not a recording that hangs"


def test_a_recording_whose_process_dies_is_begun_anew_in_another(tmp_path):
    pool = FakePool()
    reports = pool.score(recordings(tmp_path, a="5:1 5:dies", b="1:done"), 1)
    kinds = [type(report) for report in reports]
    assert kinds == [TaskAdvance, TaskRetry, TaskAdvance, TaskFailure, TaskResult]
    assert reports[3].reason == "its process died (SIGKILL), as the one before it did"
    assert len(pool.started) == 3


def test_what_has_no_room_to_load_is_not_tried_again(tmp_path):
    pool = FakePool((5, "dies"))
    reports = pool.score(recordings(tmp_path, a="20:done", b="20:done", c="20:done"), 2)
    assert reports[0] == PoolShrunk(1, "SIGKILL")
    assert [type(report) for report in reports[1:]] == [TaskResult] * 3
    assert len(pool.started) == 2


def test_where_no_process_is_ever_ready_nobody_waits_for_ever(tmp_path):
    pool = FakePool((1, "loaded"), *[(float("inf"), "loaded")] * 3)
    tasks = recordings(tmp_path, a="90:dies", b="1:done")
    with pytest.raises(WorkerError, match="no process has loaded in 600 s: is there a CPU"):
        pool.score(tasks, 1, timeout_s=100.0)
    assert pool.now_s == 1 + 90 + LOADED_S


def test_who_waits_for_a_place_on_a_full_cluster_holds_nobody_up(tmp_path):
    pool = FakePool((1, "loaded"), (float("inf"), "loaded"))
    reports = pool.score(recordings(tmp_path, a="400:done", b="400:done", c="400:done"), 2, timeout_s=500.0)
    assert [type(report) for report in reports] == [TaskResult] * 3
