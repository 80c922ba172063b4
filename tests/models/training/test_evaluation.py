"""What a model may know when it is asked: a causal one nothing of the future, a two-sided one as much as is said."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig
from erc_live.models.training import evaluation
from erc_live.models.training.dialogue_dataset import Example, modalities_of, only
from erc_live.models.training.evaluation import classify, side_by_side

DIMS = (6, 8, 0)
SIZES = DialogueGraphConfig(3, *DIMS, width=8, layers=1, heads=2, window=2)


def build(config: DialogueGraphConfig) -> DialogueGraph:
    torch.manual_seed(0)
    model = DialogueGraph(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


CAUSAL, TWO_SIDED = build(SIZES), build(replace(SIZES, causal=False))


def talk(length: int, seed: int) -> Example:
    draw = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(length, dim, generator=draw) for dim in DIMS]
    present = torch.tensor([[True, True, False]]).repeat(length, 1)
    utterances = UtteranceBatch(*vectors, torch.arange(length) % 2, present)
    labels = torch.randint(3, (length,), generator=draw)
    labels[1::3] = -100
    return Example(f"talk {seed}", ("words",) * length, utterances, labels)


DATA = [talk(4, 0), talk(1, 1), talk(40, 2)]


def test_a_causal_model_answers_step_by_step_for_every_utterance_in_order() -> None:
    seen: list[tuple[int, int]] = []
    answers = classify(CAUSAL, DATA, lambda done, total: seen.append((done, total)))
    assert answers.lengths == (4, 1, 40)
    assert torch.equal(answers.labels, torch.cat([example.labels for example in DATA]))
    assert torch.equal(answers.speakers, torch.cat([example.utterances.speakers for example in DATA]))
    whole = torch.cat([CAUSAL(DialogueBatch.pad([example.utterances]))[0] for example in DATA])
    torch.testing.assert_close(answers.logits, whole.detach(), atol=1e-5, rtol=1e-5)
    assert seen == [(3, 3)]


def test_dialogues_side_by_side_get_the_answers_that_each_gets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [talk(length, seed) for seed, length in enumerate((4, 1, 40, 7, 7, 2))]
    rows = []
    for example in talks:
        state = CAUSAL.initial_state(1)
        for t in range(len(example)):
            row, state = CAUSAL.step(example.utterances.rows(slice(t, t + 1)), state)
            rows.append(row.detach())
    torch.testing.assert_close(classify(CAUSAL, talks).logits, torch.cat(rows), atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(evaluation, "SIDE_BY_SIDE", 14)  # several groups, the longest dialogue alone
    assert list(side_by_side([4, 1, 40, 7, 7, 2])) == [[2], [3, 4], [0, 5, 1]]
    seen: list[tuple[int, int]] = []
    grouped = classify(CAUSAL, talks, lambda done, total: seen.append((done, total)))
    torch.testing.assert_close(grouped.logits, torch.cat(rows), atol=1e-5, rtol=1e-5)
    assert seen == [(1, 6), (3, 6), (6, 6)]


def test_an_utterance_costs_no_step_of_its_own() -> None:
    class Counting(DialogueGraph):
        steps = 0

        def step(self, utterance, state):
            self.steps += 1
            return super().step(utterance, state)

    model = Counting(SIZES).eval()
    classify(model, [talk(5, seed) for seed in range(20)])
    assert model.steps == 5


def leaky(logits: torch.Tensor) -> torch.Tensor:
    return logits.cumsum(1).flip(1)


def spoilt(logits: torch.Tensor) -> torch.Tensor:
    return logits * torch.nan


@pytest.mark.parametrize("change", [leaky, spoilt])
def test_a_model_whose_forms_differ_is_found_out(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    class Broken(DialogueGraph):
        def forward(self, batch):
            return change(super().forward(batch))

    with pytest.raises(RuntimeError, match=r"step and forward differ by .* in dialogue talk 2"):
        classify(Broken(SIZES).eval(), DATA)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_looking_ahead_is_forward_over_the_prefix(ahead: int) -> None:
    example = DATA[2]
    answers = classify(TWO_SIDED, [example], ahead=ahead).logits
    for t in (0, 17, 38, 39):
        heard = example.utterances.rows(slice(t + ahead + 1))
        torch.testing.assert_close(
            answers[t], TWO_SIDED(DialogueBatch.pad([heard]))[0, t].detach(), atol=1e-5, rtol=1e-5
        )


def test_the_curve_ends_where_the_window_does() -> None:
    full = classify(TWO_SIDED, DATA).logits
    reached = [torch.allclose(classify(TWO_SIDED, DATA, ahead=k).logits, full, atol=1e-5) for k in (0, 1, 2, 3)]
    assert reached == [False, False, True, True]  # one layer that hears two utterances ahead


def test_a_causal_model_cannot_look_ahead() -> None:
    with pytest.raises(ValueError, match="cannot hear 1 utterances ahead"):
        classify(CAUSAL, DATA, ahead=1)
    assert torch.equal(classify(CAUSAL, DATA, ahead=0).logits, classify(CAUSAL, DATA).logits)


def test_modalities_can_be_left_out() -> None:
    assert modalities_of(DATA) == ("text", "audio")
    deaf = only(DATA, ["text"])
    assert modalities_of(deaf) == ("text",)
    assert modalities_of(only(DATA, ["visual"])) == ()
    assert not torch.allclose(classify(CAUSAL, DATA).logits, classify(CAUSAL, deaf).logits, atol=1e-3)
