"""What simpler designs would cost, side by side with a shard of many dialogues.

    apart     a process for each dialogue: an actor of Ray with its own log, as a shard with one dialogue has
    together  one shard for all of them, in an actor of Ray
    anew      no state at all: for each utterance the network reads the dialogue from its begin

Each dialogue says its next utterance when it has the receipt for the last one, so that both designs run at full load.
The rule of this file: the designs differ in nothing but what is compared; network, records, log and Ray are the same.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch

from erc_live.live.config import Config
from erc_live.live.errors import WorkerError
from erc_live.live.serving.ray_cluster import LOCAL, RayCluster, RayShard
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.serving.shard import BATCH
from erc_live.models import checkpoint
from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.networks import steppable
from erc_live.models.state import widths
from erc_live.streams import codec
from erc_live.streams.feature_channel import FeatureFrames

READY_S = 300.0  # in which one process has loaded
LENGTHS = (10, 40, 160)  # utterances of a dialogue that is read anew
ROUNDS = 5  # of which the median counts


@dataclass(frozen=True)
class Deployment:
    """Processes, and the dialogues of each."""

    shards: Sequence[RayShard]
    processes: Sequence[psutil.Process]
    dialogues: Sequence[Sequence[str]]


def bench_naive(actors: int, utterances: int, config: Config, on_news: Callable[[str], None]) -> dict[str, Any]:
    """As many dialogues as actors, each of so many utterances; figures of the designs, by name.

    Raises EngineError where Ray does not start, WorkerError where a process does not.
    """
    weights = checkpoint.load(config.tracker.weights)
    names = [f"naive-{number}" for number in range(actors)]
    with TemporaryDirectory(prefix="erc-naive-") as place, RayCluster(LOCAL, actors + 1, lambda: None) as cluster:
        starter = _Starter(cluster, config, Path(place), on_news)
        apart = _measured(starter.deployed([[name] for name in names]), utterances, weights)
        together = _measured(starter.deployed([names]), utterances, weights)
    on_news("reading anew")
    return {"dialogues": actors, "utterances": utterances, "apart": apart, "together": together} | _anew(weights)


class _Starter:
    """Processes are started one after the other: all at once, they would wait for each other's libraries."""

    def __init__(self, cluster: RayCluster, config: Config, folder: Path, on_news: Callable[[str], None]) -> None:
        self._cluster, self._config, self._folder, self._on_news = cluster, config, folder, on_news
        self._started = 0

    def deployed(self, dialogues: Sequence[Sequence[str]]) -> Deployment:
        shards, processes = list[RayShard](), list[psutil.Process]()
        for names in dialogues:
            self._on_news(f"starting process {len(shards) + 1} of {len(dialogues)}")
            self._started += 1
            shard = self._cluster.start(f"naive-{self._started}", self._config, len(names), self._folder)
            try:
                processes.append(psutil.Process(shard.loaded.result(READY_S)))
                shard.open(self._folder / str(self._started), (len(names), "all"), None).result(READY_S)
            except TimeoutError as error:
                raise WorkerError(f"process {len(shards) + 1} did not load within {READY_S:g} s") from error
            shards.append(shard)
        self._on_news("measuring")
        return Deployment(shards, processes, dialogues)


def _measured(deployment: Deployment, utterances: int, weights: Checkpoint) -> dict[str, Any]:
    """Speak until all is said; then the processes are ended."""
    rounds = [[_utterances(weights, names, number) for number in range(utterances)] for names in deployment.dialogues]
    _speak(deployment.shards, [one[:1] for one in rounds])  # kernels are chosen
    processes = [psutil.Process(), *deployment.processes]
    cpu_s, begun_s = _cpu_s(processes), time.monotonic()
    latencies_ms = _speak(deployment.shards, [one[1:] for one in rounds])
    seconds, cpu_s = time.monotonic() - begun_s, _cpu_s(processes) - cpu_s
    said, count = sum(map(len, deployment.dialogues)) * (utterances - 1), len(deployment.processes)
    own_mb = sum(process.memory_full_info().uss for process in deployment.processes) / 1e6
    for shard in deployment.shards:
        shard.kill()
    return {
        "processes": count,
        "mb_of_a_process": round(own_mb / count),
        "utterances_per_s": round(said / seconds, 1),
        "cpu_ms": round(1e3 * cpu_s / said, 2),
        "turn_ms": {f"p{p}": round(float(np.percentile(latencies_ms, p)), 1) for p in (50, 99)},
    }


def _utterances(weights: Checkpoint, names: Sequence[str], number: int) -> list[FeatureFrames]:
    return [FeatureFrames(b"naive", codec.encode(generated(weights, name, number))) for name in names]


def _speak(shards: Sequence[RayShard], rounds: Sequence[Sequence[list[FeatureFrames]]]) -> list[float]:
    """How long each turn took, in ms."""
    latencies_ms = []
    left = [iter(one) for one in rounds]
    flying = {shard.turn(next(left[number]), []): (number, time.monotonic()) for number, shard in enumerate(shards)}
    while flying:
        for done in wait(flying, return_when=FIRST_COMPLETED).done:
            number, begun_s = flying.pop(done)
            done.result()
            latencies_ms.append(1e3 * (time.monotonic() - begun_s))
            if messages := next(left[number], None):
                flying[shards[number].turn(messages, [])] = (number, time.monotonic())
    return latencies_ms


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@torch.inference_mode()
def _anew(weights: Checkpoint) -> dict[str, Any]:
    """CPU ms of an utterance, of `BATCH` dialogues at once: a step, and the network over a dialogue of each length."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a shard
    model: Any = steppable(weights.model).eval()
    sizes, state = widths(model.config), model.initial_state(BATCH)
    one = _random(1, sizes)
    said = UtteranceBatch(*(vector[:, 0] for vector in (one.text, one.audio, one.visual, one.speakers, one.present)))
    step_ms = _cpu_ms(partial(model.step, said, state))
    anew_ms = {length: _cpu_ms(partial(model, _random(length, sizes))) for length in LENGTHS}
    torch.set_num_threads(threads)
    return {
        "step_cpu_ms": round(step_ms, 3),
        "anew_cpu_ms": {f"{length} utterances": round(ms, 3) for length, ms in anew_ms.items()},
        "anew_by_step": {f"{length} utterances": round(ms / step_ms, 1) for length, ms in anew_ms.items()},
    }


def _random(length: int, sizes: tuple[int, int, int]) -> DialogueBatch:
    text, audio, visual = (torch.randn(BATCH, length, size) for size in sizes)
    lengths, speakers = torch.full((BATCH,), length), torch.arange(length).remainder(2).expand(BATCH, -1)
    present = torch.tensor([size > 0 for size in sizes]).expand(BATCH, length, -1)
    return DialogueBatch(text=text, audio=audio, visual=visual, lengths=lengths, speakers=speakers, present=present)


def _cpu_ms(run: Callable[[], object]) -> float:
    times_s = []
    for _ in range(ROUNDS + 1):  # the first one chooses kernels
        begun_s = time.thread_time()
        run()
        times_s.append(time.thread_time() - begun_s)
    return 1e3 * median(times_s[1:]) / BATCH
