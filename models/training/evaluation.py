"""Answers of a model, reached the way it is used live: through `step`, one utterance at a time, state carried.

What a network may know is part of a score. A causal one knows nothing of what follows, whoever asks. A two-sided one is
asked how much of the future it is given: with a look-ahead of k utterances it hears the dialogue up to the k-th after
the one in question, and is asked anew for each; so the curve over k says what waiting would be worth.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from erc_live.models.batch import DialogueBatch
from erc_live.models.training.dialogue_dataset import Example, Progress
from erc_live.models.training.metrics import Answers

TOLERANCE = 1e-4  # in logits; float32 rounding gives about 1e-6
PREFIXES = 32  # that are computed side by side


@torch.no_grad()
def classify(
    model: Any,
    data: Sequence[Example],
    progress: Progress = lambda _done, _total: None,
    ahead: int | None = None,
) -> Answers:
    """What a model says of all utterances.

    A causal model answers by `step`, and `forward` must agree. A two-sided one answers by `forward`.

    Args:
        model: of `NETWORKS`, in evaluation.
        data: dialogues with their vectors.
        progress: called with the number of dialogues done and of all.
        ahead: how many utterances after each a two-sided model hears; None: the whole dialogue, as its paper has it.

    Raises:
        RuntimeError: step and forward differ, so the model is not causal or one of its forms is wrong.
        ValueError: a causal model is to look ahead.
    """
    if model.config.causal and ahead:
        raise ValueError(f"a causal model cannot hear {ahead} utterances ahead")
    logits = []
    for done, example in enumerate(data, start=1):
        logits.append(_answer(model, example, ahead))
        progress(done, len(data))
    return Answers(
        torch.cat(logits),
        torch.cat([example.labels for example in data]),
        torch.cat([example.utterances.speakers for example in data]),
        tuple(len(example) for example in data),
    )


def stepped(model: Any, example: Example) -> Tensor:
    """Logits of a causal model (or of one in `Replay`), utterance by utterance. Shapes: -> (T, C)"""
    rows, state = [], model.initial_state()
    for t in range(len(example)):
        row, state = model.step(example.utterances.rows(slice(t, t + 1)), state)
        rows.append(row)
    return torch.cat(rows)


def _answer(model: Any, example: Example, ahead: int | None) -> Tensor:
    if ahead is not None and not model.config.causal:
        return _prefixes(model, example, ahead)
    whole: Tensor = model.forward(DialogueBatch.pad([example.utterances]))[0]
    if not model.config.causal:
        return whole
    answers = stepped(model, example)
    difference = (whole - answers).abs().max().item()
    if not difference <= TOLERANCE:  # NaN is a difference, too
        raise RuntimeError(f"step and forward differ by {difference:.1e} in dialogue {example.name}")
    return answers


def _prefixes(model: Any, example: Example, ahead: int) -> Tensor:
    """Row t of `forward` over the utterances up to t + `ahead`, for each t."""
    rows = []
    for times in _batched(range(len(example)), PREFIXES):
        prefixes = [example.utterances.rows(slice(t + ahead + 1)) for t in times]
        answers = model.forward(DialogueBatch.pad(prefixes))
        rows.append(answers[torch.arange(len(times)), torch.tensor(list(times))])
    return torch.cat(rows)


def _batched(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
