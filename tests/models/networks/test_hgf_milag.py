"""HGF-MiLaG: its equations by hand, its two directions, what is missing, its heads and its objective."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks.hgf_milag import EdgeAttention, HgfMilag, HgfMilagConfig, objective

DIMS = (6, 8, 4)
TINY = HgfMilagConfig(
    5, *DIMS, window=2, context_width=8, graph_width=6, head_width=6, heads=2, bases=3, dropout=0.0, genders=2
)


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
    w, steps, causal = model.config.window, len(talk), model.config.causal
    x = model.fusion.modalities(talk)
    c = [model.context[m].units(x[None, :, m])[0][0] for m in range(3)]
    heard = [list(range(max(0, i - w), i + 1 if causal else min(steps, i + w + 1))) for i in range(steps)]
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
    mask = torch.tensor([[j in heard[i] for j in range(steps)] for i in range(steps)])
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
        kinds = {j: 1 if talk.speakers[j] == talk.speakers[i] else 2 for j in heard[i]}
        kinds = {j: 0 if j == i else kind + 2 * (j > i) for j, kind in kinds.items()}
        for kind in set(kinds.values()):
            mates = [j for j in heard[i] if kinds[j] == kind]
            h[i] = h[i] + joint[mates].mean(0) @ weight[kind]
    gathered = torch.stack([h[heard[i]].mean(0) if causal else h[heard[i]].sum(0) for i in range(steps)])
    graph = model.refine.lin_rel(gathered) + model.refine.lin_root(h)
    levels = [torch.cat((*c, graph), 1), *s]
    return sum(
        share * head(level) for share, head, level in zip((1.0, 0.7, 0.1, 0.2), model.emotions, levels, strict=True)
    )


@pytest.mark.parametrize("causal", [False, True])
def test_both_forms_are_their_equations(causal: bool) -> None:
    model, talk = build(replace(TINY, causal=causal)), dialogue(0, 6)
    with torch.no_grad():
        torch.testing.assert_close(classify(model, talk)[0], by_hand(model, talk), atol=1e-5, rtol=1e-5)


def test_cross_attention_over_one_key_is_deaf_to_the_query() -> None:
    """Why the release's form is not the default: whatever is asked, the answer is the same."""
    attention = EdgeAttention(8, 2, 0.0)
    sources, itself = torch.randn(5, 8), torch.arange(5).expand(2, -1)
    answers = [attention(torch.randn(5, 8), sources, itself) for _ in range(2)]
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(answers[0], attention.out(attention.value(sources)))


@pytest.mark.parametrize("causal", [False, True])
def test_as_released_the_cross_attention_hears_one_utterance(causal: bool) -> None:
    intent, released = build(replace(TINY, causal=causal)), build(replace(TINY, causal=causal, as_released=True))
    talk = dialogue(1, 6)
    alone = talk.rows(slice(0, 1))
    assert not torch.allclose(classify(intent, talk), classify(released, talk), atol=1e-4)
    torch.testing.assert_close(classify(intent, alone), classify(released, alone))


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
    [({"window": 0}, "at least 1"), ({"heads": 3}, "context_width 8"), ({"emotion_weights": (1.0,)}, "4 weights")],
)
def test_sizes_that_build_no_network_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_vectors_of_a_wrong_width_are_refused() -> None:
    with pytest.raises(ValueError, match="text vectors have width 7, the model takes 6"):
        classify(build(TINY), UtteranceBatch.of(torch.zeros(7), None, None, speaker=0))
