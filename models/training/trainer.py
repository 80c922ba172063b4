"""The training loop of every network here: epochs over a task, the best weights on dev kept.

Devices and several processes (`torchrun`) are the business of accelerate. The weights that are scored and kept are an
exponential moving average (EMA) over the steps: it finds what one step only circles around (Polyak and Juditsky 1992),
and swings less from epoch to epoch, so the best of several epochs means more. Each epoch has random numbers of its own,
made from seed and epoch, and the rate follows from the place in the run; so after each epoch all that counts fits into
one file, and a run that goes on from it ends where it would have ended. That file alone is in torch's own format, and
is read with `weights_only`: it stays on the machine that made it. Weights are safetensors, never pickles.

One loop trains all four kinds of network: the dialogue graph and the encoders of text, voice and face. What is learnt
is a task, which gives it batches, a loss and a score.
The rule of this file: it knows nothing of what is learnt, and the epoch is chosen by what the task scores, on dev.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import set_seed
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel

from erc_live.models.errors import WeightsError
from erc_live.models.files import whole

EPOCHS_APART = 10_000  # between the first seeds of two runs, so that those of epochs never meet
RESUME = "resume.pt"  # in the folder of a run, until it has ended

Batch = TypeVar("Batch")


class Task(Protocol[Batch]):
    """What one kind of network learns: its batches, its loss and its score. It draws from the generator it is given."""

    network: nn.Module
    groups: list[dict[str, Any]]  # parameters as the optimizer takes them, with the highest rate of each as `lr`; the
    # gradient of a group that is `apart` is clipped by itself, so that its length changes no other's

    def batches(self, epoch: int, generator: Generator) -> Sequence[Batch]:
        """The batches of an epoch, in the order of learning; what is dear to make is left to `loss`."""
        ...

    def loss(self, network: Any, batch: Batch, generator: Generator) -> Tensor:
        """The mean loss of a batch. `network` lies on the device of the run."""
        ...

    def score(self, network: Any) -> dict[str, float]:
        """What a network is worth on dev, in numbers with names; the first of them chooses the epoch."""
        ...


@dataclass(frozen=True)
class Plateau:
    """The rate is multiplied by `factor` when the loss on dev has not fallen, by a share of at least `threshold`, for
    more than `patience` epochs: what torch calls ReduceLROnPlateau.
    """

    factor: float
    patience: int
    threshold: float


@dataclass(frozen=True)
class Recipe:
    """How a run goes. `key` names all that its result depends on, but the seed."""

    key: str
    seed: int
    first_seed: int  # of all that is drawn in the first epoch; each later epoch has the next number
    epochs: int
    ema: float  # decay of the average; 0: no average
    clip: float  # of the norm of the gradient; 0: not clipped
    patience: int | None = None  # epochs without a better score after which the run ends; None: it does not
    chosen: bool = True  # the best epoch is kept; else the last, so that its score on dev is of a run that never saw it
    score_every: int = 1  # epochs; the last is always scored
    warm_up: float = 0.1  # share of the run in which the rate rises
    fall_from: float = 0.0  # place in the run from which on it falls; 1: it does not
    stop: int | None = (
        None  # the epoch it ends after, where that is before `epochs`, whose schedule it has all the same
    )
    plateau: Plateau | None = None  # what else the rate depends on; the task then scores its `loss`
    decoupled: bool = True  # AdamW (Loshchilov and Hutter 2019); else Adam, where decay is a part of the gradient


@dataclass
class Fit:
    """How far a run has come: losses and scores by epoch (empty where not scored), the weights of the best one, and
    the last epoch that scored better than all before.
    """

    losses: list[float] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf
    improved: int = -1
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepDone:
    """Reported after each batch: how many of the epoch are done."""

    seed: int
    epoch: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True)
class EpochDone:
    """Reported after each epoch: its mean loss, its scores on dev (none if it was not scored), the best so far."""

    seed: int
    epoch: int
    loss: float
    scores: Mapping[str, float]
    best: float


def rate_share(done: float, warm_up: float, fall_from: float) -> float:
    """Which share of the highest rate applies when so much of a run is done: up in a line, down along a cosine."""
    falling = max(0.0, done - fall_from) / (1 - fall_from) if fall_from < 1 else 0.0
    return min(done / warm_up if warm_up else 1.0, 0.5 + 0.5 * math.cos(math.pi * falling))


def plateau_share(losses: Sequence[float], plateau: Plateau) -> float:
    """Which share of the rate is left after epochs with such losses on dev."""
    share, best, idle = 1.0, math.inf, 0
    for loss in losses:
        falls = loss < best * (1 - plateau.threshold)
        best, idle = (loss, 0) if falls else (best, idle + 1)
        if idle > plateau.patience:
            share, idle = share * plateau.factor, 0
    return share


def even_batches(items: int, size: int, generator: Generator) -> list[Tensor]:
    """All rows in random order, in batches; without a last one that is smaller than others: it would shake norms."""
    batches = list(torch.split(torch.randperm(items, generator=generator), size))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < size else batches


class Trainer:
    """Everything that moves while a task is learnt. Its state lies in the file `path` after each epoch."""

    def __init__(
        self, task: Task[Any], recipe: Recipe, path: Path, watch: Callable[[Any], object] = lambda _: None
    ) -> None:
        parallel = DistributedDataParallelKwargs(find_unused_parameters=True)  # those of an absent modality
        self._accelerator = Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[parallel])
        kind = torch.optim.AdamW if recipe.decoupled else torch.optim.Adam
        optimizer = kind([{**group, "peak": group["lr"]} for group in task.groups], fused=True)
        self._objective, self._optimizer = self._accelerator.prepare(_Objective(task), optimizer)
        self._ema = AveragedModel(task.network, multi_avg_fn=_averaging(recipe.ema), use_buffers=True).eval()
        self._clipped = _clipped(task)
        self._task, self._recipe, self._path = task, recipe, path
        self._watch = watch if self._accelerator.is_main_process else lambda _: None
        self._fit = Fit()

    def fit(self) -> Fit:
        """Learn to the end, from where an earlier run left `path`; that file stays there for the caller to remove.

        Raises:
            WeightsError: the loss is no number any more, `path` cannot be written, is damaged, or of another run.
        """
        fit, recipe = self._fit, self._recipe
        if self._path.is_file():
            self._resume()
        end = recipe.epochs if recipe.stop is None else min(recipe.stop, recipe.epochs)
        while len(fit.losses) < end and not self._hopeless():
            epoch = len(fit.losses)
            seed = recipe.first_seed + epoch
            set_seed(seed, device_specific=True)  # of dropout
            fit.losses.append(self._learn(epoch, Generator().manual_seed(seed)))
            last = epoch + 1 == end
            fit.scores.append(self._score() if last or (epoch + 1) % recipe.score_every == 0 else {})
            self._keep_best(epoch)
            if self._accelerator.is_main_process:
                self._save()
            self._watch(EpochDone(recipe.seed, epoch, fit.losses[-1], fit.scores[-1], fit.best_score))
        return fit

    def _hopeless(self) -> bool:
        patience = self._recipe.patience
        return patience is not None and len(self._fit.losses) - self._fit.improved > patience

    def _learn(self, epoch: int, generator: Generator) -> float:
        """One epoch; the mean loss of its batches."""
        self._objective.train()
        own = self._own(self._task.batches(epoch, generator))
        total = torch.zeros((), device=self._accelerator.device)
        for done, batch in enumerate(own, start=1):
            self._set_rate((epoch + done / len(own)) / self._recipe.epochs)
            loss = self._objective(batch, generator)
            value = loss.item()
            if not math.isfinite(value):
                raise WeightsError(f"the loss became {value} in epoch {epoch + 1}: lower the rate")
            self._optimizer.zero_grad()
            self._accelerator.backward(loss)
            for parameters in self._clipped if self._recipe.clip else ():
                self._accelerator.clip_grad_norm_(parameters, self._recipe.clip)
            self._optimizer.step()
            self._ema.update_parameters(self._task.network)
            total += value
            self._watch(StepDone(self._recipe.seed, epoch, done, len(own), value))
        return float(self._accelerator.reduce(total, "mean")) / max(len(own), 1)

    def _own(self, batches: Sequence[Any]) -> list[Any]:
        """Those of this process; all have as many, the last is given more than once if need be."""
        count, first = self._accelerator.num_processes, self._accelerator.process_index
        return [batches[min(place + first, len(batches) - 1)] for place in range(0, len(batches), count)]

    def _set_rate(self, done: float) -> None:
        share = rate_share(done, self._recipe.warm_up, self._recipe.fall_from)
        if self._recipe.plateau is not None:
            share *= plateau_share([scores["loss"] for scores in self._fit.scores], self._recipe.plateau)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * share

    @torch.no_grad()
    def _score(self) -> dict[str, float]:
        return self._task.score(self._ema.module)

    def _keep_best(self, epoch: int) -> None:
        """Keep the weights if they scored best, of equal scores the later, whose average has seen more; or always."""
        fit = self._fit
        score = next(iter(fit.scores[-1].values()), -math.inf)
        if not fit.scores[-1] or (self._recipe.chosen and score < fit.best_score):
            return
        if score > fit.best_score:
            fit.improved = epoch
        fit.best_epoch, fit.best_score = epoch, score
        averaged = self._ema.module.state_dict()
        fit.weights = {name: value.detach().cpu().clone() for name, value in averaged.items()}

    def _save(self) -> None:
        state = {
            "network": self._task.network.state_dict(),
            "ema": self._ema.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        with whole(self._path) as part:
            torch.save({"key": self._key, "fit": vars(self._fit), "state": state}, part)

    def _resume(self) -> None:
        try:
            saved = torch.load(self._path, map_location="cpu", weights_only=True)
            key, fit, state = saved["key"], saved["fit"], saved["state"]
        except (OSError, RuntimeError, EOFError, LookupError, TypeError, UnpicklingError) as error:
            raise WeightsError(f"{self._path} is damaged: remove it, and the run begins anew") from error
        if key != self._key:
            raise WeightsError(
                f"{self._path} is of a run with other data or options: repeat those, give another folder, or remove it"
            )
        vars(self._fit).update(fit)
        self._task.network.load_state_dict(state["network"])
        self._ema.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimizer"])

    @property
    def _key(self) -> str:
        return f"{self._recipe.key} {self._recipe.seed}"


def _clipped(task: Task[Any]) -> list[list[nn.Parameter]]:
    """The parameters whose gradients are clipped together."""
    apart: list[list[nn.Parameter]] = [group["params"] for group in task.groups if group.get("apart")]
    others = {id(parameter) for parameters in apart for parameter in parameters}
    return [[each for each in task.network.parameters() if id(each) not in others], *apart]


class _Objective(nn.Module):
    """A network whose `forward` is the loss, which is what gradients of several processes are joined over."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__()
        self.network = task.network
        self._loss = task.loss

    def forward(self, batch: Any, generator: Generator) -> Tensor:
        return self._loss(self.network, batch, generator)


def _averaging(decay: float) -> Callable[[Any, Any, Any], None]:
    """The average forgets its beginning faster while it is young. Counters are taken as they are."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        weight = 1.0 - min(decay, (1.0 + int(count)) / (10.0 + int(count)))
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, weight) if mean.is_floating_point() else mean.copy_(value)

    return update
