"""What DialogueGraph promises beyond the contract of every network: who spoke matters, the number of a speaker not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig


@pytest.fixture(scope="module")
def model() -> DialogueGraph:
    torch.manual_seed(0)
    model = DialogueGraph(DialogueGraphConfig(7, 12, 8, 5, width=16, layers=3, heads=2, window=4))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def talk(length: int) -> UtteranceBatch:
    vectors = [torch.randn(length, dim) for dim in (12, 8, 5)]
    return UtteranceBatch(*vectors, torch.randint(3, (length,)), torch.ones(length, 3, dtype=torch.bool))


def forward(model: DialogueGraph, utterances: UtteranceBatch) -> Tensor:
    with torch.no_grad():
        return model(DialogueBatch.pad([utterances]))[0]


def test_who_spoke_is_heard(model: DialogueGraph) -> None:
    spoken = talk(6)
    by_others = forward(model, replace(spoken, speakers=torch.arange(6)))
    by_one = forward(model, replace(spoken, speakers=torch.zeros(6, dtype=torch.int64)))
    assert not torch.allclose(by_one[1:], by_others[1:], atol=1e-3)


def test_which_number_a_speaker_has_does_not_matter(model: DialogueGraph) -> None:
    spoken = talk(30)
    renamed = replace(spoken, speakers=100 - spoken.speakers)
    assert torch.equal(forward(model, spoken), forward(model, renamed))
