"""What is demanded of every streaming network, as functions that raise AssertionError: networks pass, leaks fail."""

from dataclasses import replace
from typing import Any

import torch
from nets import DIMS
from torch import Tensor

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.blocks.speaker_slots import SpeakerEmbedding
from erc_live.models.state import rows, tensors, transform

TOLERANCE = 1e-5  # in logits, float32


def dialogue(seed: int, length: int, speakers: int = 3, missing: float = 0.3) -> UtteranceBatch:
    """Random utterances. What is missing holds NaN, so that reading it would show; prosody has gaps of its own."""
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(length, 3, generator=draw) >= missing
    text, audio, visual = (
        torch.where(present[:, m, None], torch.randn(length, dim, generator=draw), torch.nan)
        for m, dim in enumerate(DIMS)
    )
    audio = torch.where(torch.rand(length, DIMS[1], generator=draw) < 0.1, torch.nan, audio)
    who = torch.randint(speakers, (length,), generator=draw).tolist()
    number = {speaker: n for n, speaker in enumerate(dict.fromkeys(who))}  # by first appearance
    return UtteranceBatch(text, audio, visual, torch.tensor([number[speaker] for speaker in who]), present)


def forward(model: Any, *dialogues: UtteranceBatch) -> Tensor:
    with torch.no_grad():
        return model(DialogueBatch.pad(dialogues))


def stepped(model: Any, utterances: UtteranceBatch) -> tuple[Tensor, Any]:
    """Logits of every utterance by `step`, and the state after the last."""
    state, logits = model.initial_state(), []
    with torch.no_grad():
        for t in range(len(utterances)):
            row, state = model.step(utterances.rows(slice(t, t + 1)), state)
            logits.append(row)
    return torch.cat(logits), state


def changed(utterances: UtteranceBatch, k: slice, seed: int) -> UtteranceBatch:
    """The same dialogue with everything about the utterances `k` replaced."""
    other = dialogue(seed, len(utterances))
    where = torch.zeros(len(utterances), dtype=torch.bool)
    where[k] = True
    return transform(
        lambda mine, theirs: torch.where(where.view(-1, *[1] * (mine.dim() - 1)), theirs, mine), utterances, other
    )


def step_equals_forward(model: Any, utterances: UtteranceBatch) -> None:
    whole = forward(model, utterances)[0]
    assert whole.isfinite().all()
    torch.testing.assert_close(stepped(model, utterances)[0], whole, atol=TOLERANCE, rtol=TOLERANCE)


def past_is_final(model: Any, utterances: UtteranceBatch, k: int, seed: int) -> None:
    """Changing utterance `k` and all after it changes no earlier answer by a single bit; nor does it matter that there
    are any (to rounding, since tensors of other shapes are summed in another order).
    """
    before, after = forward(model, utterances), forward(model, changed(utterances, slice(k, None), seed))
    assert torch.equal(before[0, :k], after[0, :k])
    grown = forward(model, utterances.rows(slice(k + 1)))[0]
    torch.testing.assert_close(grown, before[0, : k + 1], atol=TOLERANCE, rtol=TOLERANCE)


def beyond_reach_is_forgotten(model: Any, utterances: UtteranceBatch, k: int, seed: int) -> None:
    """Changing all up to utterance `k` changes nothing that lies further on than the declared receptive field.

    Except who spoke, where a network has speaker slots: they remember the order of appearance for longer.
    """
    first = k + 1 + model.receptive_field
    other = changed(utterances, slice(None, k + 1), seed)
    if any(isinstance(part, SpeakerEmbedding) for part in model.modules()):
        other = replace(other, speakers=utterances.speakers)
    before, after = forward(model, utterances), forward(model, other)
    assert torch.equal(before[0, first:], after[0, first:])


def neighbours_do_not_matter(model: Any, utterances: UtteranceBatch, mate: int, fill: float) -> None:
    """Batch mates change nothing, nor does what stands behind the end of a dialogue, and there the answer is 0."""
    batch = DialogueBatch.pad([dialogue(1, mate), utterances, dialogue(2, len(utterances) + 3)])
    behind = torch.arange(batch.speakers.shape[1]) >= batch.lengths[:, None]
    spoilt = replace(
        batch,
        text=batch.text.masked_fill(behind[..., None], fill),
        audio=batch.audio.masked_fill(behind[..., None], fill),
        visual=batch.visual.masked_fill(behind[..., None], fill),
        speakers=batch.speakers.masked_fill(behind, 77),
        present=batch.present.masked_fill(behind[..., None], True),
    )
    with torch.no_grad():
        logits = model(spoilt)[1]
    alone = forward(model, utterances)[0]
    torch.testing.assert_close(logits[: len(utterances)], alone, atol=TOLERANCE, rtol=TOLERANCE)
    assert (logits[len(utterances) :] == 0).all()


def reach(model: Any, length: int, at: int) -> tuple[int, int]:
    """First and last utterance whose vectors have any influence on the answer for `at`, by differentiation."""
    talk = DialogueBatch.pad([dialogue(3, length, missing=0.0)])
    vectors = [v.nan_to_num(0.0).double().requires_grad_() for v in (talk.text, talk.audio, talk.visual)]
    logits = model.double()(replace(talk, text=vectors[0], audio=vectors[1], visual=vectors[2]))
    weights = torch.randn(logits.shape[-1], dtype=logits.dtype, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad((logits[0, at] * weights).sum(), vectors)
    touched = torch.stack([g[0].abs().sum(-1) for g in gradients]).sum(0).nonzero()
    return int(touched.min()), int(touched.max())


def receptive_field_is_as_declared(model: Any, length: int, at: int) -> None:
    declared = at if model.receptive_field is None else model.receptive_field
    assert reach(model, length, at) == (max(0, at - declared), at)


def state_is_a_value_of_constant_size(model: Any, utterances: UtteranceBatch) -> None:
    _, state = stepped(model, utterances)
    assert shapes(state) == shapes(model.initial_state())
    before = transform(torch.clone, state)
    with torch.no_grad():
        provisional = [model.step(dialogue(seed, 1), state)[0] for seed in (1, 2, 1)]
    assert same(state, before)
    assert torch.equal(provisional[0], provisional[2])


def shapes(state: object) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors(state).items()}


def same(state: object, other: object) -> bool:
    """Bit for bit, where NaN equals NaN."""
    return shapes(state) == shapes(other) and all(
        torch.equal(_bits(mine), _bits(theirs))
        for mine, theirs in zip(tensors(state).values(), tensors(other).values(), strict=True)
    )


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(torch.uint8) if tensor.dim() else tensor[None].view(torch.uint8)


def states_are_independent(model: Any, talks: list[UtteranceBatch], joined: Any, latest: UtteranceBatch) -> None:
    """Dialogues of different age step together as they do alone."""
    with torch.no_grad():
        together, after = model.step(latest, joined)
        for i in range(len(talks)):
            alone, left = model.step(latest.rows(slice(i, i + 1)), rows(joined, slice(i, i + 1)))
            torch.testing.assert_close(together[i : i + 1], alone, atol=TOLERANCE, rtol=TOLERANCE)
            for mine, theirs in zip(
                tensors(rows(after, slice(i, i + 1))).values(), tensors(left).values(), strict=True
            ):
                torch.testing.assert_close(mine, theirs, atol=TOLERANCE, rtol=TOLERANCE, equal_nan=True)
