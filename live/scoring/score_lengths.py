"""How long recordings are, so that people are told how long a run takes.

The rule of this file: a file is opened in another process, for on a damaged one a library may hang, and on a disk that
is gone the system does.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from erc_live.live.config import Config
from erc_live.live.errors import WorkerError
from erc_live.live.scoring.score_pool import score_all
from erc_live.live.scoring.score_processes import ProcessPool
from erc_live.live.scoring.score_report import TaskResult
from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask
from erc_live.live.scoring.score_work import Score
from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.media import probe
from erc_live.streams.session import open_session

PROBE_S = 30.0  # for one file


def lengths(tasks: Sequence[ScoreTask], config: Config) -> Iterator[tuple[ScoreTask, float]]:
    """How long each recording is; 0 where it does not say, or cannot be read, which is said when it is scored."""
    with suppress(WorkerError):  # of which more is said when they are scored
        for report in score_all(tasks, ProcessPool(config, load_probe), 1, PROBE_S):
            if isinstance(report, TaskResult):
                yield report.task, report.scored.media_s


def load_probe(config: Config) -> Score:
    """To know of a recording nothing but how long it is."""
    return lambda task, advance: ScoredRecording(b"", 0, _length_s(task), (), "")


def _length_s(task: ScoreTask) -> float:
    try:
        if not task.path.is_dir():
            return probe(task.path).duration_s or 0.0
        session = open_session(task.path)
        return (max((segment.t_end_ns for segment in session.segments), default=0) - session.t_first_ns) / 1e9
    except (MediaError, SessionError, OSError):
        return 0.0
