"""The multinomial logistic regression in which all classes weigh alike, however rare they are.

It has one best answer, found by all examples at once (L-BFGS), so there is nothing to stop early and nothing by chance.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 150  # of L-BFGS, at most


def logistic_regression(inputs: Tensor, labels: Tensor, classes: int, pull: float) -> tuple[Tensor, Tensor]:
    """Weights and biases. `pull` is by what the sum of the squared weights counts beside the mean loss.

    Shapes: inputs (n, D), labels (n,) int64 from 0 -> (classes, D), (classes,)
    """
    weight = torch.zeros(classes, inputs.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    counts = torch.bincount(labels, minlength=classes).float()
    balance = torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)
    search = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = F.cross_entropy(F.linear(inputs, weight, bias), labels, balance) + pull * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
