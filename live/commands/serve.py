"""`erc-live serve`: one machine, many conversations."""

import os
import signal
from typing import Annotated

# Before torch is imported: as the workers of a session, and what one thread rounds, one thread rounds again.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import platformdirs
import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Purpose, Reason, Sets, Setting, session_flags
from erc_live.live.screen.console import err, print_line
from erc_live.live.serving.log_place import log_place
from erc_live.streams.address import feature_endpoint

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
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Track many dialogues in one process: features in over ZeroMQ, for each dialogue a stream of events out.

    Perception runs elsewhere, in as many processes as it needs. What was said is kept on the disk until it is needed no
    more, so that a killed server goes on where it was; people must know that.

    erc-live serve --dialogues 500 --log talks/served

    erc-live subscribe --dialogue desk-4 --follow
    """
    settings = configuration.load(config, sets or [], session_flags(purpose, setting, reason)).config
    place = log_place(log or str(platformdirs.user_data_path("erc-live") / "served"))
    with err.status("loading torch and the weights"):
        from erc_live.live.serving.serve_loop import Opened, Serving
        from erc_live.live.serving.serve_loop import serve as run

    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda sent, frame: stopping.append(sent))

    def ready(opened: Opened) -> None:
        found = opened.recovery
        print_line(f"features: {opened.inlet.endpoint}  events: {opened.outlet.endpoint}  log: {place}")
        print_line(f"room for {opened.room.dialogues} dialogues ({opened.room.reason})")
        print_line(f"recovered {found.dialogues} dialogues, {found.replayed} utterances replayed")
        if found.differing:
            print_line(
                f"{found.differing} of them came out other than they were published: the log was written on another "
                "machine, or with other libraries"
            )

    def standing_by() -> None:
        print_line(f"standing by until the server of {place} has gone")

    serving = Serving(settings, feature_endpoint(features), place, dialogues, standby, drain)
    counts = run(serving, standing_by, ready, lambda: bool(stopping))
    print_line(
        f"{counts.stored} utterances, {counts.repeated} sent again, {counts.refused} refused, {counts.failed} put "
        f"aside, {counts.dropped} provisional ones given up"
    )
