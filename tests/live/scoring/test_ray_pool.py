"""Processes of a real Ray that score. What is dear is its start, so one Ray does everything.

pytest -m slow tests/live/scoring/test_ray_pool.py
"""

import signal
import sys
from pathlib import Path

import pytest
from fake_scores import fake_load, recordings, tracking

from erc_live.live.config import Config
from erc_live.live.errors import EngineError
from erc_live.live.scoring.ray_pool import RayPool
from erc_live.live.scoring.score_pool import score_all
from erc_live.live.scoring.score_report import TaskAdvance, TaskFailure, TaskResult, TaskRetry
from erc_live.live.serving.ray_cluster import LOCAL, RayCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(  # Ray ends its processes itself
        "ignore:Exception ignored in. <function Popen.__del__:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.xdist_group("processes"),
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL"),
]


def test_a_ray_scores_as_processes_do_and_loses_what_they_lose(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for `fake_scores` in its processes
    tasks = recordings(tmp_path, a="unreadable", b="die once", c="bug", d="long", e="well", f="die")
    handler = signal.getsignal(signal.SIGINT)
    with RayCluster(LOCAL, 2) as cluster:
        reports = list(score_all(tasks, RayPool(cluster, Config(), fake_load), 2, timeout_s=3.0))
        with pytest.raises(EngineError, match="no weights here"):
            list(score_all(tasks, RayPool(cluster, tracking("none"), fake_load), 1))
    assert signal.getsignal(signal.SIGINT) is handler
    ends = {report.task.name[0]: report for report in reports if not isinstance(report, TaskAdvance | TaskRetry)}
    assert {name for name, end in ends.items() if isinstance(end, TaskResult)} == {"b", "e"}
    failures = {name: (end.code, end.reason) for name, end in ends.items() if isinstance(end, TaskFailure)}
    assert {name: code for name, (code, _) in failures.items()} == {"a": 4, "c": 1, "d": 4, "f": 7}
    assert "got no further for 3 s" in failures["d"][1]
    assert "its process died (" in failures["f"][1]
    assert sorted(report.task.name[0] for report in reports if isinstance(report, TaskRetry)) == ["b", "f"]
    assert ends["e"].scored.lines.startswith(b"well by ")
