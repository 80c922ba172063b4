"""`erc-live score`: thousands of recordings in one command, each as `erc-live replay --speed max` would play it."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated

# For the processes that score: one thread each, for they are as many as there are processors; and what one thread
# rounds, one thread rounds again.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer

from erc_live.live import config as configuration
from erc_live.live.commands.bundle_options import outside
from erc_live.live.commands.places import network_flags
from erc_live.live.commands.session_options import (
    ConfigFile,
    Network,
    Purpose,
    Reason,
    Sets,
    Setting,
    TextOnly,
    session_flags,
)
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError
from erc_live.live.export.formats import FORMATS
from erc_live.live.scoring.media_discovery import Discovery, discover
from erc_live.live.scoring.score_processes import Report, TaskAdvance, TaskFailure, TaskResult, TaskRetry
from erc_live.live.scoring.score_progress import ScoreProgress
from erc_live.live.scoring.score_run import FAILURES, ScoreFolder, ScorePlan, length_s
from erc_live.live.scoring.score_settings import room, settings_of
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.live.screen.console import err, print_line
from erc_live.live.screen.progress import counting, described
from erc_live.live.session import launch
from erc_live.live.session.heap import bound_kernel_caches
from erc_live.live.session.spec import SessionSpec
from erc_live.models import card

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Processes. Default: as many as there are processors, and memory for them."),
]


def score(
    folder: Annotated[Path, typer.Argument(help="Is searched at any depth.", metavar="FOLDER")],
    into: Annotated[Path, typer.Option("--out", "-o", help="Folder for the events.", metavar="OUT")],
    jobs: Jobs = None,
    network: Network = None,
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    text_only: TextOnly = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Score a folder of films, sound files and recorded sessions: for each the events of a replay, and one table.

    One file is one conversation. OUT/NAME.jsonl has what `erc-live replay FOLDER/NAME --speed max` writes, and
    OUT/events.parquet a row for each utterance of all of them. Ctrl-C, a crash or a full disk leave nothing half: the
    same command goes on, with what is new or has changed, and what failed. Other settings need another OUT.

    What cannot be read does not end it: a line on standard error and in OUT/failures.jsonl, and at the end exit code 4;
    7 where a process died twice with a recording, 1 for a bug of ours.

    erc-live score interviews -o scored

    erc-live score interviews -o scored-text --text-only --jobs 3
    """
    flags = session_flags(purpose, setting, reason, text_only, False) | network_flags(network)
    settings = configuration.load(config, sets or [], flags).config
    _check(settings)
    bound_kernel_caches()
    FORMATS["parquet"].load("parquet")  # what the table needs is missed now, and not after hours
    weights = card.read(settings.tracker.weights)
    discovery = discover(folder)
    for task in discovery.tasks:
        outside(task.path, into)
    try:
        with ScoreFolder(into, settings_of(settings, weights)) as events:
            _score_new(events, discovery, settings, jobs)
            with err.status("writing the table"):
                rows = events.write_table(discovery.tasks, weights.card.labels)
    except KeyboardInterrupt:
        print_line(f"stopped: what is scored is in {into}, and the same command goes on")
        raise
    print_line(f"{into}: {rows:,} utterances of {len(events.scored):,} recordings")
    if events.failures:
        print_line(f"{len(events.failures):,} recordings failed or broke off: {into / FAILURES}")
        raise typer.Exit(events.exit_code)


def _check(config: Config) -> None:
    """What can be known before anything is looked for. Raises ConfigError."""
    if config.session.ephemeral:
        raise ConfigError("session.ephemeral and -o OUT exclude each other: it writes nothing to the disk")
    if config.transcriber.engine == "transcript":
        raise ConfigError("transcriber.engine: a transcript is of one recording: `erc-live replay` takes one")
    launch.check_session(SessionSpec(session="", config=config, sources=()))
    if any(rule.in_replays for rule in config.alerts):
        print_line("alerts are written with the events; what the rules would run is not run")


def _score_new(events: ScoreFolder, discovery: Discovery, config: Config, jobs: int | None) -> None:
    """Score what is not scored yet."""
    plan = events.plan(discovery.tasks)
    space = room(config)
    processes = min(jobs or space.processes, len(plan.tasks))
    for line in _beginning(discovery, plan, f"{processes} processes ({space.reason})"):
        print_line(line)
    if plan.tasks:
        _score(events, plan.tasks, config, processes)


def _beginning(discovery: Discovery, plan: ScorePlan, processes: str) -> Iterator[str]:
    """What people are told at first, line by line."""
    before = f", {len(plan.done):,} of them scored before" if plan.done else ""
    changed = f", {plan.changed:,} changed since and scored anew" if plan.changed else ""
    yield f"{len(discovery.tasks):,} recordings{before}{changed}"
    if discovery.ignored:
        endings = ", ".join(f"{count:,} {ending}" for ending, count in discovery.ignored.most_common(5))
        yield f"{discovery.ignored.total():,} other files are passed over: {endings}"
    if plan.tasks:
        yield processes


def _score(events: ScoreFolder, tasks: Sequence[ScoreTask], config: Config, processes: int) -> None:
    """Score them, with a bar and a line for each that fails."""
    with counting() as bars:
        lengths_s = {task: length_s(task) for task in bars.track(tasks, description="lengths")}
    progress, begun_s = ScoreProgress(lengths_s, time.monotonic()), time.monotonic()
    with described() as bars, closing(events.score(tasks, config, processes)) as reports:
        bar = bars.add_task("loading the weights", total=progress.total_s)
        for report in reports:
            for line in _noted(report, progress):
                print_line(line, bars.console)
            bars.update(bar, completed=progress.done_s, description=progress.text(time.monotonic()))
    took = timedelta(seconds=round(time.monotonic() - begun_s))
    rate = progress.rate(time.monotonic())
    print_line(f"{progress.done_s / 3600:.2f} h of recording in {took}: {rate:.1f} hours per hour")


def _noted(report: Report, progress: ScoreProgress) -> Iterator[str]:
    """Take note of a report; what people are told of it, line by line."""
    name = report.task.name
    match report:
        case TaskAdvance():
            progress.advance(report.task, report.media_s)
        case TaskRetry():
            progress.advance(report.task, 0.0)
            yield f"{name}: {report.reason}; it is tried once more"
        case TaskFailure():
            progress.finish(report.task, failed=True)
            yield f"{name}: {report.reason}"
        case TaskResult():
            progress.finish(report.task, failed=bool(report.scored.damage))
            if report.scored.damage:
                yield f"{report.scored.damage}; what came before is scored"
