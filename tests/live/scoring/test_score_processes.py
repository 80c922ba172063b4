"""The processes of a score: one bad recording costs itself alone, and a process that dies is known by its recording."""

import multiprocessing
import sys
from collections import Counter

import pytest
from fake_scores import fake_load, recordings, tracking

from erc_live.live.config import Config
from erc_live.live.errors import EngineError, WorkerError
from erc_live.live.scoring.score_pool import score_all
from erc_live.live.scoring.score_processes import ProcessPool
from erc_live.live.scoring.score_report import TaskAdvance, TaskFailure, TaskResult, TaskRetry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")


def scored(tasks, processes=1, weights="", timeout_s=600.0):
    reports = score_all(tasks, ProcessPool(tracking(weights), fake_load), processes, timeout_s)
    return [report for report in reports if not isinstance(report, TaskAdvance)]


def test_each_recording_has_one_end_and_what_is_bad_costs_itself_alone(tmp_path):
    tasks = recordings(tmp_path, a="well", b="unreadable", c="die once", d="bug", e="die", f="well")
    reports = scored(tasks, processes=2)
    ends = {report.task.name[0]: report for report in reports if not isinstance(report, TaskRetry)}
    assert Counter(report.task.name[0] for report in reports) == {**dict.fromkeys("abdf", 1), "c": 2, "e": 2}
    assert {name for name, end in ends.items() if isinstance(end, TaskResult)} == {*"acf"}
    failures = {name: end for name, end in ends.items() if isinstance(end, TaskFailure)}
    assert {name: failure.code for name, failure in failures.items()} == {"b": 4, "d": 1, "e": 7}
    assert failures["b"].reason == f"{tasks[1].path}: is not media"
    assert failures["d"].reason == "ValueError: a bug"
    assert 'raise ValueError("a bug")' in failures["d"].trace
    assert failures["e"].reason.startswith("its process died (SIGKILL")
    assert not multiprocessing.active_children()


def test_a_process_takes_one_recording_after_the_other(tmp_path):
    reports = scored(recordings(tmp_path, a="well", b="well", c="unreadable", d="well"))
    assert [report.task.name[0] for report in reports] == [*"abcd"], "in their order"
    assert len({report.scored.lines for report in reports if isinstance(report, TaskResult)}) == 1


def test_what_concerns_all_recordings_ends_the_run(tmp_path):
    with pytest.raises(EngineError, match="no weights here"):
        scored(recordings(tmp_path, a="well", b="well"), weights="none")
    assert not multiprocessing.active_children()


def test_where_every_process_dies_nobody_waits_for_thousands(tmp_path):
    with pytest.raises(WorkerError, match="try fewer --jobs"):
        scored(recordings(tmp_path, **{f"r{number}": "die" for number in range(40)}))


def test_where_there_is_no_room_to_load_that_is_known_before_any_recording_is_touched(tmp_path):
    with pytest.raises(WorkerError, match=r"every process died while it loaded, the last one of SIGKILL: perhaps"):
        scored(recordings(tmp_path, a="well", b="well"), processes=2, weights="too large")


def test_a_process_that_hangs_is_killed_and_the_run_goes_on(tmp_path):
    hung, well = scored(recordings(tmp_path, a="long", b="well"), timeout_s=0.5)
    assert (hung.task.name, hung.code) == ("a.wav", 4)
    assert isinstance(well, TaskResult)
    assert not multiprocessing.active_children()


def test_who_asks_no_more_leaves_no_process_behind(tmp_path):
    reports = score_all(recordings(tmp_path, a="long", b="well"), ProcessPool(Config(), fake_load), 2)
    assert next(report.task.name for report in reports if isinstance(report, TaskResult)) == "b.wav"
    reports.close()
    assert not multiprocessing.active_children()
