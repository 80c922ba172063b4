"""A folder of recordings, to a folder of events: what is to be done, and what is written of what comes back.

    OUT/<name of the recording>.jsonl    its events
    OUT/events.parquet                   one row for each utterance of all of them, written at the end
    OUT/failures.jsonl                   what of the last run is missing, and why
    OUT/journal.jsonl                    what is done (`score_journal.py`)

The rule of this file: it alone writes, in one process, and each file is there whole or not at all. Like everything that
holds what people said, the files are their owner's only.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from erc_live.live.errors import ConfigError
from erc_live.live.scoring.event_table import TABLE, write_table
from erc_live.live.scoring.score_journal import JOURNAL, JournalEntry, ScoreJournal
from erc_live.live.scoring.score_pool import TIMEOUT_S, S, ScorePool, score_all
from erc_live.live.scoring.score_report import BUG, DIED, UNREADABLE, Report, TaskFailure, TaskResult
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import FOLDER_MODE, Log, write_whole

FAILURES = "failures.jsonl"


class FailureLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A recording that is missing, or broke off (`scored`: what came before is there). `code`: the exit code that
    belongs to it.
    """

    recording: str
    reason: str
    code: int
    scored: bool = False
    trace: str = ""


@dataclass
class ScorePlan:
    """`tasks` are to be scored now, `done` were before; `changed`: how many of the tasks had other contents then."""

    tasks: list[ScoreTask] = field(default_factory=list)
    done: list[ScoreTask] = field(default_factory=list)
    changed: int = 0


class ScoreFolder:
    """The folder of events. A context manager; one process at a time."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Raises ConfigError where it was scored with other settings, SessionError where nothing can be written or
        another process writes there.
        """
        self._folder = folder
        with _writing(folder):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._lock = BundleLock(folder)
            try:
                self._journal = ScoreJournal(folder, settings)
                (folder / FAILURES).unlink(missing_ok=True)
                self._log = Log(folder / FAILURES)
            except BaseException:
                self._lock.release()
                raise
        self.scored: set[ScoreTask] = set()  # whose events are there, as the recording is now
        self.failures: list[FailureLine] = []  # of this run, and what broke off in those before

    def __enter__(self) -> "ScoreFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()
        self._journal.close()
        self._lock.release()

    @property
    def exit_code(self) -> int:
        """The gravest of what failed; 0 where nothing did."""
        codes = {failure.code for failure in self.failures}
        return next((code for code in (BUG, DIED, UNREADABLE) if code in codes), 0)

    def plan(self, tasks: Sequence[ScoreTask]) -> ScorePlan:
        """What of these recordings is to be done. What broke off when it was scored is a failure of this run, too.

        Raises ConfigError where the events of one would lie where something else does.
        """
        plan = ScorePlan()
        for task in tasks:
            self._check_name(task)
            entry = self._journal.entries.get(task.name)
            if entry is not None and entry.digest == task.digest and self._events(task).is_file():
                plan.done.append(task)
                self.scored.add(task)
                self._note_damage(entry)
            else:
                plan.tasks.append(task)
                plan.changed += entry is not None
        return plan

    def score(
        self, tasks: Sequence[ScoreTask], pool: ScorePool[S], processes: int, timeout_s: float = TIMEOUT_S
    ) -> Generator[Report, None, None]:
        """Score recordings, and write what comes of them; each report comes when what it says is on the disk.

        Raises as `score_all`, and SessionError where nothing can be written.
        """
        digests = {task: task.digest for task in tasks}  # of before it is read: what changes meanwhile is scored again
        reports = score_all(tasks, pool, processes, timeout_s)
        try:
            for report in reports:
                if isinstance(report, TaskResult):
                    self._store(report, digests[report.task])
                elif isinstance(report, TaskFailure):
                    lost = FailureLine(
                        recording=report.task.name, reason=report.reason, code=report.code, trace=report.trace
                    )
                    self._fail(lost)
                yield report
        finally:
            reports.close()

    def write_table(self, tasks: Sequence[ScoreTask], labels: Sequence[str]) -> int:
        """The table of those of the recordings that are scored; how many rows it has. Raises SessionError."""
        files = [(task.name, self._events(task)) for task in tasks if task in self.scored]
        with _writing(self._folder):
            return write_table(self._folder / TABLE, files, labels)

    def _check_name(self, task: ScoreTask) -> None:
        if f"{task.name}.jsonl" in (JOURNAL, FAILURES):
            raise ConfigError(f"{task.path}: its events would be written over {task.name}.jsonl: rename it")

    def _events(self, task: ScoreTask) -> Path:
        return self._folder / f"{task.name}.jsonl"

    def _store(self, result: TaskResult, digest: str) -> None:
        scored = result.scored
        entry = JournalEntry(
            recording=result.task.name,
            digest=digest,
            utterances=scored.utterances,
            media_s=scored.media_s,
            notes=scored.notes,
            damage=scored.damage,
        )
        path = self._events(result.task)
        with _writing(self._folder):
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_whole(path, scored.lines)
            self._journal.add(entry)
        self.scored.add(result.task)
        self._note_damage(entry)

    def _note_damage(self, entry: JournalEntry) -> None:
        if entry.damage:
            self._fail(FailureLine(recording=entry.recording, reason=entry.damage, code=UNREADABLE, scored=True))

    def _fail(self, line: FailureLine) -> None:
        self.failures.append(line)
        with _writing(self._folder):
            self._log.append(msgspec.json.encode(line))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A block that writes. Raises SessionError where it cannot."""
    try:
        yield
    except OSError as error:
        raise SessionError(
            f"{folder}: cannot be written ({error.strerror}): make room, or name another folder; what is done stays"
        ) from error
