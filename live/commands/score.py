"""`erc-live score`: thousands of recordings in one command, each as `erc-live replay --speed max` would play it."""

import os
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple

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
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.export.formats import FORMATS
from erc_live.live.scoring.media_discovery import Discovery, discover
from erc_live.live.scoring.score_actor import LoadElsewhere
from erc_live.live.scoring.score_lengths import lengths
from erc_live.live.scoring.score_pool import TIMEOUT_S, ScorePool
from erc_live.live.scoring.score_processes import ProcessPool
from erc_live.live.scoring.score_progress import ScoreProgress
from erc_live.live.scoring.score_report import PoolShrunk, Report, TaskAdvance, TaskFailure, TaskResult, TaskRetry
from erc_live.live.scoring.score_run import FAILURES, ScoreFolder, ScorePlan
from erc_live.live.scoring.score_settings import room, settings_of
from erc_live.live.screen.console import err, print_line
from erc_live.live.screen.progress import counting, described
from erc_live.live.session import launch
from erc_live.live.session.heap import bound_kernel_caches
from erc_live.live.session.spec import SessionSpec
from erc_live.models import card
from erc_live.streams.plural import counted

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Processes. Default: as many as there are processors, and memory for them."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        help="In processes of a Ray that is started here, or of the cluster at this address, whose machines must all "
        "see FOLDER. Needs erc-live\\[scale].",
        metavar="local|ADDRESS",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(min=1, help="A recording that gets no further for so long has failed.", metavar="SECONDS"),
]


class ScoreOptions(NamedTuple):
    """How it is scored, which changes no event. `elsewhere`: what processes on other machines load."""

    jobs: int | None
    ray: str | None
    timeout_s: float
    elsewhere: LoadElsewhere


def score(
    folder: Annotated[Path, typer.Argument(help="Is searched at any depth.", metavar="FOLDER")],
    into: Annotated[Path, typer.Option("--out", "-o", help="Folder for the events.", metavar="OUT")],
    jobs: Jobs = None,
    ray: Ray = None,
    timeout: Timeout = TIMEOUT_S,
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

    What cannot be read, or hangs, does not end it: a line on standard error and in OUT/failures.jsonl, and at the end
    exit code 4; 7 where a process died twice with a recording, 1 for a bug of ours.

    erc-live score interviews -o scored

    erc-live score interviews -o scored-text --text-only --jobs 3

    erc-live score /data/interviews -o scored --ray 10.0.0.1:6379
    """
    flags = session_flags(purpose, setting, reason, text_only, False) | network_flags(network)
    settings = configuration.load(config, sets or [], flags).config
    _check(settings, ray)
    bound_kernel_caches()
    FORMATS["parquet"].load("parquet")  # what the table needs is missed now, and not after hours
    weights = card.read(settings.tracker.weights)
    discovery = discover(folder)
    for task in discovery.tasks:
        outside(task.path, into)
    depends = settings_of(settings, weights)
    options = ScoreOptions(jobs, ray, timeout, LoadElsewhere(folder, Path.cwd(), depends))
    try:
        with ScoreFolder(into, depends) as events:
            _score_new(events, discovery, settings, options)
            with err.status("writing the table"):
                rows = events.write_table(discovery.tasks, weights.card.labels)
    except KeyboardInterrupt:
        print_line(f"stopped: what is scored is in {into}, and the same command goes on")
        raise
    print_line(f"{into}: {counted(rows, 'utterance')} of {counted(len(events.scored), 'recording')}")
    if events.failures:
        print_line(f"{counted(len(events.failures), 'recording')} failed or broke off: {into / FAILURES}")
        raise typer.Exit(events.exit_code)


def _check(config: Config, ray: str | None) -> None:
    """What can be known before anything is looked for. Raises ConfigError, or EngineError where there is no Ray."""
    if ray and find_spec("ray") is None:
        raise EngineError("--ray needs ray: pip install 'erc-live[scale]'")
    if config.session.ephemeral:
        raise ConfigError("session.ephemeral and -o OUT exclude each other: it writes nothing to the disk")
    if config.transcriber.engine == "transcript":
        raise ConfigError("transcriber.engine: a transcript is of one recording: `erc-live replay` takes one")
    launch.check_session(SessionSpec(session="", config=config, sources=()))
    if any(rule.in_replays for rule in config.alerts):
        print_line("alerts are written with the events; what the rules would run is not run")


def _score_new(events: ScoreFolder, discovery: Discovery, config: Config, options: ScoreOptions) -> None:
    """Score what is not scored yet."""
    plan = events.plan(discovery.tasks)
    for line in _beginning(discovery, plan):
        print_line(line)
    if not plan.tasks:
        return
    with ExitStack() as stack:
        pool, processes = _pool(stack, config, options, len(plan.tasks))
        with counting() as bars:
            measured = bars.track(lengths(plan.tasks, config), len(plan.tasks), description="lengths")
            progress = ScoreProgress(dict.fromkeys(plan.tasks, 0.0) | dict(measured), time.monotonic())
        _score(events.score(plan.tasks, pool, processes, options.timeout_s), progress)


def _beginning(discovery: Discovery, plan: ScorePlan) -> Iterator[str]:
    """What people are told at first, line by line."""
    before = f", {len(plan.done):,} of them scored before" if plan.done else ""
    changed = f", {plan.changed:,} changed since and scored anew" if plan.changed else ""
    yield f"{counted(len(discovery.tasks), 'recording')}{before}{changed}"
    if discovery.ignored:
        endings = ", ".join(f"{count:,} {ending}" for ending, count in discovery.ignored.most_common(5))
        yield f"passed over: {counted(discovery.ignored.total(), 'other file')} ({endings})"


def _pool(stack: ExitStack, config: Config, options: ScoreOptions, most: int) -> tuple[ScorePool[Any], int]:
    """Where it is scored, and in how many processes, which people are told. Raises EngineError."""
    space = room(config)
    processes = min(options.jobs or space.processes, most)
    if options.ray is None:
        print_line(f"{counted(processes, 'process', 'es')} ({space.reason})")
        return ProcessPool(config), processes
    with err.status("starting Ray"):
        from erc_live.live.scoring.ray_pool import RayPool  # in the call: few want it
        from erc_live.live.serving.ray_cluster import LOCAL, RayCluster

        cluster = stack.enter_context(RayCluster(options.ray, processes))
    needs = {}
    if options.ray != LOCAL:
        space = room(config, cluster.free())
        processes, needs = min(options.jobs or space.processes, most), {"memory": space.size}
    print_line(f"{counted(processes, 'process', 'es')} of Ray ({space.reason})")
    return RayPool(cluster, config, options.elsewhere, **needs), processes


def _score(reports: Generator[Report, None, None], progress: ScoreProgress) -> None:
    """Score, with a bar and a line for each recording that fails."""
    begun_s = time.monotonic()
    with described() as bars, closing(reports):
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
    name = "" if isinstance(report, PoolShrunk) else report.task.name
    match report:
        case PoolShrunk():
            yield f"a process died while it loaded ({report.reason}): going on with {report.processes}"
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
