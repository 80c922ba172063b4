"""What DialogueGraph promises beyond the contract of every network: who spoke matters, the number of a speaker not; the
words have a way of their own to the answer; and what its two-sided twin is.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_world import answering
from torch import Tensor
from torch.nn import functional

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks.dialogue_graph import UNLABELLED, DialogueGraph, DialogueGraphConfig, objective


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


def stepped(model: DialogueGraph, utterances: UtteranceBatch) -> Tensor:
    state, logits = model.initial_state(), []
    for place in range(len(utterances)):
        with torch.no_grad():
            row, state = model.step(utterances.rows(slice(place, place + 1)), state)
        logits.append(row)
    return torch.cat(logits)


def regression(model: DialogueGraph, utterances: UtteranceBatch) -> Tensor:
    """A softmax regression on the normed text: what the words alone say."""
    last = model.head[-1]
    there = torch.where(utterances.present[:, :1], utterances.text, 0.0)
    words = functional.layer_norm(there, there.shape[1:])
    return (words @ last.weight[:, model.config.width :].T + last.bias).detach()


def without_graph(model: DialogueGraph) -> DialogueGraph:
    with torch.no_grad():
        model.head[-1].weight[:, : model.config.width] = 0.0
    return model


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), length=st.integers(1, 30), stir=st.booleans(), worded=st.sampled_from([0.0, 0.5, 1.0]))
def test_without_its_part_of_the_head_the_graph_is_a_regression_on_the_words(
    seed: int, length: int, stir: bool, worded: float
) -> None:
    """So a new network answers, and one that has learnt, if that part were 0."""
    torch.manual_seed(seed)
    model = DialogueGraph(DialogueGraphConfig(7, 12, 8, 5, width=16, layers=2, heads=2, window=4)).eval()
    if stir:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model = without_graph(model)
    spoken = talk(length)
    present = spoken.present.clone()
    present[:, 0] = torch.rand(length) < worded
    text = torch.where(present[:, :1], spoken.text, torch.nan)  # what is absent is never read
    spoken = replace(spoken, text=text, present=present)
    for logits in (forward(model, spoken), stepped(model, spoken)):
        torch.testing.assert_close(logits, regression(model, spoken), atol=1e-5, rtol=1e-5)
        assert torch.allclose(logits[~present[:, 0]], model.head[-1].bias)


def test_the_graph_improves_on_the_words(model: DialogueGraph) -> None:
    spoken = talk(9)
    assert not torch.allclose(forward(model, spoken), regression(model, spoken), atol=1e-2)


def test_words_may_be_unknown_to_it() -> None:
    torch.manual_seed(0)
    model = DialogueGraph(DialogueGraphConfig(7, 0, 8, 5, width=16, layers=2, heads=2, window=4)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    spoken = talk(6)
    spoken = replace(spoken, text=torch.zeros(6, 0), present=torch.tensor([[False, True, True]] * 6))
    logits = forward(model, spoken)
    torch.testing.assert_close(logits, stepped(model, spoken), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


def test_while_it_learns_words_are_now_and_then_answered_without_the_graph(model: DialogueGraph) -> None:
    config = replace(model.config, dropout=0.0, text_alone=0.5)
    learning = DialogueGraph(config)
    learning.load_state_dict(model.state_dict())
    spoken = talk(200)
    spoken.present[100:, 0] = False
    whole, alone = forward(learning.eval(), spoken), regression(learning, spoken)
    found = forward(learning.train(), spoken)
    assert torch.allclose(found[100:], whole[100:], atol=1e-5)  # what has no words needs the graph
    as_words = torch.isclose(found[:100], alone[:100], atol=1e-5).all(1)
    as_whole = torch.isclose(found[:100], whole[:100], atol=1e-5).all(1)
    assert (as_words ^ as_whole).all()
    assert 30 < as_words.sum() < 70


def twin(seed: int = 0) -> DialogueGraph:
    torch.manual_seed(seed)
    model = DialogueGraph(DialogueGraphConfig(7, 12, 8, 5, width=16, layers=1, heads=2, window=4, causal=False))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def test_the_twin_hears_as_many_later_utterances_as_earlier_ones() -> None:
    model, spoken, other = twin(), talk(20), talk(20)
    for changed in range(20):
        text = spoken.text.clone()
        text[changed] = other.text[changed]
        moved = (forward(model, spoken) != forward(model, replace(spoken, text=text))).any(1).nonzero().flatten()
        assert moved.tolist() == list(range(max(0, changed - 4), min(20, changed + 5)))


def test_the_twin_tells_later_from_earlier() -> None:
    model, spoken = twin(), talk(3)
    backwards = spoken.rows(torch.tensor([2, 1, 0]))
    assert not torch.allclose(forward(model, spoken)[1], forward(model, backwards)[1], atol=1e-3)


def test_the_twin_steps_only_by_replay() -> None:
    with pytest.raises(ValueError, match="wrap it in Replay"):
        twin().initial_state()


def test_the_shipped_objective_spreads_a_twentieth_of_the_probability_over_all_labels() -> None:
    torch.manual_seed(0)
    model = DialogueGraph(DialogueGraphConfig(7, 12, 8, 5, width=16)).eval()
    batch, labels = DialogueBatch.pad([talk(3), talk(2)]), torch.tensor([[3, UNLABELLED, 0], [6, 1, UNLABELLED]])
    log_p = model(batch).log_softmax(-1)
    losses = [
        -sum((0.05 / 7 + (0.95 if c == y else 0.0)) * log_p[b, t, c] for c in range(7))
        for b, t, y in ((0, 0, 3), (0, 2, 0), (1, 0, 6), (1, 1, 1))
    ]
    torch.testing.assert_close(objective(model, batch, labels), torch.stack(losses).mean())


DROPS = ("fusion", "attention", "layer", "head")  # where the shipped network drops


@pytest.mark.parametrize("place", DROPS)
def test_the_shipped_network_drops_three_tenths_at_each_of_four_places(place: str) -> None:
    model = answering(DialogueGraphConfig(7, 12, 8, 5, width=16, layers=1, text_alone=0.0)).train()
    layer = model.layers[0]
    rates = {
        "fusion": [(part, "p") for part in model.fusion.modules() if isinstance(part, torch.nn.Dropout)],
        "attention": [(layer.attend, "dropout")],
        "layer": [(layer, "dropout")],
        "head": [(part, "p") for part in model.head if isinstance(part, torch.nn.Dropout)],
    }
    assert {getattr(*one) for one in rates[place]} == {0.3}
    for other in DROPS:
        for part, name in rates[other] if other != place else []:
            setattr(part, name, 0.0)
    spoken = talk(20)
    assert not torch.equal(forward(model, spoken), forward(model, spoken))
    for part, name in rates[place]:
        setattr(part, name, 0.0)
    assert torch.equal(forward(model, spoken), forward(model, spoken))


def test_without_a_window_each_utterance_is_alone() -> None:
    torch.manual_seed(0)
    model = answering(DialogueGraphConfig(7, 12, 8, 5, width=16, layers=2, heads=2, window=0)).eval()
    spoken = talk(5)
    together = forward(model, spoken)
    state = model.initial_state()
    for t in range(5):
        one = spoken.rows(slice(t, t + 1))
        with torch.no_grad():
            logits, state = model.step(one, state)
        torch.testing.assert_close(together[t : t + 1], forward(model, one), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[t : t + 1], logits, atol=1e-5, rtol=1e-5)
