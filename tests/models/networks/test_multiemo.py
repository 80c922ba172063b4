"""MultiEMO against its equations, two-sided and causal; the contract of its step form stands in tests/contracts."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from erc_live.models import losses
from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks.multiemo import UNLABELLED, MultiEmo, MultiEmoConfig, objective
from erc_live.models.state import Replay

DIMS = (6, 8, 5)
TINY = MultiEmoConfig(4, *DIMS, window=3, width=8, heads=2, feedforward=12, hidden=10, speakers=3)
IEMOCAP = replace(TINY, text_context=True, two_sided_context=True, layers=3)
CAUSAL = replace(TINY, causal=True)
MODES = pytest.mark.parametrize("config", [TINY, IEMOCAP, CAUSAL, replace(IEMOCAP, causal=True)])


def build(config: MultiEmoConfig) -> MultiEmo:
    """A model whose every parameter matters: also those that start as zeros."""
    torch.manual_seed(0)
    model = MultiEmo(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def talk(seed: int, length: int, missing: float = 0.3) -> UtteranceBatch:
    """Random utterances; what is missing holds NaN, so that reading it would show."""
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(length, 3, generator=draw) >= missing
    vectors = [
        torch.where(present[:, m, None], torch.randn(length, dim, generator=draw), torch.nan)
        for m, dim in enumerate(DIMS)
    ]
    return UtteranceBatch(*vectors, torch.randint(4, (length,), generator=draw), present)


def forward(model: MultiEmo, *dialogues: UtteranceBatch) -> Tensor:
    with torch.no_grad():
        return model(DialogueBatch.pad(dialogues))


def corpus(lengths: tuple[int, ...] = (7, 4, 1, 6)) -> tuple[DialogueBatch, Tensor]:
    batch = DialogueBatch.pad([talk(seed, length) for seed, length in enumerate(lengths)])
    draw = torch.Generator().manual_seed(9)
    labels = torch.randint(4, batch.speakers.shape, generator=draw)
    behind = torch.arange(labels.shape[1]) >= batch.lengths[:, None]
    return batch, labels.masked_fill(behind, UNLABELLED)


def hear(attention: Any, own: Tensor, other: Tensor) -> Tensor:
    """One utterance attends to utterances of another modality, head by head. Shapes: own (D,), other (S, D) -> (D,)"""
    keys, values = attention.remember(other).chunk(2, dim=1)
    heads = []
    for h in range(attention.heads):
        part = slice(h * 4, (h + 1) * 4)
        scores = keys[:, part] @ attention.query(own)[part] / 4**0.5
        heads.append(torch.softmax(scores, dim=0) @ values[:, part])
    return attention.out(torch.cat(heads))


@torch.no_grad()
def test_forward_is_the_paper_s_equations() -> None:
    model, utterances = build(TINY), talk(0, 5)
    x, length = model.fusion.modalities(utterances), torch.tensor([5])
    recurrent = [
        model.contexts[name](x[:, m], utterances.speakers, length) for m, name in ((1, "audio"), (2, "visual"))
    ]
    text, audio, visual = x[:, 0], recurrent[0].clamp(min=0), recurrent[1].clamp(min=0)
    order = {0: (text, audio, visual), 1: (audio, text, visual), 2: (visual, text, audio)}
    expected = []
    for i in range(5):
        fused = []
        for m, (own, first, second) in order.items():
            f = own[i]
            for layer in model.stacks[2 * m : 2 * m + 2]:
                f = layer.norms[0](f + hear(layer.first, f, first))
                f = layer.norms[1](f + hear(layer.second, f, second))
                f = layer.norms[2](f + layer.think(f))
            fused.append(f)
        z = model.join.weight @ torch.cat(fused) + model.join.bias
        hidden, last = model.head[0], model.head[2]
        expected.append(last.weight @ (hidden.weight @ z + hidden.bias).clamp(min=0) + last.bias)
    torch.testing.assert_close(forward(model, utterances)[0], torch.stack(expected))


@torch.no_grad()
def test_the_last_utterance_of_a_short_dialogue_is_the_same_causal_and_two_sided() -> None:
    published, causal = build(TINY), MultiEmo(replace(CAUSAL, window=20)).eval()
    causal.load_state_dict(published.state_dict(), strict=False)
    assert not causal.past.preference.any()  # at the start no distance is preferred
    for length in (1, 2, 9):
        utterances = talk(length, length)
        torch.testing.assert_close(forward(causal, utterances)[0, -1], forward(published, utterances)[0, -1])


@MODES
def test_only_two_sided_reads_the_future(config: MultiEmoConfig) -> None:
    model, utterances = build(config), talk(1, 8, missing=0.0)
    other = replace(utterances, text=torch.cat((utterances.text[:5], -utterances.text[5:])))
    changed = forward(model, utterances)[0, :5] != forward(model, other)[0, :5]
    assert changed.any() != config.causal


@torch.no_grad()
def test_a_step_costs_the_same_at_any_age_and_grows_with_the_window_only() -> None:
    def cost(config: MultiEmoConfig, age: int) -> int:
        model, utterances = build(config), talk(0, age + 1)
        state = model.initial_state()
        for t in range(age):
            _, state = model.step(utterances.rows(slice(t, t + 1)), state)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # others are not counted
            model.step(utterances.rows(slice(age, age + 1)), state)
        return counter.get_total_flops()

    young, old = cost(CAUSAL, 0), cost(CAUSAL, 40)
    assert young == old
    wider = [cost(replace(CAUSAL, window=window), 5) for window in (10, 20, 30)]
    assert wider[2] - wider[1] == wider[1] - wider[0] > 0


@MODES
def test_padding_and_batch_mates_do_not_matter(config: MultiEmoConfig) -> None:
    model, utterances = build(config), talk(4, 6)
    batch = DialogueBatch.pad([talk(1, 2), utterances, talk(2, 9)])
    behind = torch.arange(9) >= batch.lengths[:, None]
    spoilt = replace(
        batch,
        text=batch.text.masked_fill(behind[..., None], torch.nan),
        audio=batch.audio.masked_fill(behind[..., None], 1e30),
        visual=batch.visual.masked_fill(behind[..., None], torch.nan),
        speakers=batch.speakers.masked_fill(behind, 77),
        present=batch.present.masked_fill(behind[..., None], True),
    )
    with torch.no_grad():
        logits = model(spoilt)[1]
    torch.testing.assert_close(logits[:6], forward(model, utterances)[0], atol=1e-5, rtol=1e-5)
    assert (logits[6:] == 0).all()


@MODES
def test_any_modality_may_be_missing(config: MultiEmoConfig) -> None:
    model, utterances = build(config), talk(5, 5, missing=0.0)
    full = forward(model, utterances)
    for m in range(3):
        lacking = replace(utterances, present=utterances.present & (torch.arange(3) != m))
        assert not torch.allclose(forward(model, lacking), full, atol=1e-3)
    absent = forward(model, talk(5, 5, missing=1.0))
    assert absent.isfinite().all()


@MODES
@pytest.mark.parametrize("as_released", [False, True])
def test_gradients_are_finite_and_reach_every_parameter(config: MultiEmoConfig, as_released: bool) -> None:
    model, (batch, labels) = build(replace(config, as_released=as_released)), corpus()
    objective(model, batch, labels).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_objective_is_its_equation() -> None:
    model, (batch, labels) = build(TINY), corpus()
    labels[0, 2] = UNLABELLED
    outputs = model.outputs(batch)
    inside = torch.arange(7) < batch.lengths[:, None]
    packed = labels[inside]
    known = packed != UNLABELLED
    y, count = packed[known], 17
    assert len(y) == count
    contrast = losses.swfc(outputs.z[known], y, (count / torch.bincount(y, minlength=4)) ** 1.2, 2.0, 1.4)
    entropy = functional.cross_entropy(outputs.logits[inside][known], y, reduction="sum")
    expected = (0.3 * contrast + 0.3 * losses.soft_hgr(outputs.views) + 0.4 * entropy) / count
    torch.testing.assert_close(objective(model, batch, labels), expected)
    unlabelled = objective(model, batch, torch.full_like(labels, UNLABELLED))
    torch.testing.assert_close(unlabelled, 0.3 * losses.soft_hgr(outputs.views))


@pytest.mark.parametrize("given", [(), (8.0, 4.0, 16.0, 1.0)])
def test_as_released_the_class_weights_sum_to_1_and_soft_hgr_is_of_samples(given: tuple[float, ...]) -> None:
    (batch, labels), published = corpus(), build(TINY)
    model = build(replace(TINY, as_released=True, class_weights=given))
    assert torch.equal(model(batch), published(batch))
    outputs = model.outputs(batch)
    y = labels[torch.arange(7) < batch.lengths[:, None]]
    raw = [(g or len(y) / int((y == c).sum())) ** 1.2 for c, g in enumerate(given or (0, 0, 0, 0))]
    weights = [weight / sum(raw) for weight in raw]
    z = outputs.z / outputs.z.norm(dim=1, keepdim=True)
    contrast = torch.zeros(())
    for j in range(len(y)):
        others = [g for g in range(len(y)) if g != j]
        among = torch.stack([z[j] @ z[g] / 1.4 for g in others]).logsumexp(0)
        logs = [z[j] @ z[g] / 1.4 - among for g in others if y[g] == y[j]]
        terms = [(1 - log.exp()) ** 2 * log for log in logs]
        contrast = contrast - weights[y[j]] * sum(terms) / max(len(terms), 1)
    correlation = torch.zeros(())
    for q, v in ((0, 1), (0, 2), (1, 2)):
        one, other = outputs.views[:, q], outputs.views[:, v]
        trace = torch.trace(torch.cov(one) @ torch.cov(other))  # rows are the variables: sample by sample
        correlation = correlation - ((one * other).sum() / len(y) - trace / 2 / len(y))
    entropy = functional.cross_entropy(outputs.logits[torch.arange(7) < batch.lengths[:, None]], y)
    expected = 0.3 * contrast / len(y) + 0.3 * correlation / len(y) + 0.4 * entropy
    torch.testing.assert_close(objective(model, batch, labels), expected, atol=1e-5, rtol=1e-5)


def test_the_weights_of_the_train_split_go_before_those_of_the_batch() -> None:
    (batch, labels), given = corpus(), (8.0, 4.0, 16.0, 1.0)
    model = build(replace(TINY, class_weights=given, hgr_share=0.0, swfc_share=1.0))
    outputs, y = model.outputs(batch), labels[labels != UNLABELLED]
    expected = losses.swfc(outputs.z, y, torch.tensor(given) ** 1.2, 2.0, 1.4) / len(y)
    torch.testing.assert_close(objective(model, batch, labels), expected)
    with pytest.raises(ValueError, match="2 class weights for 4 classes"):
        replace(TINY, class_weights=(1.0, 2.0))


@torch.no_grad()
@MODES
def test_attention_as_it_is_drawn_is_that_of_the_last_layer(config: MultiEmoConfig) -> None:
    model, utterances = build(replace(config, layers=1)), talk(0, 6)
    batch = DialogueBatch.pad([utterances])
    found = model.cross_attention(batch)[0]
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 2, 6))
    assert (found.triu(1) == 0).all() == config.causal
    contexts, mask = model._read(batch)
    layer = model.stacks[1]  # of the audio, which asks text first
    keys, _ = layer.first.remember(contexts[0, :, 0]).chunk(2, dim=1)
    queries, by_head = layer.first.query(contexts[0, :, 1]), []
    for h in range(2):
        part = slice(4 * h, 4 * h + 4)
        scores = queries[:, part] @ keys[:, part].T / 2.0
        if config.causal:
            scores = scores + mask[h]
        by_head.append(scores.softmax(-1))
    torch.testing.assert_close(found[1, 0], sum(by_head) / 2)


def test_the_released_sizes() -> None:
    """Of the release's training script for MELD; those for IEMOCAP are set by `--recipe published`."""
    config = MultiEmoConfig()
    assert (config.width, config.heads, config.feedforward, config.layers, config.hidden) == (256, 4, 1024, 2, 512)
    assert (config.swfc_share, config.hgr_share, config.dropout) == (0.3, 0.3, 0.0)
    assert (config.alpha, config.gamma, config.temperature) == (1.2, 2.0, 1.4)


@pytest.mark.parametrize("config", [IEMOCAP, CAUSAL])
def test_it_learns_four_dialogues_by_heart(config: MultiEmoConfig) -> None:
    torch.manual_seed(0)
    model, (batch, labels) = MultiEmo(replace(config, width=16)), corpus()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(80):
        optimiser.zero_grad()
        objective(model, batch, labels).backward()
        optimiser.step()
    known = labels != UNLABELLED
    assert (model.eval()(batch).argmax(-1) == labels)[known].all()


@torch.no_grad()
def test_two_sided_steps_only_in_a_replay() -> None:
    model, utterances = build(IEMOCAP), talk(7, 5)
    with pytest.raises(ValueError, match="Replay"):
        model.initial_state()
    replay = Replay(model, window=8)
    state = replay.initial_state()
    for t in range(5):
        logits, state = replay.step(utterances.rows(slice(t, t + 1)), state)
    torch.testing.assert_close(logits[0], forward(model, utterances)[0, -1])
    with pytest.raises(ValueError, match="Replay"):
        model.step(utterances.rows(slice(0, 1)), build(CAUSAL).initial_state())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "width 8 must be a multiple of heads 3"),
        ({"window": 0}, "sizes must be at least 1"),
        ({"swfc_share": 0.8}, r"at most 1 in sum: \(0.8, 0.3\)"),
        ({"temperature": 0.0}, "temperature above 0"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


def test_parameters_at_the_published_sizes() -> None:
    meld = MultiEmoConfig()
    iemocap = replace(meld, classes=6, layers=6, hidden=256, speakers=2, text_context=True, two_sided_context=True)
    assert parameters(replace(meld, audio_dim=512)) == 10_593_751
    assert parameters(replace(iemocap, audio_dim=512)) == 29_872_086
    assert parameters(meld) == 10_335_703
    assert parameters(replace(meld, causal=True)) == 10_335_835


def parameters(config: MultiEmoConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MultiEmo(config).parameters())
