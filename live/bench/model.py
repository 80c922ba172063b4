"""What a network costs while people talk: time per utterance, memory per dialogue, dialogues per machine.

Figures of a busy machine are noisy, so what is to be compared is timed in turn, round after round, and reported as
median with the 10th and 90th percentile; ratios are of medians. Each timed call follows some of the same, so that none
pays for what another has pushed out of the cache. A state is a value, so one and the same step can be timed again and
again. The weights are random: they change no duration.
The rule of this file: it measures and returns a `BenchReport`; `model_report` shows it.
"""

import dataclasses
import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from erc_live.live.errors import ConfigError, DeviceError
from erc_live.live.screen.percentile import percentile
from erc_live.live.tracking.slots import SIZES, Slots
from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks import NETWORKS
from erc_live.models.state import Replay, Sizes, nbytes, widths
from erc_live.streams.clock import SessionClock

LENGTHS = (10, 100, 1_000, 10_000)  # utterances of a dialogue
REPLAY_WINDOW = 50  # utterances that a two-sided network hears again; corpora have 10 to 110 in a dialogue
SPEAKERS = 3
LEAST_ROUNDS = 2  # percentiles need two values
WARM_UPS = 3  # calls after which the weights of a small module are in the cache again
CELL_WIDTH = 256  # of the GRU cell that is the yardstick of a step: same machine, same run


@dataclass(frozen=True)
class Repetitions:
    """How much is measured.

    `rounds`: repetitions of a step, a fifth as many of what takes longer. `patience_s`: after it repetitions end, and a
    recomputation that would take longer is left out. `warm_up_steps`: before memory is looked at, so that allocators
    and caches have filled. `memory_steps`: after it, fewer if `memory_s` is over before.
    """

    rounds: int = 200
    patience_s: float = 20.0
    warm_up_steps: int = 1_000
    memory_steps: int = 100_000
    memory_s: float = 300.0


FULL = Repetitions()
SHORT = Repetitions(rounds=2, patience_s=0.1, warm_up_steps=10, memory_steps=20)  # shows that all works, not how fast


@dataclass(frozen=True)
class CallDuration:
    """Duration of one call in ms: median, 10th and 90th percentile."""

    p50: float
    p10: float
    p90: float


@dataclass(frozen=True)
class AtLength:
    """Cost of the last utterance of a dialogue of `length` utterances.

    `step` from the state; `reach`: the same network over the utterances that can change the answer, timed in turn with
    `step`, None where these are all; `recompute`: over the whole dialogue, None where it would take too long; `replay`:
    its two-sided form over the last `REPLAY_WINDOW`.
    """

    length: int
    step: CallDuration
    reach: CallDuration | None
    recompute: CallDuration | None
    replay: CallDuration


@dataclass(frozen=True)
class AtDialogues:
    """One step of `dialogues` dialogues together, through `Slots`."""

    dialogues: int
    batch: CallDuration

    @property
    def per_second(self) -> float:
        """Utterances per second."""
        return 1000 * self.dialogues / self.batch.p50


@dataclass(frozen=True)
class Target:
    """A figure that the default network has to reach, at least or at most."""

    name: str
    value: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class NetworkReport:
    """All figures of one network. `reach`: utterances that can change an answer, itself included, None if all can;
    `single`: plain steps one by one, timed in turn with `batches`; `cell`: a GRU cell,
    timed in turn with `step`; `grown_bytes`: of resident memory over `steps` steps, None if the system does not tell.
    """

    network: str
    parameters: int
    reach: int | None
    state_bytes: int
    replay_state_bytes: int
    lengths: tuple[AtLength, ...]
    single: CallDuration
    batches: tuple[AtDialogues, ...]
    step: CallDuration
    cell: CallDuration
    steps: int
    grown_bytes: int | None

    def targets(self) -> list[Target]:
        """The figures that are demanded, of those that were measured."""
        first, last = self.lengths[0], self.lengths[-1]
        found = [
            Target(f"step at {last.length:,} / at {first.length:,}", last.step.p50 / first.step.p50, 1.05, False),
            Target("step / GRU cell", self.step.p50 / self.cell.p50, 30, False),
        ]
        found += [
            Target("recompute / step at 1,000", at.recompute.p50 / at.step.p50, 50, True)
            for at in self.lengths
            if at.length == 1_000 and at.recompute
        ]
        together = next(batch for batch in self.batches if batch.dialogues == 64)
        return [*found, Target("64 together / one by one", together.per_second * self.single.p50 / 1000, 8, True)]


@dataclass(frozen=True)
class BenchReport:
    """Figures of all networks, and of what they were measured on."""

    device: str
    threads: int
    torch: str
    networks: tuple[NetworkReport, ...]

    def plain(self) -> dict[str, Any]:
        """The report as JSON values; durations in ms."""
        tree = dataclasses.asdict(self)
        for network, values in zip(self.networks, tree["networks"], strict=True):
            values["targets"] = [dataclasses.asdict(target) | {"met": target.met} for target in network.targets()]
        return tree


def bench_model(
    networks: Sequence[str],
    lengths: Sequence[int] = LENGTHS,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _text: None,
    repetitions: Repetitions = FULL,
) -> BenchReport:
    """Measure networks of their default sizes.

    Args:
        networks: names in `NETWORKS`.
        lengths: of dialogues, at least 1 each.
        device: "cpu", "cuda", ...
        progress: called with what is being measured.
        repetitions: `FULL`, or `SHORT` to see that all works.

    Raises:
        ConfigError: there is no such network, or a length is below 1.
        DeviceError: there is no such device.
    """
    for name in networks:
        if name not in NETWORKS:
            raise ConfigError(f"no network {name}: --network takes {', '.join(sorted(NETWORKS))}")
    if not lengths or min(lengths) < 1:
        raise ConfigError("lengths of dialogues are counted from 1")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch finds no GPU here: measure with --device cpu, or install a CUDA build of torch")
    benches = [_NetworkBench(name, device, progress, repetitions) for name in networks]
    with torch.inference_mode():  # the networks were built outside of it, as in a session
        reports = tuple(bench.report(sorted(set(lengths))) for bench in benches)
    return BenchReport(device, torch.get_num_threads(), torch.__version__, reports)


class _NetworkBench:
    """Measures one network."""

    def __init__(self, name: str, device: str, progress: Callable[[str], None], repetitions: Repetitions) -> None:
        self._name = name
        self._device = device
        self._say = progress
        self._repetitions = repetitions
        self._model: Any = _built(name, device, causal=True)
        field = self._model.receptive_field
        self._reach: int | None = None if field is None else field + 1
        self._replay = Replay(_built(name, device, causal=False), REPLAY_WINDOW)

    def report(self, lengths: Sequence[int]) -> NetworkReport:
        steps, grown = self._growth()  # first, before anything large has come and gone
        talk = _talk(self._model.config, lengths[-1]).to(self._device)
        at = self._at_lengths(talk, lengths)
        single, batches = self._batches()
        step, cell = self._against_cell()
        return NetworkReport(
            network=self._name,
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            reach=self._reach,
            state_bytes=nbytes(self._model.initial_state(1)),
            replay_state_bytes=nbytes(self._replay.initial_state(1)),
            lengths=at,
            single=single,
            batches=batches,
            step=step,
            cell=cell,
            steps=steps,
            grown_bytes=grown,
        )

    def _growth(self) -> tuple[int, int | None]:
        """Steps of one dialogue, and by how much memory is larger after them."""
        talk = _talk(self._model.config, REPLAY_WINDOW).to(self._device)
        state = self._model.initial_state(1)
        for t in range(self._repetitions.warm_up_steps):
            _, state = self._model.step(_row(talk, t % REPLAY_WINDOW), state)
        before, end_s = _resident_bytes(self._device), time.monotonic() + self._repetitions.memory_s
        steps = 0
        while steps < self._repetitions.memory_steps and time.monotonic() < end_s:
            if steps % 1_000 == 0:
                self._say(f"{self._name}: memory, step {steps:,}")
            _, state = self._model.step(_row(talk, steps % REPLAY_WINDOW), state)
            steps += 1
        after = _resident_bytes(self._device)
        return steps, None if before is None or after is None else after - before

    def _at_lengths(self, talk: UtteranceBatch, lengths: Sequence[int]) -> tuple[AtLength, ...]:
        state, calls = self._model.initial_state(1), []
        self._say(f"{self._name}: steps up to utterance {lengths[-1]:,}")
        for t in range(lengths[-1]):
            if t + 1 in lengths:
                calls.append(_call(self._model.step, _row(talk, t), state))
            _, state = self._model.step(_row(talk, t), state)
        reach = self._reach
        again = [self._again(talk.rows(slice(max(0, end - reach), end))) for end in lengths] if reach else []
        steps, reaches = self._in_turn(calls, again)
        replays = self._timed([self._replayed(talk, length) for length in lengths], self._repetitions.rounds // 5)
        recomputed = self._recomputed(talk, lengths)
        rows = zip(lengths, steps, reaches, recomputed, replays, strict=True)
        return tuple(AtLength(*row) for row in rows)

    def _in_turn(
        self, calls: Sequence[Callable[[], object]], again: Sequence[Callable[[], object]]
    ) -> tuple[list[CallDuration], Sequence[CallDuration | None]]:
        """Times of steps and of what they spare, which may be nothing that is bounded."""
        timings = self._timed([*calls, *again], self._repetitions.rounds)
        return timings[: len(calls)], timings[len(calls) :] or [None] * len(calls)

    def _again(self, talk: UtteranceBatch) -> Callable[[], object]:
        """`forward` over utterances of one dialogue."""
        batch = DialogueBatch.pad([talk])
        return _call(self._model, dataclasses.replace(batch, lengths=batch.lengths.to(self._device)))

    def _replayed(self, talk: UtteranceBatch, length: int) -> Callable[[], object]:
        """The step of `Replay` at utterance `length`, whose state is made of the utterances that it still holds."""
        state = self._replay.initial_state(1)
        for t in range(max(0, length - 1 - REPLAY_WINDOW), length - 1):
            _, state = self._replay.step(_row(talk, t), state)
        return _call(self._replay.step, _row(talk, length - 1), state)

    def _recomputed(self, talk: UtteranceBatch, lengths: Sequence[int]) -> list[CallDuration | None]:
        """Times of `forward`; it stops where attention over all pairs (cost: square of the length) would take too
        long.
        """
        found: list[CallDuration | None] = []
        for before, length in pairwise((lengths[0], *lengths)):
            previous = found[-1] if found else None
            guess_s = previous.p50 / 1000 * (length / before) ** 2 if previous else 0.0
            if guess_s > self._repetitions.patience_s or (found and not previous):
                found.append(None)
                continue
            self._say(f"{self._name}: whole dialogue of {length:,} utterances")
            rounds = self._repetitions.rounds // 5 if length <= 1_000 else 3
            found += self._timed([self._again(talk.rows(slice(length)))], rounds, warm_ups=1)
        return found

    def _batches(self) -> tuple[CallDuration, tuple[AtDialogues, ...]]:
        names = [str(number) for number in range(SIZES[-1])]
        talk = _talk(self._model.config, len(names))
        slots: Slots[Any] = Slots(self._model, len(names), SessionClock())
        for name in names:
            slots.join(name)
        for _ in range(2):
            slots.step(names, talk)
        row, state = _row(talk.to(self._device), 0), self._model.initial_state(1)
        calls = [_call(self._model.step, row, state)]
        calls += [_call(slots.step, names[:size], talk.rows(slice(size))) for size in SIZES]
        self._say(f"{self._name}: up to {SIZES[-1]} dialogues together")
        single, *together = self._timed(calls, self._repetitions.rounds // 5)
        return single, tuple(AtDialogues(size, timing) for size, timing in zip(SIZES, together, strict=True))

    def _against_cell(self) -> tuple[CallDuration, CallDuration]:
        cell = nn.GRUCell(CELL_WIDTH, CELL_WIDTH).to(self._device).eval()
        vector = torch.randn(1, CELL_WIDTH, device=self._device)
        row = _talk(self._model.config, 1).to(self._device)
        self._say(f"{self._name}: beside a GRU cell")
        calls = [_call(self._model.step, row, self._model.initial_state(1)), _call(cell, vector, vector)]
        step, one = self._timed(calls, self._repetitions.rounds)
        return step, one

    def _timed(
        self, calls: Sequence[Callable[[], object]], rounds: int, warm_ups: int = WARM_UPS
    ) -> list[CallDuration]:
        """Time `calls` in turn, `rounds` times while patience lasts, each after `warm_ups` of the same."""
        durations: list[list[float]] = [[] for _ in calls]
        end_s = time.monotonic() + self._repetitions.patience_s
        for turn in range(max(rounds, LEAST_ROUNDS)):
            if turn >= LEAST_ROUNDS and time.monotonic() > end_s:
                break
            for call, taken in zip(calls, durations, strict=True):
                for _ in range(warm_ups):
                    self._settled(call)
                start = time.perf_counter_ns()
                self._settled(call)
                taken.append((time.perf_counter_ns() - start) / 1e6)
        return [_timing(taken) for taken in durations]

    def _settled(self, call: Callable[[], object]) -> None:
        call()
        if torch.device(self._device).type == "cuda":
            torch.cuda.synchronize()


def _timing(durations: Sequence[float]) -> CallDuration:
    return CallDuration(*(percentile(durations, percent) for percent in (50, 10, 90)))


def _built(name: str, device: str, causal: bool) -> Any:
    network = NETWORKS[name]
    sizes = network.config()
    if any(field.name == "causal" for field in dataclasses.fields(sizes)):
        sizes = dataclasses.replace(sizes, causal=causal)
    return network.model(sizes).to(device).eval()


def _talk(sizes: Sizes, length: int) -> UtteranceBatch:
    """A dialogue of random vectors in which every modality that the network takes is present."""
    draw = torch.Generator().manual_seed(0)
    text, audio, visual = (torch.randn(length, dim, generator=draw) for dim in widths(sizes))
    present = torch.tensor([[dim > 0 for dim in widths(sizes)]]).repeat(length, 1)
    return UtteranceBatch(text, audio, visual, torch.arange(length) % SPEAKERS, present)


def _row(talk: UtteranceBatch, t: int) -> UtteranceBatch:
    return talk.rows(slice(t, t + 1))


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _resident_bytes(device: str) -> int | None:
    """Memory in use: of tensors on a GPU, else of this process; None where the system has no /proc."""
    gc.collect()
    if torch.device(device).type == "cuda":
        return torch.cuda.memory_allocated(device)
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else None
