"""SAFSD-GLNet: its equations by hand, its two directions, its masks, its teacher and its students."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from erc_live.models.batch import DialogueBatch, UtteranceBatch, pack
from erc_live.models.blocks.heads import apply_temperature
from erc_live.models.losses import confusable_focal, distillation, similarity_focal
from erc_live.models.networks.safsd_glnet import SafsdGlnet, SafsdGlnetConfig, objective

DIMS = (6, 8, 4)
ALIKE = ((1.0, 0.6, 0.1), (0.6, 1.0, 0.2), (0.1, 0.2, 1.0))
TINY = SafsdGlnetConfig(
    3, *DIMS, window=2, width=8, graph_width=6, heads=2, num_K=2, speakers=3, dropout=0.0, mask=0.0, similarity=ALIKE
)


def build(config: SafsdGlnetConfig, seed: int = 0) -> SafsdGlnet:
    torch.manual_seed(seed)
    model = SafsdGlnet(config)
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


def classify(model: SafsdGlnet, *dialogues: UtteranceBatch) -> Tensor:
    with torch.no_grad():
        return model(DialogueBatch.pad(dialogues))


def attention(model: SafsdGlnet, p: int, streams: Tensor, causal: bool) -> Tensor:
    """The gated answers of pairing p, one utterance and one head at a time. Shapes: streams (3, T, width)"""
    pairing, (target, source) = model.pairings[p], divmod(p, 3)
    attend, heads, steps = pairing.attend, model.config.heads, streams.shape[1]
    queries = attend.query(streams[target])
    keys, values = attend.remember(streams[source]).chunk(2, dim=-1)
    rows, per = [], queries.shape[1] // heads
    for i in range(steps):
        heard = range(max(0, i - model.config.window), i + 1) if causal else range(steps)
        answer = []
        for h in range(heads):
            part = slice(h * per, (h + 1) * per)
            scores = [queries[i, part] @ keys[j, part] / math.sqrt(per) for j in heard]
            if causal:
                scores = [s + model.past.preference[h, i - j] for s, j in zip(scores, heard, strict=True)]
            weights = torch.stack(scores).softmax(0)
            answer.append(sum(w * values[j, part] for w, j in zip(weights, heard, strict=True)))
        x = streams[target, i] + attend.out(torch.cat(answer))
        x = x + pairing.feed(x)
        rows.append(x * torch.sigmoid(pairing.gate(x)))
    return torch.stack(rows)


def by_hand(model: SafsdGlnet, talk: UtteranceBatch) -> Tensor:
    """The equations of the header, for a dialogue whose speakers are numbered as they appear."""
    causal, steps = model.config.causal, len(talk)
    streams = model.fusion.modalities(talk).transpose(0, 1) + model.speaker.vectors(talk.speakers)
    if not causal:
        half = model.config.width // 2
        angles = [[t / 10000 ** (i / half) for i in range(half)] for t in range(steps)]
        streams = streams + torch.tensor([[f(a) for a in row for f in (math.sin, math.cos)] for row in angles])
    fused = torch.stack(
        [
            model.reduce[m](torch.cat([attention(model, 3 * m + r, streams, causal) for r in range(3)], -1))
            for m in range(3)
        ]
    )
    fused[0] = fused[0] + model.graph_speaker.vectors(talk.speakers)
    entered = h = model.enter(fused)  # (3, T, graph)
    for layer in model.layers:
        new = h.clone()
        for m in range(3):
            for i in range(steps):
                heard = range(max(0, i - model.config.window), i) if causal else range(steps)
                mates = [(m, j) for j in heard if j != i] + [(r, i) for r in range(3) if r != m]
                for r, j in mates:  # in the whole dialogue every node has the same degree
                    new[m, i] += torch.tanh(layer.gate(torch.cat((h[m, i], h[r, j])))) * h[r, j] / len(mates)
        h = new
    return model.head(torch.cat([torch.cat((entered[m], h[m]), -1) for m in range(3)], -1))


@pytest.mark.parametrize("causal", [False, True])
def test_both_forms_are_their_equations(causal: bool) -> None:
    model = build(replace(TINY, causal=causal))
    talk = replace(dialogue(0, 6), speakers=torch.tensor([0, 1, 0, 2, 2, 1]))
    with torch.no_grad():
        torch.testing.assert_close(classify(model, talk)[0], by_hand(model, talk), atol=1e-5, rtol=1e-5)


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


def test_which_number_a_speaker_has_does_not_matter_but_who_speaks_does() -> None:
    model, talk = build(replace(TINY, causal=True)), dialogue(4, 6, missing=0.0)
    assert torch.equal(classify(model, talk), classify(model, replace(talk, speakers=9 - talk.speakers)))
    said_by_one = replace(talk, speakers=torch.zeros(6, dtype=torch.int64))
    assert not torch.allclose(classify(model, talk), classify(model, said_by_one), atol=1e-3)


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
        outputs = model.outputs(spoilt)
        alone = model.outputs(DialogueBatch.pad([talk]))
    torch.testing.assert_close(outputs.logits[1, :4], alone.logits[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(outputs.students[1, :4], alone.students[0], atol=1e-5, rtol=1e-5)
    assert (outputs.logits[1, 4:] == 0).all()
    assert (outputs.students[1, 4:] == 0).all()


def test_step_equals_forward_and_leaves_its_state_alone() -> None:
    model, talk = build(replace(TINY, causal=True, speakers=2)), dialogue(7, 30)
    state, rows = model.initial_state(2), []
    with torch.no_grad():
        for t in range(len(talk)):
            before = [value.clone() for value in vars(state).values()]
            logits, after = model.step(talk.rows(torch.tensor([t, t])), state)
            assert all(torch.equal(now, then) for now, then in zip(vars(state).values(), before, strict=True))
            assert [v.shape for v in vars(after).values()] == [v.shape for v in before]
            rows.append(logits)
            state = after
    whole = classify(model, talk).expand(2, -1, -1)
    torch.testing.assert_close(torch.stack(rows, 1), whole, atol=1e-5, rtol=1e-5)


def test_two_sided_does_not_step() -> None:
    model = build(TINY)
    with pytest.raises(ValueError, match="wrap it in Replay"):
        model.initial_state()


def test_the_mask_is_for_training_unless_as_released() -> None:
    talk = dialogue(8, 5)
    model = build(replace(TINY, mask=0.5))
    assert torch.equal(classify(model, talk), classify(model, talk))
    assert not torch.equal(classify(model.train(), talk), classify(model, talk))
    released = build(replace(TINY, mask=0.5, as_released=True))
    assert not torch.equal(classify(released, talk), classify(released, talk))


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_reach_every_parameter_and_stay_finite(causal: bool) -> None:
    model = build(replace(TINY, causal=causal))
    batch = DialogueBatch.pad([dialogue(8, 7), dialogue(9, 5)])
    labels = torch.randint(3, (2, 7))
    labels[1, 5:] = -100
    objective(model, batch, labels).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 1e-9, name


@pytest.mark.parametrize("as_released", [False, True])
def test_the_objective_is_its_three_parts(as_released: bool) -> None:
    config = replace(
        TINY, as_released=as_released, shares=(0.5, 2.0, 3.0), class_weights=(1.0, 2.0, 4.0), alpha=(0.2, 0.3, 0.5)
    )
    model, batch = build(config), DialogueBatch.pad([dialogue(10, 3), dialogue(11, 2)])
    labels = torch.tensor([[1, -100, 2], [0, 2, -100]])
    out, known = model.outputs(batch), labels != -100
    target, similarity, alpha = labels[known], torch.tensor(ALIKE), torch.tensor(config.alpha)
    hard = torch.nn.functional.cross_entropy(out.logits[known], target, torch.tensor(config.class_weights))
    focus, soft = [], []
    for m in range(3):
        student = out.students[:, :, m]
        if as_released:
            focus.append(similarity_focal(student[known], target, similarity, alpha, 2.0))
        else:
            focus.append(confusable_focal(student[known], target, similarity, alpha, (2.0, 1.0)))
        soft.append(distillation(pack(out.pupils[:, :, m], batch.lengths), pack(out.logits, batch.lengths)))
    expected = 0.5 * hard + 2.0 * sum(focus) + 3.0 * sum(soft)
    torch.testing.assert_close(objective(model, batch, labels), expected)


def test_as_released_the_text_pupil_reads_what_the_graph_has_added_the_speaker_to() -> None:
    batch = DialogueBatch.pad([replace(dialogue(10, 4), speakers=torch.tensor([0, 1, 2, 1]))])
    model, released = build(TINY), build(replace(TINY, as_released=True))
    plain, found = model.outputs(batch), released.outputs(batch)
    assert torch.equal(plain.pupils, plain.students)
    torch.testing.assert_close(found.students, plain.students)
    assert torch.equal(found.pupils[:, :, 1:], found.students[:, :, 1:])
    text = released._fuse(batch)[:, 0] + released.graph_speaker.vectors(batch.speakers)
    torch.testing.assert_close(found.pupils[:, :, 0], released.students[0](text))
    assert not torch.allclose(found.pupils[:, :, 0], found.students[:, :, 0], atol=1e-3)


def test_the_released_sizes() -> None:
    """Of the release's model and training script."""
    config = SafsdGlnetConfig()
    assert (config.width, config.graph_width, config.heads, config.num_K) == (1024, 1024, 8, 4)
    assert (config.dropout, config.mask, config.shares) == (0.5, 0.5, (1.0, 1.0, 1.0))
    assert (config.gamma, config.temperature) == (2.0, 1.0)


def test_the_teacher_learns_from_labels_alone_unless_as_released() -> None:
    batch, labels = DialogueBatch.pad([dialogue(12, 4)]), torch.full((1, 4), -100)
    for as_released in (False, True):
        model = build(replace(TINY, as_released=as_released))
        objective(model, batch, labels).backward()
        assert (model.head[-1].weight.grad.abs().max() > 0) == as_released
        assert model.students[0][-1].weight.grad.abs().max() > 0  # no label is needed to learn from the teacher


def test_temperature_divides_the_logits_of_the_students_too() -> None:
    model, batch = build(TINY), DialogueBatch.pad([dialogue(13, 4)])
    with torch.no_grad():
        before = model.outputs(batch)
        apply_temperature(model, 2.0)
        after = model.outputs(batch)
    torch.testing.assert_close(after.logits, before.logits / 2)
    torch.testing.assert_close(after.students, before.students / 2)


def test_a_causal_network_learns_from_its_two_sided_twin() -> None:
    twin, batch = build(TINY, seed=1), DialogueBatch.pad([dialogue(seed, 5) for seed in range(4)])
    torch.manual_seed(0)
    causal = SafsdGlnet(replace(TINY, causal=True))
    optimiser = torch.optim.Adam(causal.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        taught = pack(twin(batch), batch.lengths)
        losses.append(distillation(pack(causal(batch), batch.lengths), taught, temperature=2.0))
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 4
    assert all(parameter.grad is None for parameter in twin.parameters())


def test_it_learns_four_dialogues_by_heart() -> None:
    torch.manual_seed(0)
    model = SafsdGlnet(replace(TINY, causal=True, width=16, graph_width=16))
    batch = DialogueBatch.pad([dialogue(seed, 5) for seed in range(4)])
    labels = torch.randint(3, (4, 5))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        objective(model, batch, labels).backward()
        optimiser.step()
    assert (model.eval()(batch).argmax(-1) == labels).float().mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_K": 0}, "at least 1"),
        ({"heads": 3}, "width 8"),
        ({"causal": True, "as_released": True}, "as_released is two-sided"),
        ({"alpha": (1.0,)}, "1 values for 3 classes"),
        ({"similarity": ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0))}, "2 values for 3 classes"),
    ],
)
def test_sizes_that_build_no_network_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_vectors_of_a_wrong_width_are_refused() -> None:
    with pytest.raises(ValueError, match="text vectors have width 7, the model takes 6"):
        classify(build(TINY), UtteranceBatch.of(torch.zeros(7), None, None, speaker=0))
