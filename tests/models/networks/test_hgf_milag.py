"""HGF-MiLaG: its equations by hand, its two directions, what is missing, its heads and its objective."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.graph import two_sided_window
from erc_live.models.networks.hgf_milag import LEVELS, EdgeAttention, HgfMilag, HgfMilagConfig, objective

DIMS = (6, 8, 4)
TINY = HgfMilagConfig(
    5, *DIMS, window=2, context_width=8, graph_width=6, head_width=6, heads=2, bases=3, dropout=0.0, genders=2
)
FORMS = {
    "two-sided": TINY,
    "causal": replace(TINY, causal=True),
    "two windows": replace(TINY, window=1, future=3),
    "no later one": replace(TINY, future=0),
    "as released": replace(TINY, as_released=True),
    "as released, two windows": replace(TINY, as_released=True, window=3, future=1),
    "as released, causal": replace(TINY, as_released=True, causal=True),
}


def build(config: HgfMilagConfig, seed: int = 0) -> HgfMilag:
    torch.manual_seed(seed)
    model = HgfMilag(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def dialogue(seed: int, length: int, missing: float = 0.3) -> UtteranceBatch:
    """Random utterances of three speakers; what is missing holds NaN."""
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(length, 3, generator=draw) >= missing
    vectors = [
        torch.where(present[:, m, None], torch.randn(length, dim, generator=draw), torch.nan)
        for m, dim in enumerate(DIMS)
    ]
    return UtteranceBatch(*vectors, torch.randint(3, (length,), generator=draw), present)


def classify(model: HgfMilag, *dialogues: UtteranceBatch) -> Tensor:
    with torch.no_grad():
        return model(DialogueBatch.pad(dialogues))


def by_hand(model: HgfMilag, talk: UtteranceBatch) -> Tensor:
    """The equations of the header, one utterance and one edge at a time."""
    config, steps, causal = model.config, len(talk), model.config.causal
    released = config.as_released
    w, later = config.window, 0 if causal else config.window if config.future is None else config.future
    x = model.fusion.modalities(talk)
    c = [model.context[m].units(x[None, :, m])[0][0] for m in range(3)]
    heard = [list(range(max(0, i - w), min(steps, i + later + 1))) for i in range(steps)]
    s = [
        torch.stack(
            [
                conv.lin_skip(c[m][i])
                + sum(
                    weight * conv.lin_value(c[m][j])
                    for j, weight in zip(
                        heard[i],
                        torch.stack(
                            [conv.lin_query(c[m][i]) @ conv.lin_key(c[m][j]) / c[m].shape[1] ** 0.5 for j in heard[i]]
                        ).softmax(0),
                        strict=True,
                    )
                )
                for i in range(steps)
            ]
        )
        for m, conv in enumerate(model.inside)
    ]
    mask = torch.tensor([[i == j if released else j in heard[i] for j in range(steps)] for i in range(steps)])
    fused = [s[0]]
    for other in s[1:]:
        a = model.across
        q, k, v = (f.unflatten(1, (a.heads, -1)).transpose(0, 1) for f in (a.query(s[0]), a.key(other), a.value(other)))
        answer = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)
        fused.append(a.out(answer.transpose(0, 1).flatten(1)))
    joint = torch.cat(fused, 1)
    weight = torch.einsum("rb,bio->rio", model.relate.comp, model.relate.weight)
    h = joint @ model.relate.root + model.relate.bias
    for i in range(steps):
        other = {j: int(talk.speakers[j] != talk.speakers[i]) for j in heard[i]}
        if released:  # earlier of the same, of another; later or itself of the same, of another
            kinds = {j: other[j] + (2 if j >= i else 0) for j in heard[i]}
        else:  # itself; earlier of the same, of another; later of the same, of another
            kinds = {j: 0 if j == i else 1 + other[j] + (2 if j > i else 0) for j in heard[i]}
        for kind in set(kinds.values()):
            mates = [j for j in heard[i] if kinds[j] == kind]
            h[i] = h[i] + joint[mates].mean(0) @ weight[kind]
    gathered = torch.stack([h[heard[i]].mean(0) if causal else h[heard[i]].sum(0) for i in range(steps)])
    graph = model.refine.lin_rel(gathered) + model.refine.lin_root(h)
    levels = [torch.cat((*c, graph), 1), *s]
    return sum(
        share * head(level) for share, head, level in zip((1.0, 0.7, 0.1, 0.2), model.emotions, levels, strict=True)
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_its_equations(form: str) -> None:
    model, talk = build(FORMS[form]), replace(dialogue(0, 8), speakers=torch.tensor([0, 1, 0, 2, 0, 0, 1, 2]))
    with torch.no_grad():
        torch.testing.assert_close(classify(model, talk)[0], by_hand(model, talk), atol=1e-5, rtol=1e-5)


def test_as_released_an_utterance_is_averaged_with_later_ones_of_its_speaker() -> None:
    """One matrix for both, so what the RGCN hears of the same speaker from now on is one mean."""
    model = build(FORMS["as released"])
    edges = two_sided_window(torch.tensor([3]), torch.tensor([0, 0, 1]), 2, 2)
    kinds = {(s, t): k for s, t, k in zip(*edges.index.tolist(), model._relations(edges).tolist(), strict=True)}
    assert kinds == {
        (0, 0): 2, (1, 1): 2, (2, 2): 2, (1, 0): 2, (0, 1): 0, (2, 0): 3, (2, 1): 3, (0, 2): 1, (1, 2): 1,
    }  # fmt: skip
    assert model.relate.num_relations == 4


def test_the_released_sizes_and_shares() -> None:
    """Of the training script and the model of the release, IEMOCAP."""
    config = HgfMilagConfig(6, 1024, 1582, 342)
    assert (config.window, config.future, config.dropout, config.attention_dropout) == (10, None, 0.4, 0.1)
    assert (config.context_width, config.context_layers, config.graph_width, config.head_width) == (160, 2, 100, 100)
    assert (config.heads, config.bases, config.emotion_share) == (10, 10, 0.7)
    assert dict(zip(LEVELS, config.emotion_weights, strict=True)) == {
        "fused": 1.0, "text": 0.7, "audio": 0.1, "visual": 0.2,
    }  # fmt: skip
    assert dict(zip(LEVELS, config.gender_weights, strict=True)) == {
        "fused": 1.0, "text": 0.7, "audio": 0.2, "visual": 0.1,
    }  # fmt: skip
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in HgfMilag(replace(config, causal=c)).parameters()) for c in (False, True)]
    assert sizes == [2_520_446, 2_750_826]


def test_weights_across_modalities_are_dropped_and_no_others_where_dropout_is_0() -> None:
    sources, itself = torch.randn(40, 8), torch.arange(40).expand(2, -1)
    attention = EdgeAttention(8, 2, dropout=0.5)
    heads = []
    attention.out.register_forward_pre_hook(lambda _, given: heads.append(given[0]))
    with torch.no_grad():
        attention(sources, sources, itself)
        value = attention.value(sources)
    shares = (heads[0] / value).unflatten(1, (2, 4))  # of one key, so each head takes all of it, twice or not at all
    torch.testing.assert_close(shares, shares[..., :1].round().expand_as(shares), atol=1e-4, rtol=0)
    assert set(shares[..., 0].round().flatten().tolist()) == {0.0, 2.0}
    model = build(replace(TINY, attention_dropout=0.5)).train()
    plain = build(replace(TINY, attention_dropout=0.0)).train()
    model.load_state_dict(plain.state_dict())
    talk = dialogue(3, 6, missing=0.0)
    assert torch.equal(classify(plain, talk), classify(plain, talk))
    assert not torch.equal(classify(model, talk), classify(model, talk))


def test_what_is_dropped_before_the_context_and_what_is_not_as_released() -> None:
    given = [part.p for part in HgfMilag(replace(TINY, dropout=0.4)).fusion.modules() if isinstance(part, nn.Dropout)]
    released = HgfMilag(replace(TINY, dropout=0.4, as_released=True))
    assert set(given) == {0.4}
    assert {part.p for part in released.fusion.modules() if isinstance(part, nn.Dropout)} == {0.0}
    assert {head[2].p for head in (*released.emotions, *released.genders)} == {0.4}
    assert {gru.units.dropout for gru in released.context} == {0.4}


def test_cross_attention_over_one_key_is_deaf_to_the_query() -> None:
    """Why the release's form is not the default: whatever is asked, the answer is the same."""
    attention = EdgeAttention(8, 2, 0.0)
    sources, itself = torch.randn(5, 8), torch.arange(5).expand(2, -1)
    answers = [attention(torch.randn(5, 8), sources, itself) for _ in range(2)]
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(answers[0], attention.out(attention.value(sources)))


def test_only_the_two_sided_form_hears_the_future() -> None:
    talk, other = dialogue(2, 8), dialogue(3, 8)
    changed = UtteranceBatch(
        *(
            torch.cat((mine[:4], theirs[4:]))
            for mine, theirs in zip(vars(talk).values(), vars(other).values(), strict=True)
        )
    )
    causal, two_sided = build(replace(TINY, causal=True)), build(TINY)
    assert torch.equal(classify(causal, talk)[0, :4], classify(causal, changed)[0, :4])
    assert not torch.allclose(classify(two_sided, talk)[0, :4], classify(two_sided, changed)[0, :4], atol=1e-4)


def test_two_sided_tells_earlier_from_later_and_who_spoke() -> None:
    model, talk = build(TINY), dialogue(4, 5, missing=0.0)
    said_by_one = classify(model, replace(talk, speakers=torch.zeros(5, dtype=torch.int64)))
    said_by_all = classify(model, replace(talk, speakers=torch.arange(5)))
    assert not torch.allclose(said_by_one, said_by_all, atol=1e-3)
    swapped = replace(talk, speakers=4 - torch.arange(5))
    assert torch.equal(classify(model, swapped), said_by_all)
    model.relate.comp.data[3:] = 0  # the relations of later sources
    assert not torch.allclose(classify(model, replace(talk, speakers=torch.arange(5))), said_by_all, atol=1e-3)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("fill", [0.0, torch.nan, 1e30])
def test_padding_and_batch_mates_change_nothing(causal: bool, fill: float) -> None:
    model, talk = build(replace(TINY, causal=causal)), dialogue(5, 4)
    batch = DialogueBatch.pad([dialogue(6, 9), talk])
    behind = (torch.arange(9) >= batch.lengths[:, None])[..., None]
    spoilt = replace(
        batch,
        text=batch.text.masked_fill(behind, fill),
        audio=batch.audio.masked_fill(behind, fill),
        visual=batch.visual.masked_fill(behind, fill),
        present=batch.present | behind,
    )
    with torch.no_grad():
        logits = model(spoilt)[1]
    torch.testing.assert_close(logits[:4], classify(model, talk)[0], atol=1e-5, rtol=1e-5)
    assert (logits[4:] == 0).all()


def test_step_equals_forward_and_leaves_its_state_alone() -> None:
    model, talk = build(replace(TINY, causal=True)), dialogue(7, 30)
    state, rows = model.initial_state(2), []
    with torch.no_grad():
        for t in range(len(talk)):
            before = [value.clone() for value in vars(state).values()]
            logits, after = model.step(talk.rows(torch.tensor([t, t])), state)
            assert all(torch.equal(now, then) for now, then in zip(vars(state).values(), before, strict=True))
            assert [v.shape for v in vars(after).values()] == [v.shape for v in before]
            rows.append(logits)
            state = after
    stepped = torch.stack(rows, 1)
    torch.testing.assert_close(stepped, classify(model, talk).expand(2, -1, -1), atol=1e-5, rtol=1e-5)


def test_two_sided_does_not_step() -> None:
    model = build(TINY)
    with pytest.raises(ValueError, match="wrap it in Replay"):
        model.initial_state()


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_reach_every_parameter_and_stay_finite(causal: bool) -> None:
    model = build(replace(TINY, causal=causal))
    batch = DialogueBatch.pad([dialogue(8, 7), dialogue(9, 5)])
    labels, genders = torch.randint(5, (2, 7)), torch.randint(2, (2, 7))
    labels[1, 5:] = genders[1, 5:] = -100
    objective(model, batch, labels, genders).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not name.endswith(("lin_key.bias", "across.key.bias")):  # the softmax is deaf to a shift of all its scores
            assert parameter.grad.abs().max() > 1e-9, name


def test_the_objective_is_the_weighted_sum_over_labelled_utterances() -> None:
    model, batch = build(TINY), DialogueBatch.pad([dialogue(10, 3), dialogue(11, 2)])
    labels = torch.tensor([[1, -100, 4], [0, 2, -100]])
    genders = torch.tensor([[0, 1, -100], [-100, 1, -100]])
    out = model.outputs(batch)
    log_p, log_g = out.heads.log_softmax(-1), out.genders.log_softmax(-1)
    emotion = sum(
        share * -sum(log_p[b, t, k, y] for b, t, y in ((0, 0, 1), (0, 2, 4), (1, 0, 0), (1, 1, 2))) / 4
        for k, share in enumerate((1.0, 0.7, 0.1, 0.2))
    )
    gender = sum(
        share * -sum(log_g[b, t, k, y] for b, t, y in ((0, 0, 0), (0, 1, 1), (1, 1, 1))) / 3
        for k, share in enumerate((1.0, 0.7, 0.2, 0.1))
    )
    torch.testing.assert_close(objective(model, batch, labels), emotion)
    torch.testing.assert_close(objective(model, batch, labels, genders), 0.7 * emotion + 0.3 * gender)
    nobody = objective(model, batch, torch.full_like(labels, -100))
    assert nobody == 0
    nobody.backward()


def test_gender_is_optional_and_changes_no_emotion() -> None:
    model, without = build(TINY), build(replace(TINY, genders=0))
    without.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("genders")})
    batch = DialogueBatch.pad([dialogue(12, 3)])
    assert torch.equal(classify(without, dialogue(12, 3)), classify(model, dialogue(12, 3)))
    assert without.outputs(batch).genders.shape == (1, 3, 4, 0)
    with pytest.raises(ValueError, match="genders=0"):
        objective(without, batch, torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3, dtype=torch.int64))


def test_it_learns_four_dialogues_by_heart() -> None:
    torch.manual_seed(0)
    model = HgfMilag(replace(TINY, causal=True, genders=0, context_width=16, graph_width=16, head_width=16))
    batch = DialogueBatch.pad([dialogue(seed, 5) for seed in range(4)])
    labels = torch.randint(5, (4, 5))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        objective(model, batch, labels).backward()
        optimiser.step()
    assert (model.eval()(batch).argmax(-1) == labels).float().mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0}, "at least 1"),
        ({"future": -1}, "future must not be negative: -1"),
        ({"heads": 3}, "context_width 8"),
        ({"emotion_weights": (1.0,)}, "4 weights"),
    ],
)
def test_sizes_that_build_no_network_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_vectors_of_a_wrong_width_are_refused() -> None:
    with pytest.raises(ValueError, match="text vectors have width 7, the model takes 6"):
        classify(build(TINY), UtteranceBatch.of(torch.zeros(7), None, None, speaker=0))
