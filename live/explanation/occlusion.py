"""Occlusion: leave out each past utterance, and each modality of each, and see what becomes of the probability.

    influence = log p(label | all) - log p(label | all but this)

Every counterfactual past is a state of the network, and the states are rows of one batch. They part from the dialogue
as it was at the utterance that they leave out, go on together, and are let go where they cannot count any more. So one
pass explains every utterance of a dialogue. The tests compare it with brute force. After Zeiler and Fergus (2014,
"Visualizing and understanding convolutional networks"), and Li, Monroe and Jurafsky (2016, "Understanding neural
networks through representation erasure").
The rule of this file: it reads the dialogue up to the explained utterance and not an utterance further.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from erc_live.live.explanation.influence import Explanation, Influence
from erc_live.live.tracking.classification import Classifier, masked
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.ensemble import members_of
from erc_live.models.state import join, rows
from erc_live.streams.messages import Modality, UtteranceFeatures

LIMIT = 40  # past utterances that are left out, one after the other; the shipped network looks back 20
_TINY = 1e-12  # probabilities below it count as it, so that no logarithm is infinite

_Effects = dict[Modality | None, float]  # of an utterance: all of it (None), and each modality


@dataclass(frozen=True)
class _Observed:
    """An utterance as the classifier takes it, and its place in the dialogue."""

    place: int
    features: UtteranceFeatures
    speaker: int


@dataclass(frozen=True)
class _Counterfactuals:
    """The dialogue so far. Row 0 of `states`: as it was; each other row: without what `keys` says, one modality, or all
    (None), of the utterance at a place.
    """

    states: Any
    keys: tuple[tuple[int, Modality | None], ...] = ()

    def since(self, place: int) -> "_Counterfactuals":
        """Without the rows of utterances before a place."""
        if not self.keys or self.keys[0][0] >= place:
            return self
        left = [row for row, (at, _) in enumerate(self.keys, start=1) if at >= place]
        return _Counterfactuals(rows(self.states, torch.tensor([0, *left])), tuple(self.keys[row - 1] for row in left))


def explain(
    dialogue: Sequence[UtteranceFeatures], place: int, checkpoint: Checkpoint, recorded: float | None = None
) -> Explanation:
    """What moved the estimate of `dialogue[place]`.

    Args:
        dialogue: its utterances in the order in which they were observed.
        place: which of them is explained.
        checkpoint: the weights that labelled them. The network is taken to the CPU.
        recorded: what the session gave its label, to be compared.

    Raises:
        WeightsError: other encoders made the vectors than these weights were trained on.
    """
    (explanation,) = explain_each(dialogue, {place: recorded}, checkpoint)
    return explanation


def explain_each(
    dialogue: Sequence[UtteranceFeatures], wanted: Mapping[int, float | None], checkpoint: Checkpoint
) -> Iterator[Explanation]:
    """The same of several utterances in one pass: `wanted` is, by place, what the session gave the label."""
    classifier = Classifier(checkpoint)
    reach = getattr(classifier.model, "receptive_field", None)
    looked = min(LIMIT, LIMIT if reach is None else reach)
    bounded = reach is None or reach > LIMIT
    past = _Counterfactuals(classifier.model.initial_state(1))
    known: list[_Observed] = []
    for utterance in _utterances(dialogue[: max(wanted, default=-1) + 1], checkpoint, classifier):
        known.append(utterance)
        place = utterance.place
        forks = any(place < later <= place + looked for later in wanted)
        with torch.inference_mode():
            past = past.since(place - looked)
            probs, after = _passed(classifier, utterance, past, forks)
            if place in wanted:
                effects = _effects(classifier, utterance, past, probs)
                attention = _attention(classifier, utterance, past)
        if place in wanted:
            influences = [
                _influence(each, effects[each.place], attention.get(place - each.place, ()), each is utterance)
                for each in known[-looked - 1 :]
            ]
            yield _explanation(classifier, checkpoint, influences, probs[0], wanted[place], bounded and place > looked)
        past = after


def _utterances(
    dialogue: Sequence[UtteranceFeatures], checkpoint: Checkpoint, classifier: Classifier
) -> Iterator[_Observed]:
    """Speakers are numbered and vectors chosen as the tracker does it. Raises WeightsError."""
    voices: dict[str, int] = {}
    for place, features in enumerate(dialogue):
        checkpoint.check_encoders(features.encoders)
        voice = features.speaker_name or features.voice or features.source
        yield _Observed(place, classifier.usable(features), voices.setdefault(voice, len(voices)))


def _passed(
    classifier: Classifier, utterance: _Observed, past: _Counterfactuals, forks: bool
) -> tuple[Tensor, _Counterfactuals]:
    """The probabilities after each past, and the pasts of the next utterance; with those without this one if `forks`.

    Shapes: -> (rows, labels)
    """
    probs, after = classifier(utterance.features, utterance.speaker, past.states)
    if not forks:
        return probs, _Counterfactuals(after, past.keys)
    here, modalities = rows(past.states, slice(0, 1)), tuple(utterance.features.vectors)
    others = [classifier(masked(utterance.features, name), utterance.speaker, here)[1] for name in modalities]
    keys = tuple((utterance.place, name) for name in (None, *modalities))
    return probs, _Counterfactuals(join([after, here, *others]), (*past.keys, *keys))


def _effects(
    classifier: Classifier, utterance: _Observed, past: _Counterfactuals, probs: Tensor
) -> dict[int, _Effects]:
    """By place, what each utterance did to the most probable label of this one. Shapes: probs (rows, labels)"""
    label = int(probs[0].argmax())
    effects: dict[int, _Effects] = {}
    for (place, modality), effect in zip(past.keys, _moved(probs[:, label]), strict=True):
        effects.setdefault(place, {})[modality] = effect
    here, modalities = rows(past.states, slice(0, 1)), tuple(utterance.features.vectors)
    without: list[Collection[Modality]] = [modalities, *((name,) for name in modalities)]
    own = [classifier(masked(utterance.features, *names), utterance.speaker, here)[0][0, label] for names in without]
    moved = _moved(torch.stack([probs[0, label], *own]))
    effects[utterance.place] = dict(zip((None, *modalities), moved, strict=True))
    return effects


def _moved(probabilities: Tensor) -> list[float]:
    """By how much each but the first differs from it, in nats. Shapes: (n,) -> n - 1 numbers"""
    logs = probabilities.clamp(min=_TINY).log()
    differences: list[float] = (logs[0] - logs[1:]).tolist()
    return differences


def _attention(classifier: Classifier, utterance: _Observed, past: _Counterfactuals) -> dict[int, tuple[float, ...]]:
    """How many utterances ago -> the share of attention in each layer, the mean of its heads; {} without attention."""
    if not hasattr(members_of(classifier.model)[0], "attention"):
        return {}
    here = rows(past.states, slice(0, 1))
    batch = classifier.batch(utterance.features, utterance.speaker, here)
    shares: Tensor = (
        classifier.model.attention(batch, here)[0].mean(1).flip(-1)
    )  # (layers, window + 1), the newest first
    return dict(enumerate(zip(*shares.tolist(), strict=True)))


def _influence(utterance: _Observed, effects: _Effects, attention: tuple[float, ...], itself: bool) -> Influence:
    features = utterance.features
    return Influence(
        utterance=features.utterance,
        index=utterance.place,
        speaker_name=features.speaker_name or f"Speaker {utterance.speaker + 1}",
        text=features.text,
        itself=itself,
        whole=effects[None],
        modalities={modality: effect for modality, effect in effects.items() if modality is not None},
        attention=attention,
    )


def _explanation(
    classifier: Classifier,
    checkpoint: Checkpoint,
    influences: Sequence[Influence],
    probs: Tensor,
    recorded: float | None,
    bounded: bool,
) -> Explanation:
    last, label = influences[-1], int(probs.argmax())
    return Explanation(
        utterance=last.utterance,
        index=last.index,
        speaker_name=last.speaker_name,
        text=last.text,
        label=classifier.labels[label],
        probability=float(probs[label]),
        recorded=recorded,
        model=checkpoint.fingerprint,
        influences=tuple(influences),
        bounded=bounded,
    )
