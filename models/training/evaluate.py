"""Scores of a checkpoint, reached the way it is used live: through `step`, one utterance at a time, state carried."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from erc_live.models import checkpoint
from erc_live.models.batch import MODALITIES, DialogueBatch
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.training.corpora import LABELS, read_split
from erc_live.models.training.examples import Example, encoded, examples
from erc_live.models.training.metrics import Scores

TOLERANCE = 1e-4  # in logits; float32 rounding gives about 1e-6


def evaluate(
    corpus: Path,
    split: str,
    encoder: Path,
    weights: str = "default",
    hide: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Scores:
    """Score a checkpoint on one split of a corpus.

    Args:
        corpus: folder that `read_split` knows.
        split: "dev", "test", ...
        encoder: folder of the text encoder.
        weights: name or folder of the checkpoint.
        hide: modalities to leave out, names of `MODALITIES`.
        progress: called with the number of dialogues done and of all.

    Raises:
        CorpusError: the corpus cannot be read.
        WeightsError: checkpoint or encoder cannot be read, or they do not belong together.
    """
    loaded = checkpoint.load(weights)
    text = TextEncoder.load(encoder, loaded.adapter)
    loaded.check_encoder(text.fingerprint)
    data = examples(read_split(corpus, split))
    with TemporaryDirectory() as folder:
        data = [_without(example, hide) for example in encoded(data, text, Path(folder))]
    return Scores.of(*classify(loaded.model, data, progress), LABELS)


@torch.no_grad()
def classify(
    model: Any, data: Sequence[Example], progress: Callable[[int, int], None] = lambda _done, _total: None
) -> tuple[Tensor, Tensor]:
    """Logits and labels of all utterances, (N, C) and (N,): a causal model's by `step`, compared with `forward`; a
    two-sided model's by `forward` over the whole dialogue, as its paper has it.

    Raises:
        RuntimeError: step and forward differ, so the model is not causal or one of its forms is wrong.
    """
    logits = []
    for done, example in enumerate(data, start=1):
        whole = model.forward(DialogueBatch.pad([example.utterances]))[0]
        logits.append(_stepped(model, example, whole) if model.config.causal else whole)
        progress(done, len(data))
    return torch.cat(logits), torch.cat([example.labels for example in data])


def _stepped(model: Any, example: Example, whole: Tensor) -> Tensor:
    rows, state = [], model.initial_state()
    for t in range(len(example)):
        row, state = model.step(example.utterances.rows(slice(t, t + 1)), state)
        rows.append(row)
    stepped = torch.cat(rows)
    difference = (whole - stepped).abs().max().item()
    if difference > TOLERANCE:
        raise RuntimeError(f"step and forward differ by {difference:.1e}")
    return stepped


def _without(example: Example, hide: Sequence[str]) -> Example:
    shown = torch.tensor([name not in hide for name in MODALITIES])
    return replace(example, utterances=replace(example.utterances, present=example.utterances.present & shown))
