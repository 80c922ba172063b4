"""`erc-live serve`: many conversations, in one process or in several."""

import os
import signal
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# Before torch is imported: as the workers of a session, and what one thread rounds, one thread rounds again.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import platformdirs
import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Purpose, Reason, Sets, Setting, session_flags
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.screen.console import err, print_line
from erc_live.live.serving.log_place import log_place
from erc_live.streams.address import feature_endpoint
from erc_live.streams.nats_connection import NatsPlace
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.live.serving.gateway import ShardedServing
    from erc_live.live.serving.generation_record import Generation
    from erc_live.live.serving.serve_loop import Opened, Serving
    from erc_live.live.serving.shard_actor import ShardOpened

LogOption = Annotated[
    str | None,
    typer.Option(
        help="Where dialogues are kept, a folder or nats://127.0.0.1:PORT/STREAM; the same one goes on with them.",
        metavar="PLACE",
    ),
]


def serve(
    dialogues: Annotated[
        int, typer.Option(min=1, max=100_000, help="At once, at most; fewer where this machine has less room.")
    ] = 1000,
    features: Annotated[
        str, typer.Option(help="Where features come in: auto, ipc://PATH or tcp://127.0.0.1:PORT.", metavar="ENDPOINT")
    ] = "auto",
    log: LogOption = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="Load everything, and take over when the server of this log has gone.")
    ] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Take no new dialogues, and end with the last one.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            help="In several processes: of a Ray that is started here, or of the cluster at this address. Needs "
            "erc-live\\[scale].",
            metavar="local|ADDRESS",
        ),
    ] = None,
    shards: Annotated[
        int, typer.Option(min=0, max=1000, help="With --ray: so many for new dialogues; default: as there are, or 2.")
    ] = 0,
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Track many dialogues: features in over ZeroMQ, for each dialogue a stream of events out.

    Perception runs elsewhere, in as many processes as it needs. What was said is kept on the disk until it is needed no
    more, so that a killed server goes on where it was; people must know that.

    erc-live serve --dialogues 500 --log talks/served

    erc-live serve --dialogues 5000 --log talks/many --ray local --shards 4

    erc-live subscribe --dialogue desk-4 --follow
    """
    _check_options(ray, shards, log, alone=standby or drain)
    settings = configuration.load(config, sets or [], session_flags(purpose, setting, reason)).config
    place = log or str(platformdirs.user_data_path("erc-live") / "served")
    if "://" in place:
        NatsPlace.of(place)  # what is wrong with it is said now, and not after everything is loaded
    endpoint = feature_endpoint(features)
    if ray:
        with err.status("loading Ray"):
            from erc_live.live.serving.gateway import ShardedServing
        sharded = ShardedServing(settings, endpoint, Path(place), dialogues, ray, shards)
        counts = _in_shards(sharded, _stop_when_asked())
    else:
        with err.status("loading torch and the weights"):
            from erc_live.live.serving.serve_loop import Serving
        serving = Serving(settings, endpoint, log_place(place), dialogues, standby, drain)
        counts = _in_one(serving, _stop_when_asked())
    print_line(
        f"{counted(counts['stored'], 'utterance')}, {counts['repeated']} sent again, {counts['refused']} refused, "
        f"{counts['failed']} put aside, {counts['dropped']} provisional ones given up"
    )


def _check_options(ray: str | None, shards: int, log: str | None, *, alone: bool) -> None:
    """Raises ConfigError where options exclude each other, EngineError where there is no Ray."""
    if shards and not ray:
        raise ConfigError("--shards goes with --ray")
    if ray and alone:
        raise ConfigError("--standby and --drain go without --ray: with it, a spare process stands by")
    if ray and log and "://" in log:
        raise ConfigError(f"--log {log}: with --ray, shards have their logs in a folder: name one")
    if ray and find_spec("ray") is None:
        raise EngineError("--ray needs ray: pip install 'erc-live[scale]'")


def _stop_when_asked() -> Callable[[], bool]:
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda sent, frame: stopping.append(sent))
    return lambda: bool(stopping)


def _in_one(serving: "Serving", stopped: Callable[[], bool]) -> Mapping[str, int]:
    from erc_live.live.serving.serve_loop import serve as run

    def ready(opened: "Opened") -> None:
        found = opened.recovery
        print_line(f"features: {opened.inlet.endpoint}  events: {opened.outlet.endpoint}  log: {serving.place}")
        print_line(f"room for {counted(opened.room.dialogues, 'dialogue')} ({opened.room.reason})")
        print_line(f"recovered {counted(found.dialogues, 'dialogue')}, {counted(found.replayed, 'utterance')} replayed")
        _say_what_differs(found.differing)

    def standing_by() -> None:
        print_line(f"standing by until the server of {serving.place} has gone")

    return vars(run(serving, standing_by, ready, stopped))


def _in_shards(serving: "ShardedServing", stopped: Callable[[], bool]) -> Mapping[str, int]:
    from erc_live.live.serving.gateway import GatewayNews
    from erc_live.live.serving.gateway import serve as run

    def opened(shard: int, recovered: "ShardOpened") -> None:
        room, reason = recovered.room
        print_line(
            f"shard {shard} in process {recovered.process}: room for {counted(room, 'dialogue')} ({reason}), recovered "
            f"{len(recovered.dialogues)}, {counted(recovered.replayed, 'utterance')} replayed"
        )
        _say_what_differs(recovered.differing)

    def lost(shard: int | None, why: str) -> None:
        print_line(f"{'the spare process' if shard is None else f'shard {shard}'} was lost: {why}")

    def older(generation: "Generation", dialogues: int) -> None:
        print_line(f"{generation}: {dialogues} open, and going on there")

    news = GatewayNews(
        older=older,
        ready=lambda features, events: print_line(f"features: {features}  events: {events}  log: {serving.folder}"),
        opened=opened,
        lost=lost,
        spare=lambda process: print_line(f"standing by in process {process}"),
        closed=lambda generation: print_line(f"{generation} is closed: its last dialogue has ended"),
    )
    return run(serving, news, stopped)


def _say_what_differs(number: int) -> None:
    if number:
        print_line(
            f"{number} of them came out other than they were published: the log was written on another machine, or "
            "with other libraries"
        )
