"""The training loop of one seed: epochs until dev gets no better, the weights of the best one kept.

Devices, precision and several processes (`torchrun`) are the business of accelerate. Each epoch has random numbers of
its own, made from seed and epoch, and the rate follows from the place in the run; so after each epoch the state is
weights, optimiser and scores, it fits into one file, and a run that goes on from it ends where it would have ended.

The rule of this file: the epoch is chosen on dev; no other split is seen.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from erc_live.models.blocks.heads import shift_logits
from erc_live.models.errors import WeightsError
from erc_live.models.training.config import Epoch, Run, Step, Told, TrainConfig
from erc_live.models.training.examples import Example
from erc_live.models.training.files import whole
from erc_live.models.training.learner import Learner, batches
from erc_live.models.training.material import Lesson

EPOCHS_APART = 100_003  # a prime: seeds of epochs never meet
WARM_UP = 0.1  # of the run
SAVED = "resume.pt"


@dataclass
class Fitted:
    """How far a seed has come: a score per epoch, and the weights of the best one; both grow in place."""

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def over(self, config: TrainConfig) -> bool:
        """Whether nothing is to be expected any more."""
        epochs = len(self.scores)
        return epochs >= config.epochs or (epochs > 0 and epochs - 1 - self.leader >= config.patience)

    @property
    def leader(self) -> int:
        """The best epoch, the first of equals."""
        return self.scores.index(max(self.scores))


class Loop:
    """Everything that moves while one seed is trained."""

    def __init__(self, learner: Learner, config: TrainConfig, offsets: Tensor) -> None:
        parallel = DistributedDataParallelKwargs(find_unused_parameters=True)  # those of an absent modality
        self.accelerator = Accelerator(cpu=team().device.type == "cpu", kwargs_handlers=[parallel])
        optimiser = torch.optim.AdamW(_groups(learner, config))
        self.learner, self.optimiser = self.accelerator.prepare(learner, optimiser)
        self.plain: Learner = self.accelerator.unwrap_model(self.learner)
        self.average = AveragedModel(self.plain, multi_avg_fn=_averaging(config.average)) if config.average else None
        self.config = config
        self.offsets = offsets.to(self.accelerator.device)  # on the logits while they learn

    @property
    def kept(self) -> Learner:
        """What is scored and kept: the average of the weights, or the weights."""
        averaged: Any = self.plain if self.average is None else self.average.module
        kept: Learner = averaged
        return kept

    def learn(self, drawn: Sequence[Example], epoch: int, report: Callable[[int, int], None]) -> float:
        """Learn from every dialogue once, in the order given; the mean loss of the batches.

        Raises:
            WeightsError: the loss is no number any more.
        """
        self.learner.train()
        parts = list(batches(drawn, self.config.batch_utterances))
        total = torch.zeros((), device=self.accelerator.device)
        with self.accelerator.split_between_processes(parts, apply_padding=True) as own:
            for done, batch in enumerate(own):
                self._rate(epoch + done / len(own))
                loss = self.learner(batch)
                if not loss.isfinite():
                    raise WeightsError(f"the loss became {loss.item()} in epoch {epoch + 1}: lower the rate")
                self.optimiser.zero_grad()
                self.accelerator.backward(loss)
                self.accelerator.clip_grad_norm_(self.learner.parameters(), self.config.clip)
                self.optimiser.step()
                if self.average is not None:
                    self.average.update_parameters(self.plain)
                total += loss.detach()
                report(done + 1, len(own))
        return float(self.accelerator.reduce(total, "mean")) / len(own)

    def judge(self, dev: Sequence[Example]) -> tuple[float, dict[str, Tensor]]:
        """The score on dev of what is kept, and a copy of it, without the offsets that it learnt under."""
        judged = self.kept
        shift_logits(judged.model, -self.offsets)
        score = judged.score(dev, self.config.batch_utterances)
        weights = {name: value.detach().cpu().clone() for name, value in judged.state_dict().items()}
        shift_logits(judged.model, self.offsets)
        return score, weights

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return {
            "learner": self.plain.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.plain.load_state_dict(state["learner"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _rate(self, epochs: float) -> None:
        """Up over the first tenth of the run, then down along a cosine."""
        done = epochs / self.config.epochs
        share = min((done + 1e-3) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * share


def team() -> PartialState:
    """The processes that work on this run: one, or as many as `torchrun` started."""
    return PartialState(cpu=not torch.accelerator.is_available())


def fit(learner: Learner, lesson: Lesson, config: TrainConfig, seed: int, key: str, run: Run) -> Fitted:
    """Train one seed to its end. Its state lies in `run.out` after each epoch, with a `key` that names what is trained.

    Raises:
        WeightsError: the loss is no number any more, the state cannot be written, or it is of another run.
    """
    loop, fitted = Loop(learner, config, lesson.offsets), Fitted()
    saved, first = run.out / f"seed-{seed}" / SAVED, loop.accelerator.is_main_process
    watch: Callable[[Told], None] = run.watch if first else lambda _: None
    if run.resume and saved.is_file():
        loop.restore(_read(saved, key, fitted))
    while not fitted.over(config):
        epoch = len(fitted.scores)
        set_seed(seed * EPOCHS_APART + epoch + 1, device_specific=True)
        generator = torch.Generator().manual_seed(seed * EPOCHS_APART + epoch + 1)
        drawn = lesson.draw(generator)
        order = torch.randperm(len(drawn), generator=generator).tolist()
        fitted.losses.append(
            loop.learn([drawn[i] for i in order], epoch, lambda *done, epoch=epoch: watch(Step(seed, epoch, *done)))
        )
        score, weights = loop.judge(lesson.dev)
        fitted.scores.append(score)
        if fitted.leader == epoch:
            fitted.best = weights
        watch(Epoch(seed, epoch, fitted.losses[-1], score, max(fitted.scores)))
        if first:
            _write(saved, key, fitted, loop.state())
    return fitted


def _write(path: Path, key: str, fitted: Fitted, state: dict[str, Any]) -> None:
    with whole(path) as part:
        torch.save({"key": key, "fitted": vars(fitted), "state": state}, part)


def _read(path: Path, key: str, fitted: Fitted) -> dict[str, Any]:
    """The state of the loop; `fitted` becomes what it was."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, LookupError, UnpicklingError) as error:
        raise WeightsError(f"{path} is damaged: begin anew, without --resume") from error
    if saved["key"] != key:
        raise WeightsError(f"{path} is of a run with other data or options: repeat those, or begin without --resume")
    vars(fitted).update(saved["fitted"])
    state: dict[str, Any] = saved["state"]
    return state


def _averaging(decay: float) -> Callable[[Any, Any, Any], None]:
    """The running average, which forgets its beginning faster while it is young."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        weight = 1.0 - min(decay, (1.0 + int(count)) / (10.0 + int(count)))
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, weight)

    return update


def _groups(learner: Learner, config: TrainConfig) -> list[dict[str, Any]]:
    """Parameters by their highest rate; biases, norms and single vectors are not pulled to 0."""
    parts: list[tuple[nn.Module, float]] = [(learner.model, config.rate)]
    if learner.text is not None:
        parts.append((learner.text, config.text_rate))
    return [
        {"params": chosen, "lr": peak, "peak": peak, "weight_decay": decay}
        for part, peak in parts
        for matrices, decay in ((True, config.weight_decay), (False, 0.0))
        if (chosen := [p for p in part.parameters() if (p.ndim > 1) == matrices])
    ]
