"""Answers of a model, reached the way it is used live: through `step`, one utterance at a time, state carried.

Dialogues of similar length go side by side, each in a row of the state: a step costs much the same for one dialogue and
for thirty, and what stands in other rows changes no answer.

What a network may know is part of a score. A causal one knows nothing of what follows, whoever asks. A two-sided one is
asked how much of the future it is given: with a look-ahead of k utterances it hears the dialogue up to the k-th after
the one in question, and is asked anew for each; so the curve over k says what waiting would be worth.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from erc_live.models.batch import DialogueBatch, UtteranceBatch, pack
from erc_live.models.blocks.heads import answer_width, parted
from erc_live.models.state import rows
from erc_live.models.training.dialogue_dataset import Example, Progress
from erc_live.models.training.metrics import Answers

TOLERANCE = 1e-4  # in logits and dimensions; float32 rounding gives about 1e-6
PREFIXES = 32  # that are computed side by side
SIDE_BY_SIDE = 1024  # utterances of dialogues that are answered together, padding included


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
    answers: dict[int, Tensor] = {}
    for places in side_by_side([len(example) for example in data]):
        group = [data[place] for place in places]
        answers.update(zip(places, _answers(model, group, ahead), strict=True))
        progress(len(answers), len(data))
    logits, dimensions = parted(torch.cat([answers[place] for place in range(len(data))]), model.config)
    return Answers(
        logits,
        torch.cat([example.labels for example in data]),
        torch.cat([example.utterances.speakers for example in data]),
        tuple(len(example) for example in data),
        dimensions,
    )


def side_by_side(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Which dialogues of these lengths go together: the places of each group, the longest dialogue first."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if group and (len(group) + 1) * lengths[group[0]] > SIDE_BY_SIDE:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def stepped(model: Any, batch: DialogueBatch) -> Tensor:
    """Answers of a causal model (or of one in `Replay`), utterance by utterance, of dialogues whose longest come first.

    Shapes: -> (B, T, A), zeros behind the end of a dialogue
    """
    dialogues, longest = batch.speakers.shape
    answers = batch.text.new_zeros(dialogues, longest, answer_width(model.config))
    state = model.initial_state(dialogues)
    columns = {name: values for name, values in vars(batch).items() if name != "lengths"}
    for t in range(longest):
        speaking = slice(int((batch.lengths > t).sum()))
        said = UtteranceBatch(**{name: values[speaking, t] for name, values in columns.items()})
        answers[speaking, t], state = model.step(said, rows(state, speaking))
    return answers


def _answers(model: Any, group: Sequence[Example], ahead: int | None) -> Sequence[Tensor]:
    """The answers of each dialogue (T, A)."""
    if ahead is not None and not model.config.causal:
        return [_prefixes(model, example, ahead) for example in group]
    batch, lengths = DialogueBatch.pad([example.utterances for example in group]), [len(example) for example in group]
    whole = torch.split(pack(model.forward(batch), batch.lengths), lengths)
    if not model.config.causal:
        return whole
    answers = torch.split(pack(stepped(model, batch), batch.lengths), lengths)
    for example, one, other in zip(group, whole, answers, strict=True):
        difference = (one - other).abs().max().item()
        if not difference <= TOLERANCE:  # NaN is a difference, too
            raise RuntimeError(f"step and forward differ by {difference:.1e} in dialogue {example.name}")
    return answers


def _prefixes(model: Any, example: Example, ahead: int) -> Tensor:
    """Row t of `forward` over the utterances up to t + `ahead`, for each t."""
    found = []
    for times in _batched(range(len(example)), PREFIXES):
        prefixes = [example.utterances.rows(slice(t + ahead + 1)) for t in times]
        answers = model.forward(DialogueBatch.pad(prefixes))
        found.append(answers[torch.arange(len(times)), torch.tensor(list(times))])
    return torch.cat(found)


def _batched(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
