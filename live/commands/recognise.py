"""`erc-live recognise`: recognisers that many sessions share, in processes of their own."""

import os
import signal
from importlib.util import find_spec
from typing import Annotated

# Before numpy is imported, here and in the processes that are started: as the workers of a session, for what one thread
# rounds, one thread rounds again.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from erc_live.live import config as configuration
from erc_live.live.asr_pool.pool_loop import PoolPlan
from erc_live.live.asr_pool.pool_loop import recognise as run
from erc_live.live.asr_pool.recogniser_pool import LoadedRecogniser, PoolNews
from erc_live.live.commands.session_options import ConfigFile, Purpose, Reason, Sets, Setting, session_flags
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.screen.console import print_line
from erc_live.streams.address import recognition_endpoint
from erc_live.streams.plural import counted

MOST_WORKERS = 1000


def recognise(
    workers: Annotated[
        str,
        typer.Option(
            help="So many recognisers; or from MIN on, up to MAX, by how long work waits.", metavar="N|MIN-MAX"
        ),
    ] = "1",
    endpoint: Annotated[
        str, typer.Option(help="Where sound comes in: auto, ipc://PATH or tcp://127.0.0.1:PORT.", metavar="ENDPOINT")
    ] = "auto",
    ray: Annotated[
        str,
        typer.Option(
            help="On a Ray that is started here, or on the cluster at this address. Needs erc-live\\[scale].",
            metavar="local|ADDRESS",
        ),
    ] = "",
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Recognise the words of many sessions: sound in over ZeroMQ, words out, and nothing is kept.

    Each recogniser is a process with the model of `transcriber.*`. Sessions take their words from here, and load none
    of their own, with `--set transcriber.engine=pool`.

    erc-live recognise --workers 2-8

    erc-live --mic default --set transcriber.engine=pool
    """
    least, most = parse_workers(workers)
    if ray and find_spec("ray") is None:
        raise EngineError("--ray needs ray: pip install 'erc-live[scale]'")
    settings = configuration.load(config, sets or [], session_flags(purpose, setting, reason)).config
    plan = PoolPlan(settings, recognition_endpoint(endpoint), least, most, ray)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda sent, frame: stopping.append(sent))
    news = PoolNews(
        opened=_opened,
        lost=lambda number, why: print_line(f"recogniser {number} was lost: {why}"),
        ended=lambda number: print_line(f"recogniser {number} has ended: there was nothing to do for it"),
    )
    counts = run(plan, lambda place: print_line(f"sound: {place}"), news, lambda: bool(stopping))
    print_line(
        f"{counted(counts['done'], 'utterance')} recognised, {counts['dropped']} dropped, {counts['refused']} refused, "
        f"{counts['unreadable']} unreadable, {counts['failed']} failed; {counted(counts['lost'], 'recogniser')} lost"
    )


def parse_workers(text: str) -> tuple[int, int]:
    """`N`, or `MIN-MAX`. Raises ConfigError."""
    first, dash, last = text.partition("-")
    numbers = [first, last if dash else first]
    if all(number.isascii() and number.isdigit() for number in numbers):
        least, most = map(int, numbers)
        if 1 <= least <= most <= MOST_WORKERS:
            return least, most
    raise ConfigError(f"--workers {text}: write how many, as 4 or 2-8; 1 at least, {MOST_WORKERS} at most")


def _opened(number: int, loaded: LoadedRecogniser) -> None:
    print_line(f"recogniser {number} in process {loaded.process}: {loaded.name}")
    print_line(loaded.warning)
