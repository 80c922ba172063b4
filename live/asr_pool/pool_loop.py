"""The loop of `erc-live recognise`: sound in, words out, and recognisers in processes behind.

The rule of this file: it opens and closes what a pool needs, and its loop only takes and answers; who is given what is
decided in `recogniser_pool.py`. No utterance is written anywhere.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from msgspec import structs

from erc_live.live.asr.whisper_models import threads
from erc_live.live.asr_pool.pool_metrics import PoolMetrics, pool_metrics
from erc_live.live.asr_pool.pool_scale import PoolScale
from erc_live.live.asr_pool.recogniser_pool import PoolNews, PoolWorker, RecogniserPool
from erc_live.live.config import Config, TranscriberSection
from erc_live.live.errors import ConfigError
from erc_live.live.privacy import purpose
from erc_live.streams.recognition_channel import RecognitionInlet

POLL_S = 0.05  # in which nothing has to come for waiting requests to be looked at
TAKEN = 64  # messages taken in one turn of the loop
END_S = 10.0  # for what waits, at the end


class PoolPlan(NamedTuple):
    """What a pool is to be. `ray`: "": processes of this machine; "local" or an address: of that Ray."""

    config: Config
    endpoint: str
    least: int
    most: int
    ray: str = ""


def recognise(
    plan: PoolPlan, listening: Callable[[str], None], news: PoolNews, stopped: Callable[[], bool]
) -> Counter[str]:
    """Serve until `stopped`; what was taken until then is answered. `listening`: called with the endpoint. Counts are
    those of `RecogniserPool`.

    Raises:
        ConfigError: the setting forbids it, or the configuration names no recogniser.
        AddressError: an endpoint cannot be used.
        EngineError: Ray does not start, or no recogniser loads.
        WorkerError: one recogniser after the other dies while it loads.
    """
    purpose.check(plan.config.session)
    choice = recogniser_choice(plan.config.transcriber)
    with ExitStack() as stack:
        metrics = stack.enter_context(pool_metrics(plan.config.metrics))
        inlet = RecognitionInlet(plan.endpoint)
        stack.callback(inlet.close)
        start = _starter(plan, choice, inlet.wake, stack)
        pool = RecogniserPool(start, PoolScale(plan.least, plan.most), news)
        stack.callback(pool.close)
        listening(inlet.endpoint)
        while not stopped():
            turn(pool, inlet, metrics)
        pool.ending, end_s = True, time.monotonic() + END_S
        while pool.pending and time.monotonic() < end_s:
            turn(pool, inlet, metrics)
        return pool.counts


def recogniser_choice(choice: TranscriberSection) -> TranscriberSection:
    """The recogniser of each process; it has as many threads wherever it runs. Raises ConfigError where it is none."""
    if choice.engine in ("pool", "transcript", "none"):
        raise ConfigError(
            f"transcriber.engine is {choice.engine}, and a pool needs a recogniser of its own: "
            "erc-live recognise --set transcriber.engine=auto"
        )
    return structs.replace(choice, threads=choice.threads or threads())


def turn(pool: RecogniserPool, inlet: RecognitionInlet, metrics: PoolMetrics) -> None:
    """Take what has come, hand out what is done."""
    answers = []
    if inlet.wait(POLL_S):
        answers = [answer for asked in inlet.receive(TAKEN) if (answer := pool.take(asked, time.monotonic()))]
    for answer in (*answers, *pool.advance(time.monotonic())):
        inlet.answer(answer.sender, answer.reply, answer.words)
        if answer.words:
            metrics.done(answer.seconds)
    metrics.show(pool.load(time.monotonic()), pool.counts)


def _starter(
    plan: PoolPlan, choice: TranscriberSection, wake: Callable[[], None], stack: ExitStack
) -> Callable[[], PoolWorker]:
    """Starts one recogniser, where the plan has them."""
    models = plan.config.models
    if not plan.ray:
        from erc_live.live.asr_pool.recogniser_process import RecogniserProcess

        return lambda: RecogniserProcess(choice, models, wake)
    from erc_live.live.asr_pool.ray_recognisers import ray_starter
    from erc_live.live.serving.ray_cluster import RayCluster

    cluster = stack.enter_context(RayCluster(plan.ray, plan.most * choice.threads, wake))
    return ray_starter(cluster, choice, models, plan.most)
