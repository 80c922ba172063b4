from dataclasses import fields, replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.blocks.convs import complete_averages, past_edges
from erc_live.models.networks.vuemo import UNLABELLED, GlobalAttention, Vuemo, VuemoConfig, objective

TINY = VuemoConfig(
    text_dim=6, visual_dim=5, window=3, width=8, num_K=2, num_L=2, speakers=3, decay=0.8, dropout=0.0, causal=True
)
MODES = [
    replace(TINY, causal=causal, as_released=as_released) for causal, as_released in product((True, False), repeat=2)
]
checked = settings(max_examples=12, deadline=None)


def build(config: VuemoConfig = TINY) -> Vuemo:
    """A model whose every parameter matters: also those that start as zeros."""
    torch.manual_seed(0)
    model = Vuemo(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def talk(seed: int, length: int, missing: float = 0.3, speakers: int = 5) -> UtteranceBatch:
    """Random utterances; what is missing holds NaN, so that reading it would show."""
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(length, 3, generator=draw) >= missing
    vectors = [
        torch.where(present[:, m, None], torch.randn(length, dim, generator=draw), torch.nan)
        for m, dim in enumerate((6, 8, 5))
    ]
    return UtteranceBatch(*vectors, torch.randint(speakers, (length,), generator=draw), present)


def forward(model: Vuemo, *dialogues: UtteranceBatch) -> Tensor:
    with torch.no_grad():
        return model(DialogueBatch.pad(dialogues))


def stepped(model: Vuemo, utterances: UtteranceBatch) -> Tensor:
    state, rows = model.initial_state(), []
    with torch.no_grad():
        for t in range(len(utterances)):
            before = [getattr(state, field.name).clone() for field in fields(state)]
            logits, after = model.step(utterances.rows(slice(t, t + 1)), state)
            for field, then in zip(fields(state), before, strict=True):
                assert torch.equal(getattr(state, field.name), then)
                assert getattr(after, field.name).shape == then.shape
            state = after
            rows.append(logits)
    return torch.cat(rows)


@checked
@given(
    seed=st.integers(0, 999),
    length=st.integers(1, 60),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    as_released=st.booleans(),
    decay=st.sampled_from([1.0, 0.8]),
)
def test_step_is_forward(seed: int, length: int, missing: float, as_released: bool, decay: float) -> None:
    model, utterances = build(replace(TINY, as_released=as_released, decay=decay)), talk(seed, length, missing)
    whole = forward(model, utterances)[0]
    assert whole.isfinite().all()
    torch.testing.assert_close(stepped(model, utterances), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", MODES)
def test_only_a_two_sided_model_hears_the_future(config: VuemoConfig) -> None:
    model, utterances, other = build(config), talk(1, 12, missing=0.0), talk(2, 12, missing=0.0)
    changed = UtteranceBatch(
        *(torch.cat((getattr(utterances, f.name)[:5], getattr(other, f.name)[5:])) for f in fields(utterances))
    )
    before, after = (forward(model, rows)[0, :5] for rows in (utterances, changed))
    assert torch.equal(before, after) if config.causal else not torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("config", MODES)
@pytest.mark.parametrize("fill", [torch.nan, 1e30])
def test_padding_and_batch_mates_do_not_matter(config: VuemoConfig, fill: float) -> None:
    model, utterances = build(config), talk(3, 7)
    batch = DialogueBatch.pad([talk(4, 3), utterances, talk(5, 20)])
    behind = torch.arange(20) >= batch.lengths[:, None]
    spoilt = replace(
        batch,
        **{name: getattr(batch, name).masked_fill(behind[..., None], fill) for name in ("text", "audio", "visual")},
        speakers=batch.speakers.masked_fill(behind, 77),
        present=batch.present.masked_fill(behind[..., None], True),
    )
    with torch.no_grad():
        logits = model(spoilt)[1]
    torch.testing.assert_close(logits[:7], forward(model, utterances)[0], atol=1e-5, rtol=1e-5)
    assert (logits[7:] == 0).all()


@pytest.mark.parametrize("kept", list(product((True, False), repeat=3)))
@pytest.mark.parametrize("causal", [True, False])
def test_every_subset_of_modalities_is_the_same_model(kept: tuple[bool, ...], causal: bool) -> None:
    model, utterances = build(replace(TINY, causal=causal)), talk(6, 5, missing=0.0)
    partial = replace(utterances, present=torch.tensor(kept).expand(5, 3))
    others = replace(talk(7, 5, missing=0.0), present=partial.present, speakers=partial.speakers)
    mixed = UtteranceBatch(
        *(
            mine if keep else torch.full_like(mine, torch.nan)
            for mine, keep in zip(partial.vectors(), kept, strict=True)
        ),
        partial.speakers,
        partial.present,
    )
    logits = forward(model, mixed)
    assert logits.isfinite().all()
    assert torch.equal(logits, forward(model, partial))
    assert torch.equal(logits, forward(model, others)) is not any(kept)
    objective(model, DialogueBatch.pad([mixed]), torch.zeros(1, 5, dtype=torch.int64)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_modality_of_width_zero_is_missing() -> None:
    model, blind = build(replace(TINY, visual_dim=0)), talk(8, 4)
    blind = replace(blind, visual=torch.zeros(4, 0), present=blind.present & torch.tensor([True, True, False]))
    torch.testing.assert_close(stepped(model, blind), forward(model, blind)[0], atol=1e-5, rtol=1e-5)


def test_the_virtual_node_by_hand() -> None:
    model = build(replace(TINY, width=1, num_K=1, causal=True))
    generator = model.generator
    with torch.no_grad():
        for parameter, values in (
            (generator.enter.weight, [[2.0]]),
            (generator.enter.bias, [1.0]),
            (generator.layers[0].gate.weight, [[1.0, -1.0]]),
            (generator.layers[0].gate.bias, [0.0]),
            (generator.leave.weight, [[1.0, 10.0, 100.0]]),
            (generator.leave.bias, [5.0]),
        ):
            parameter.copy_(torch.tensor(values))
        nodes, _ = generator(torch.tensor([[[[0.5]], [[0.0]], [[-1.0]]]]), past_edges(torch.ones(1, 3, 1) > 0, 3), None)
    h = torch.tensor([2.0, 1.0, -1.0])
    gate = torch.tanh(h[:, None] - h)
    h = h + h + torch.stack([(gate[i] * h)[torch.arange(3) != i].sum() / 2 for i in range(3)])
    assert nodes[0, :3, 0, 0].tolist() == [0.5, 0.0, -1.0]
    assert nodes[0, 3, 0, 0].item() == pytest.approx(
        (h * torch.tensor([1.0, 10.0, 100.0])).sum().item() + 5.0, abs=1e-4
    )


# The hyperedges of an utterance as the release lists them; besides, each stream has one over the dialogue.
RELEASED_HYPEREDGES = ("tag", "tvg", "avg", "ag", "vg", "tg")


@pytest.mark.parametrize("as_released", [False, True])
def test_a_hypergraph_layer_by_hand(as_released: bool) -> None:
    """Two utterances, hyperedge by hyperedge; all weights differ."""
    model, steps = build(replace(TINY, causal=False, as_released=as_released)), 2
    nodes = torch.randn(1, 4, steps, 8)
    present = torch.ones(1, 4, steps, dtype=torch.bool)
    averages = complete_averages(present)
    layer, edges = model.convolutions[0], model.hyperedges
    gamma = dict(zip("tavg", edges.log_gamma.exp(), strict=True))
    hyperedges = [
        (name, [(name, t) for t in range(steps)], weight)
        for name, weight in zip("tavg", edges.log_wide.exp(), strict=True)
    ]
    for t in range(steps):
        weights = edges.log_local.exp()
        hyperedges += [(name, [(m, t) for m in name], w) for name, w in zip(RELEASED_HYPEREDGES, weights, strict=True)]
    with torch.no_grad():
        found = layer(nodes, averages.of(nodes, None), edges(present, averages.filled))
        for m, t in product("tavg", range(steps)):
            said, total, degree = torch.zeros(8), 0.0, 0
            for _, members, weight in hyperedges:
                if (m, t) not in members:
                    continue
                among = [(1.0 if as_released else gamma[n]) * nodes[0, "tavg".index(n), s] for n, s in members]
                mean = sum(among) / sum(gamma[n] for n, _ in members)
                said, total, degree = said + (1.0 if as_released else weight) * mean, total + weight, degree + 1
            assert degree == {"t": 4, "a": 4, "v": 4, "g": 7}[m]
            expected = functional.leaky_relu(said / total + layer.bias, 0.01)
            torch.testing.assert_close(found[0, "tavg".index(m), t], expected, atol=1e-5, rtol=1e-5)


def test_the_released_sizes() -> None:
    """Of the release's training script: MELD as it is, IEMOCAP by `--recipe published`."""
    config = VuemoConfig()
    assert (config.num_K, config.num_L, config.dropout, config.focal) == (4, 8, 0.5, 2.5)
    assert (config.use_speaker, config.use_modal, config.head_virtual) == (True, False, True)
    with torch.device("meta"):
        model = Vuemo(config)
    assert model.head[-1].in_features == 4 * 512
    assert (model.attentions[0].enhance[0].out_features, model.context.units.num_layers) == (1024, 2)
    assert model.head[0].p == model.context.units.dropout == 0.5


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    "form",
    [{"use_speaker": False}, {"use_modal": True}, {"head_virtual": False}, {"num_L": 0}, {"num_G": 0}],
)
def test_the_forms_that_the_release_names(form: dict[str, object], causal: bool) -> None:
    config, spoken = replace(TINY, causal=causal, **form), talk(3, 6, missing=0.0)
    model = build(config)
    if causal:
        torch.testing.assert_close(stepped(model, spoken), forward(model, spoken)[0], atol=1e-5, rtol=1e-5)
    by_one = forward(model, replace(spoken, speakers=torch.zeros(6, dtype=torch.int64)))
    assert torch.equal(by_one, forward(model, replace(spoken, speakers=torch.arange(6)))) is not config.use_speaker
    names = dict(model.named_parameters())
    if config.use_modal:
        bare, before = build(replace(config, use_modal=False)), forward(model, spoken)
        with torch.no_grad():
            names["modal"].zero_()
        bare.load_state_dict(model.state_dict(), strict=False)
        assert torch.equal(forward(bare, spoken), forward(model, spoken))
        assert not torch.allclose(before, forward(model, spoken), atol=1e-3)
    assert names["head.2.weight"].shape[1] == (4 if config.head_virtual else 3) * 8
    assert any(name.startswith("convolutions.") for name in names) == (config.num_L > 0)
    assert any(name.startswith("attentions.") for name in names) == (config.num_G > 0)


def test_the_global_attention_by_hand() -> None:
    torch.manual_seed(1)
    attention, nodes = GlobalAttention(4, as_released=False), torch.randn(1, 4, 3, 4)
    present = torch.ones(1, 4, 3, dtype=torch.bool)
    present[:, 1] = False  # the audio was never there: nobody asks it
    out, _ = attention(nodes, complete_averages(present), None)
    enhanced = attention.enhance(nodes)[0]
    summaries = [enhanced[r].mean(0) for r in (0, 2, 3)]
    scores = torch.stack([enhanced[1, 2] @ (attention.key.weight @ summary) / 2.0 for summary in summaries])
    heard = sum(share * summary for share, summary in zip(scores.softmax(0), summaries, strict=True))
    gate = torch.sigmoid(attention.gate(torch.cat((nodes[0, 1, 2], heard))))
    torch.testing.assert_close(out[0, 1, 2], nodes[0, 1, 2] + gate * heard, atol=1e-5, rtol=1e-5)


def test_the_released_attention_adds_one_number_per_utterance_which_starts_as_zero() -> None:
    attention, nodes = GlobalAttention(4, as_released=True), torch.randn(1, 4, 3, 4)
    averages = complete_averages(torch.ones(1, 4, 3, dtype=torch.bool))
    out, _ = attention(nodes, averages, None)
    fresh = nodes + torch.sigmoid(attention.gate(torch.cat((nodes, nodes), dim=-1))) * nodes
    torch.testing.assert_close(out, fresh, atol=1e-5, rtol=1e-5)
    torch.nn.init.normal_(attention.enhance[-1].bias)
    out, _ = attention(nodes, averages, None)
    number = attention.enhance(nodes).mean(-1).sum(1)[:, None, :, None]
    expected = nodes + torch.sigmoid(attention.gate(torch.cat((nodes, nodes + number), dim=-1))) * (nodes + number)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_context_and_speakers_are_heard_but_not_their_numbers() -> None:
    model, utterances = build(), talk(9, 6, missing=0.0)
    alone = forward(model, utterances.rows(slice(5, 6)))[0, 0]
    assert not torch.allclose(forward(model, utterances)[0, 5], alone, atol=1e-3)
    one = forward(model, replace(utterances, speakers=torch.zeros(6, dtype=torch.int64)))
    many = forward(model, replace(utterances, speakers=torch.arange(6)))
    assert not torch.allclose(one, many, atol=1e-3)
    assert torch.equal(forward(model, replace(utterances, speakers=100 - torch.arange(6))), many)


@pytest.mark.parametrize("config", MODES)
def test_gradients_reach_every_parameter(config: VuemoConfig) -> None:
    model = build(config).train()
    objective(model, DialogueBatch.pad([talk(1, 6), talk(2, 4)]), torch.tensor([[0, 1, 2, 3, 4, 5]] * 2)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []


def test_the_objective_is_the_focal_loss_of_the_labelled() -> None:
    weights = (1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0)
    batch = DialogueBatch.pad([talk(1, 3), talk(2, 1)])
    labels = torch.tensor([[1, UNLABELLED, 2], [0, UNLABELLED, UNLABELLED]])
    config = replace(TINY, focal=2.0, class_weights=weights)
    log_p = forward(build(config), talk(1, 3), talk(2, 1)).log_softmax(-1)
    known = torch.stack((log_p[0, 0, 1], log_p[0, 2, 2], log_p[1, 0, 0]))
    scale = torch.tensor([2.0, 3.0, 1.0])
    expected = (-((1 - known.exp()) ** 2) * known * scale).sum() / 6
    torch.testing.assert_close(objective(build(config), batch, labels), expected)
    plain = objective(build(replace(config, focal=0.0, as_released=False)), batch, labels)
    oracle = functional.cross_entropy(
        forward(build(config), talk(1, 3), talk(2, 1)).flatten(0, 1), labels.flatten(), torch.tensor(weights)
    )
    torch.testing.assert_close(plain, oracle)
    assert objective(build(), batch, torch.full((2, 3), UNLABELLED)).item() == 0.0


def test_the_released_loss_counts_the_wrong_classes() -> None:
    config = replace(TINY, as_released=True, focal=2.5)
    log_p = forward(build(config), talk(1, 1))[0, 0].log_softmax(-1)
    terms = [-((1 - log_p[c]) ** 2.5) * log_p[c] if c == 4 else -log_p[c] for c in range(7)]
    loss = objective(build(config), DialogueBatch.pad([talk(1, 1)]), torch.tensor([[4]]))
    torch.testing.assert_close(loss, torch.stack(terms).mean())


@pytest.mark.parametrize("causal", [True, False])
def test_four_dialogues_can_be_learnt_by_heart(causal: bool) -> None:
    torch.manual_seed(0)
    model = Vuemo(replace(TINY, width=16, causal=causal))
    batch = DialogueBatch.pad([talk(seed, 4, missing=0.1) for seed in range(4)])
    labels = torch.randint(7, (4, 4))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        objective(model, batch, labels).backward()
        optimiser.step()
    assert (model.eval()(batch).argmax(-1) == labels).float().mean() > 0.9


def test_what_cannot_be_is_refused() -> None:
    two_sided = build(replace(TINY, causal=False))
    with pytest.raises(ValueError, match="Replay"):
        two_sided.initial_state()
    with pytest.raises(ValueError, match="Replay"):
        two_sided.step(talk(1, 1), build().initial_state())
    with pytest.raises(ValueError, match="text vectors have width 7, the model takes 6"):
        build().step(UtteranceBatch.of(torch.zeros(7), None, None, speaker=0), build().initial_state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_L": 0, "num_G": 0}, "at least 1"),
        ({"num_L": -1, "num_G": 3}, "at least 1, but for num_L or num_G"),
        ({"decay": 0.0}, "decay must be above 0 and at most 1, not 0.0"),
        ({"decay": 1.5}, "not 1.5"),
        ({"class_weights": (1.0, 2.0)}, "2 class weights for 7 classes"),
        ({"focal": -1.0}, "focal must not be negative: -1.0"),
    ],
)
def test_a_config_that_cannot_be_built_says_so(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (VuemoConfig(classes=6, speakers=2, audio_dim=1582), 8.13),
        (VuemoConfig(), 6.52),
        (VuemoConfig(causal=True), 7.31),
    ],
)
def test_parameters_are_counted_as_the_file_says(config: VuemoConfig, millions: float) -> None:
    with torch.device("meta"):
        model = Vuemo(config)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
