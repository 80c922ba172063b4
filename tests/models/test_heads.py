"""Temperature and offsets are folded into the heads of every network, and into nothing else."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.blocks.heads import EmotionHead, apply_temperature, shift_logits
from erc_live.models.networks import NETWORKS

DIMS = (12, 8, 5)
SIZES: dict[str, dict[str, Any]] = {
    "dialogue_graph": {"width": 16},
    "multiemo": {"width": 16, "feedforward": 16, "hidden": 16},
    "vuemo": {"width": 16},
    "hgf_milag": {"genders": 2},
    "safsd_glnet": {"width": 16, "graph_width": 16},
}


def build(name: str, causal: bool) -> Any:
    torch.manual_seed(0)
    return NETWORKS[name].model(NETWORKS[name].config(7, *DIMS, causal=causal, **SIZES[name])).eval()


@torch.no_grad()
def logits(model: Any) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    vectors = [torch.randn(5, dim, generator=draw) for dim in DIMS]
    talk = UtteranceBatch(*vectors, torch.tensor([0, 1, 0, 1, 2]), torch.ones(5, 3, dtype=torch.bool))
    return model(DialogueBatch.pad([talk]))[0]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_temperature_divides_all_logits(name: str, causal: bool) -> None:
    model = build(name, causal)
    before = logits(model)
    apply_temperature(model, 2.5)
    torch.testing.assert_close(logits(model), before / 2.5)


@pytest.mark.parametrize("name", NETWORKS)
def test_offsets_shift_all_logits_and_shift_back(name: str) -> None:
    model, offsets = build(name, True), torch.linspace(-1.0, 1.0, 7)
    before = logits(model)
    shift_logits(model, offsets)
    share = sum(model.config.emotion_weights) if name == "hgf_milag" else 1.0  # it adds up weighted heads
    torch.testing.assert_close(logits(model), before + share * offsets)
    shift_logits(model, -offsets)
    torch.testing.assert_close(logits(model), before)


def test_nothing_but_the_heads_changes() -> None:
    model = build("hgf_milag", True)
    before = copy.deepcopy(model.state_dict())
    apply_temperature(model, 2.0)
    shift_logits(model, torch.ones(7))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"emotions.{level}.3.{kind}" for level in range(4) for kind in ("weight", "bias")}


def test_a_head_is_stored_as_any_sequence_of_layers() -> None:
    layers = nn.ReLU(), nn.Linear(3, 2)
    assert EmotionHead(*layers).state_dict().keys() == nn.Sequential(*layers).state_dict().keys()


def test_a_network_without_a_head_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="Linear has no EmotionHead"):
        apply_temperature(nn.Linear(3, 2), 2.0)
