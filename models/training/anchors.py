"""A label set of one's own from example sentences (anchors): read, made into a network, and measured.

    calm<TAB>Take your time, there is no hurry.
    tense<TAB>I told you, not now!

A file has such lines; empty ones and those that begin with "#" are passed over.
The rule of this file: nothing is claimed of a label set that was not measured on it. Temperature and threshold are
chosen on the anchors, each compared with the prototypes of the others; talk is less clear than examples are, so both
are too trusting, and the card says that they come from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from erc_live.models.blocks.heads import apply_temperature
from erc_live.models.card import Card
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.turns import turns
from erc_live.models.errors import CorpusError
from erc_live.models.networks import PROTOTYPES
from erc_live.models.networks.prototypes import SHARPNESS, Prototypes
from erc_live.models.training.calibration import temperature
from erc_live.models.training.confidences import certain_from

Anchors = Mapping[str, Sequence[str]]  # label -> sentences
NEVER = 1.0  # the threshold of labels of which one has a single anchor: nothing was left to choose it on


def read_anchors(path: Path) -> dict[str, list[str]]:
    """The sentences of each label, in the order in which the labels appear.

    Raises:
        CorpusError: the file cannot be read, a line is of another form, or there are fewer than two labels.
    """
    found: dict[str, list[str]] = {}
    for number, line in _lines(path):
        label, _, sentence = (part.strip() for part in line.partition("\t"))
        if not (label and sentence) or "\t" in sentence:
            raise CorpusError(
                f"{path}: line {number}: write a label, one tab and a sentence, not {line.strip()[:60]!r}"
            )
        found.setdefault(label, []).append(sentence)
    if len(found) < 2:
        raise CorpusError(
            f"{path}: {len(found)} labels: give sentences of at least two, a line each: label, tab, words"
        )
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise CorpusError(f"{path} cannot be read ({reason}): give a text file of labels and sentences") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def made_of_anchors(vectors: Tensor, labels: Tensor) -> tuple[Prototypes, float]:
    """A network of prototypes with its temperature, and from which confidence on an answer is certain.

    Shapes: vectors (N, D), labels (N,) int64, each of 0..classes-1 at least once
    """
    sums, counts = _sums(vectors, labels)
    model = Prototypes.of(sums / counts[:, None])
    if (counts < 2).any():
        return model, NEVER
    logits = left_out(vectors, labels)
    divisor = temperature(logits, labels)
    apply_temperature(model, divisor)
    return model, certain_from((logits / divisor).softmax(-1), labels)


def left_out(vectors: Tensor, labels: Tensor) -> Tensor:
    """What the prototypes of all other anchors say of each. Shapes: as `made_of_anchors`, two or more of each label ->
    (N, classes)
    """
    sums, counts = _sums(vectors, labels)
    own = functional.one_hot(labels, len(counts)).to(vectors.dtype)
    means = (sums - own[..., None] * vectors[:, None]) / (counts - own)[..., None]  # (N, classes, D)
    centre = means.mean(1, keepdim=True)
    return SHARPNESS * functional.cosine_similarity(vectors[:, None] - centre, means - centre, dim=-1)


def network_of(anchors: Anchors, encoder: TextEncoder, command: str) -> tuple[Prototypes, Card]:
    """The network of a label set and its card, which says what it was made of."""
    alone = [turns(["somebody"], [sentence]) for sentences in anchors.values() for sentence in sentences]
    vectors = torch.cat(encoder.encode(alone))
    counts = {label: len(sentences) for label, sentences in anchors.items()}
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(list(counts.values())))
    model, threshold = made_of_anchors(vectors, labels)
    card = Card(
        network=PROTOTYPES,
        config=asdict(model.config),
        labels=tuple(anchors),
        encoders={"text": encoder.fingerprint},
        scores={},
        training={"made_of": "anchors, nothing was trained or measured", "anchors": counts, "command": command},
        abstain_below=threshold,
    )
    return model, card


def drawn(labels: Tensor, each: int, seed: int) -> Tensor:
    """The places of `each` anchors of every label, or of all that there are. Shapes: labels (N,) int64 -> (n,) int64"""
    generator = Generator().manual_seed(seed)
    parts = []
    for label in sorted(set(labels[labels >= 0].tolist())):
        own = torch.nonzero(labels == label)[:, 0]
        parts.append(own[torch.randperm(len(own), generator=generator)[:each]])
    return torch.cat(parts)


def _sums(vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Shapes: -> (classes, D), (classes,)"""
    one_hot = functional.one_hot(labels).to(vectors.dtype)
    return one_hot.T @ vectors, one_hot.sum(0)
