"""Several networks answer together as their mean, and everything that knows one network takes them as one.

That step and forward agree, that nothing reads the future and that rows do not mix is asked in `tests/contracts`.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from erc_live.models import checkpoint
from erc_live.models.batch import DialogueBatch
from erc_live.models.blocks.heads import apply_temperature
from erc_live.models.card import Card
from erc_live.models.ensemble import Ensemble, members_of
from erc_live.models.errors import WeightsError
from erc_live.models.networks import steppable
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig

SMALL = DialogueGraphConfig(classes=2, text_dim=4, audio_dim=0, width=8, heads=2, window=3)
LABELS = ("calm", "not calm")


def network(seed: int, config: DialogueGraphConfig = SMALL) -> DialogueGraph:
    torch.manual_seed(seed)
    model = DialogueGraph(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model.eval()


def dialogue() -> DialogueBatch:
    return DialogueBatch(
        text=torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0)),
        audio=torch.zeros(1, 6, 0),
        visual=torch.zeros(1, 6, 0),
        speakers=torch.tensor([[0, 1, 0, 1, 1, 0]]),
        present=torch.tensor([[[True, False, False]] * 6]),
        lengths=torch.tensor([6]),
    )


def saved(folder: Path, members: int) -> Path:
    card = Card("dialogue_graph", vars(SMALL), LABELS, {"text": "abc"}, {}, {}, members=members)
    checkpoint.save(folder, Ensemble([network(0), network(1)]), card)
    return folder


def test_the_answer_is_the_mean_of_the_members() -> None:
    members = [network(seed) for seed in range(3)]
    expected = sum(member(dialogue()) for member in members) / 3
    torch.testing.assert_close(Ensemble(members)(dialogue()), expected)


def test_a_temperature_of_all_members_is_one_of_the_whole() -> None:
    together = Ensemble([network(0), network(1)])
    before = together(dialogue())
    apply_temperature(together, 1.7)
    torch.testing.assert_close(together(dialogue()), before / 1.7)


def test_members_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of the same sizes"):
        Ensemble([network(0), network(0, replace(SMALL, window=4))])


def test_two_sided_members_answer_over_a_window() -> None:
    twins = [network(seed, replace(SMALL, causal=False)) for seed in range(2)]
    model = steppable(Ensemble(twins))
    alone = [steppable(twin)(dialogue()) for twin in twins]
    torch.testing.assert_close(model(dialogue()), (alone[0] + alone[1]) / 2)


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    loaded = checkpoint.load(str(saved(tmp_path, 2)))
    torch.testing.assert_close(loaded.model(dialogue()), Ensemble([network(0), network(1)])(dialogue()))
    assert [type(member) for member in members_of(loaded.model)] == [DialogueGraph, DialogueGraph]
    assert members_of(network(0))[0].config == SMALL


@pytest.mark.parametrize("members", [1, 3, 0, True, "2"])
def test_a_card_of_another_number_of_members_is_refused(tmp_path: Path, members: int) -> None:
    with pytest.raises(WeightsError):
        checkpoint.load(str(saved(tmp_path, members)))
