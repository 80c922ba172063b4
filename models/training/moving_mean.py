"""A network in training, the moving mean of its weights, the best mean so far, and all of it in a file.

The mean over the last steps finds what one step only circles around (Polyak and Juditsky 1992), and swings less from
epoch to epoch, so the best of several epochs means more.
The rule of this file: a run that was interrupted and resumed holds the very numbers of one that was not.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from erc_live.models.errors import WeightsError
from erc_live.models.training.files import whole


class MovingMean:
    """`network` and `optimiser` are stepped by the caller, `mean` follows, `best` are the weights of the mean that
    scored `best_score`; `epoch` of them are done. `settings` say, in JSON, what makes two runs the same.
    """

    def __init__(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, memory: float, settings: Mapping[str, Any]
    ) -> None:
        self.network: Any = network
        self.optimiser = optimiser
        self.mean: Any = copy.deepcopy(network).eval()
        self.best: dict[str, Tensor] = copy.deepcopy(self.mean.state_dict())
        self.best_score = -1.0
        self.best_epoch = -1
        self.epoch = 0
        self._memory = memory
        self._settings = json.dumps(settings, sort_keys=True)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Let the mean follow after step number `step`, counted from 0 over the whole run."""
        keep = min(self._memory, (1 + step) / (10 + step))  # a short memory at first, when all changes fast
        for mean, now in zip(self.mean.state_dict().values(), self.network.state_dict().values(), strict=True):
            mean.lerp_(now, 1 - keep) if mean.is_floating_point() else mean.copy_(now)

    def consider(self, score: float | None) -> None:
        """End an epoch, whose mean scored this; None: it was not measured. Of equal scores the later is kept."""
        if score is not None and score >= self.best_score:
            self.best_score, self.best, self.best_epoch = score, copy.deepcopy(self.mean.state_dict()), self.epoch
        self.epoch += 1

    def save(self, path: Path) -> None:
        """Write the run. Raises WeightsError when that cannot be done; then `path` is as it was."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in self.mean.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for place, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{place}.{name}": value for name, value in state.items()}
        counts = {"epoch": self.epoch, "best_epoch": self.best_epoch, "best_score": self.best_score}
        with whole(path) as part:
            save_file(
                {name: value.contiguous().clone() for name, value in tensors.items()},
                part,
                {"settings": self._settings, "counts": json.dumps(counts)},
            )

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote, if it is there.

        Raises:
            WeightsError: it is damaged, or of a run with other settings.
        """
        if not path.is_file():
            return
        try:
            with safe_open(path, "pt") as file:
                notes = file.metadata() or {}
            if notes["settings"] != self._settings:
                raise WeightsError(f"{path} is of a run with other settings: give these, another --out, or remove it")
            self._take(load_file(path), json.loads(notes["counts"]))
        except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{path} is damaged ({' '.join(str(error).split())[:120]}): remove it") from error

    def _take(self, tensors: Mapping[str, Tensor], counts: Mapping[str, Any]) -> None:
        self.network.load_state_dict(_under("network.", tensors))
        self.mean.load_state_dict(_under("mean.", tensors))
        self.best = _under("best.", tensors)
        whole_state = self.optimiser.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimiser.", tensors).items():
            place, key = name.split(".", 1)
            state.setdefault(int(place), {})[key] = value
        self.optimiser.load_state_dict({**whole_state, "state": state})
        self.epoch, self.best_epoch = int(counts["epoch"]), int(counts["best_epoch"])
        self.best_score = float(counts["best_score"])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
