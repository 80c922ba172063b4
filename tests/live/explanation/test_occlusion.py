"""What moved an estimate: the fast way equals brute force, and nothing later counts."""

import math
from functools import cache

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.explanation.occlusion import LIMIT, explain, explain_each
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models.card import Card
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.errors import WeightsError
from erc_live.models.networks import NETWORKS
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import Recogniser, UtteranceFeatures

WIDTHS = {"text": 6, "audio": 5, "visual": 4}
ENCODERS = {name: f"{name}-encoder" for name in WIDTHS}
SAME = 1e-5  # float32, computed in batches of other sizes
LABELS = ("neutral", "joy", "anger")
SIZES = {
    "dialogue_graph": {"width": 16, "heads": 2, "window": 3},
    "multiemo": {"width": 16, "heads": 2, "window": 3, "hidden": 8, "feedforward": 16, "causal": True},
    "safsd_glnet": {"width": 16, "graph_width": 16, "heads": 2, "num_K": 1, "window": 3, "speakers": 4, "causal": True},
    "vuemo": {"causal": False, "window": 3, "width": 16, "num_K": 2, "num_L": 2, "speakers": 4},
}


@cache
def weights(network):
    torch.manual_seed(1)
    dims = {f"{name}_dim": width for name, width in WIDTHS.items()}
    built = NETWORKS[network]
    model = built.model(built.config(classes=len(LABELS), **dims, **SIZES[network])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))  # so that the past matters
    return Checkpoint(model, Card(network, {}, LABELS, ENCODERS, {}, {}), None, "weights")


def utterance(number, source, modalities, confidence):
    random = np.random.default_rng(number)
    vectors = {name: random.standard_normal(WIDTHS[name]).astype(np.float32) for name in modalities}
    return UtteranceFeatures(
        dialogue="d", utterance=f"u{number}", source=source, speaker_name=None, text=f"words {number}",
        engine=Recogniser(name="fake"), face_coverage=None, final=True, revision=0, words=(),
        text_confidence=confidence, skipped=False, t_start_ns=number, t_end_ns=number + 1, t_closed_ns=number + 2,
        closed_by="silence", t_text_ns=number + 3, t_features_ns=number + 4, vectors=vectors, encoders=ENCODERS,
    )  # fmt: skip


kinds = st.tuples(
    st.sampled_from(["mic-0", "mic-1", "mic-2"]),
    st.sets(st.sampled_from([*WIDTHS])),
    st.none() | st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
)
dialogues = st.lists(kinds, min_size=1, max_size=12).map(
    lambda drawn: [utterance(number, *kind) for number, kind in enumerate(drawn)]
)


def estimate(dialogue, checkpoint):
    """The last event of a tracker that observes the dialogue from its beginning."""
    tracker = Tracker(checkpoint, SessionStart("s", 0, 0), ManualClock(0))
    return [tracker.observe(features) for features in dialogue][-1].probs


def without(features, *modalities):
    left = {name: vector for name, vector in features.vectors.items() if name not in modalities}
    return msgspec.structs.replace(features, vectors=left)


@pytest.mark.parametrize("network", SIZES)
@settings(max_examples=5)
@given(dialogue=dialogues)
def test_it_equals_computing_the_dialogue_anew_without_it(network, dialogue):
    checkpoint = weights(network)
    found = explain(dialogue, len(dialogue) - 1, checkpoint)
    probs = estimate(dialogue, checkpoint)
    assert probs[found.label] >= max(probs.values()) - SAME
    assert math.isclose(found.probability, probs[found.label], abs_tol=SAME)
    for influence in found.influences:
        at = influence.index
        last = at == len(dialogue) - 1
        assert influence.itself == last
        others = [without(dialogue[at], *WIDTHS)] if last else []
        pasts = {None: [*dialogue[:at], *others, *dialogue[at + 1 :]]}
        pasts |= {m: [*dialogue[:at], without(dialogue[at], m), *dialogue[at + 1 :]] for m in dialogue[at].vectors}
        assert set(influence.modalities) == set(dialogue[at].vectors)
        for modality, past in pasts.items():
            effect = influence.whole if modality is None else influence.modalities[modality]
            expected = estimate(past, checkpoint)[found.label]
            assert abs(found.probability * math.exp(-effect) - expected) <= SAME


@settings(max_examples=20)
@given(dialogue=dialogues, later=dialogues)
def test_nothing_that_comes_later_counts(dialogue, later):
    place = len(dialogue) - 1
    assert explain([*dialogue, *later], place, weights("dialogue_graph")) == explain(
        dialogue, place, weights("dialogue_graph")
    )


@settings(max_examples=10)
@given(dialogue=dialogues)
def test_one_pass_says_of_each_utterance_what_it_says_of_it_alone(dialogue):
    checkpoint = weights("dialogue_graph")
    wanted = dict.fromkeys(range(0, len(dialogue), 2))
    for together, place in zip(explain_each(dialogue, wanted, checkpoint), wanted, strict=True):
        alone = explain(dialogue, place, checkpoint)
        assert (together.label, together.index) == (alone.label, place)
        for one, other in zip(together.influences, alone.influences, strict=True):
            assert (one.utterance, one.whole) == (other.utterance, pytest.approx(other.whole, abs=1e-5))
            assert one.modalities == pytest.approx(other.modalities, abs=1e-5)


def test_what_lies_beyond_the_reach_of_the_network_moves_nothing_and_is_not_listed():
    dialogue = [utterance(number, "mic-0", {*WIDTHS}, None) for number in range(12)]
    checkpoint = weights("dialogue_graph")  # two layers that look back three utterances
    found = explain(dialogue, 11, checkpoint)
    assert [influence.index for influence in found.influences] == [5, 6, 7, 8, 9, 10, 11]
    assert not found.bounded
    assert estimate(dialogue, checkpoint) == pytest.approx(estimate(dialogue[1:], checkpoint), abs=1e-9)


def test_of_a_network_that_forgets_nothing_the_last_ones_are_examined():
    dialogue = [utterance(number, "mic-0", {"text"}, None) for number in range(LIMIT + 5)]
    found = explain(dialogue, LIMIT + 4, weights("multiemo"))
    assert len(found.influences) == LIMIT + 1
    assert found.bounded
    assert not any(influence.attention for influence in found.influences)


@settings(max_examples=20)
@given(dialogue=dialogues)
def test_attention_is_a_share_of_what_the_network_looks_at(dialogue):
    found = explain(dialogue, len(dialogue) - 1, weights("dialogue_graph"))
    seen = [influence.attention for influence in found.influences if influence.attention]
    assert len(seen) == min(4, len(dialogue))  # the window and itself
    assert np.sum(seen, axis=0) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_vectors_of_another_encoder_are_refused():
    stranger = msgspec.structs.replace(utterance(0, "mic-0", {"text"}, None), encoders={"text": "another"})
    with pytest.raises(WeightsError, match="another"):
        explain([stranger], 0, weights("dialogue_graph"))
