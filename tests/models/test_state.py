"""States are values that can be picked, joined, moved and kept; `Replay` is the network over the last utterances."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from erc_live.models import state as states
from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.errors import StateError
from erc_live.models.state import Replay, join, nbytes, rows, tensors, to_device, transform


@dataclass(frozen=True)
class Memory:
    values: Tensor
    count: Tensor


@dataclass(frozen=True)
class Nested:
    graph: Memory
    total: Tensor


def nested(dialogues: int = 3) -> Nested:
    return Nested(Memory(torch.randn(dialogues, 2, 4), torch.arange(dialogues)), torch.rand(dialogues, 5))


def test_every_tensor_has_a_dotted_name() -> None:
    assert list(tensors(nested())) == ["graph.values", "graph.count", "total"]


def test_joining_picked_rows_gives_the_state_again() -> None:
    state = nested()
    again = join([rows(state, slice(0, 1)), rows(state, torch.tensor([1, 2]))])
    assert isinstance(again.graph, Memory)
    assert all(torch.equal(a, b) for a, b in zip(tensors(state).values(), tensors(again).values(), strict=True))


def test_bytes_and_devices() -> None:
    state = nested(1)
    assert nbytes(state) == 4 * 8 + 8 + 4 * 5
    assert {tensor.device.type for tensor in tensors(to_device(state, "meta")).values()} == {"meta"}


def test_a_saved_state_is_read_again(tmp_path: Path) -> None:
    state, path = nested(), tmp_path / "talk.safetensors"
    states.save(path, state, "abc")
    again = states.load(path, nested(1), "abc")
    assert all(torch.equal(a, b) for a, b in zip(tensors(state).values(), tensors(again).values(), strict=True))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read as the state of a dialogue"),
        (lambda path: path.write_text(json.dumps({})), "cannot be read as the state of a dialogue"),
        (lambda path: save_file({"total": torch.zeros(1)}, path), "is not of format erc.state/1"),
        (lambda path: states.save(path, nested(), "other"), "was made by model other, this is abc"),
        (lambda path: states.save(path, nested().graph, "abc"), r"another network \(it holds count, values, not"),
        (
            lambda path: states.save(path, replace(nested(), total=torch.zeros(3, 6)), "abc"),
            r"total is \(6,\) torch.float32, not \(5,\) torch.float32",
        ),
    ],
)
def test_what_is_not_a_state_of_this_network_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "talk.safetensors"
    states.save(path, nested(), "abc")
    spoil(path)
    with pytest.raises(StateError, match=message) as caught:
        states.load(path, nested(), "abc")
    assert "\n" not in str(caught.value)


class Everything(nn.Module):
    """Two-sided: every answer tells the sum of all first text numbers, the speaker, and the number of utterances."""

    config = SimpleNamespace(classes=3, text_dim=2, audio_dim=1, visual_dim=0)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, batch: DialogueBatch) -> Tensor:
        inside = torch.arange(batch.speakers.shape[1]) < batch.lengths[:, None]
        heard = torch.where(inside & batch.present[..., 0], batch.text[..., 0], 0.0).sum(1, keepdim=True)
        columns = (heard.expand_as(inside), batch.speakers, batch.lengths[:, None].expand_as(inside))
        return torch.stack([column.float() for column in columns], -1) * self.scale * inside[..., None]


def talk(numbers: list[float], speakers: list[int]) -> UtteranceBatch:
    count = len(numbers)
    text = torch.tensor(numbers)[:, None].expand(-1, 2)
    present = torch.tensor([[True, False, False]]).expand(count, -1)
    return UtteranceBatch(
        text, torch.full((count, 1), torch.nan), torch.zeros(count, 0), torch.tensor(speakers), present
    )


def stepped(model: Replay, utterances: UtteranceBatch) -> tuple[Tensor, DialogueBatch]:
    state, logits = model.initial_state(), []
    with torch.no_grad():
        for t in range(len(utterances)):
            row, state = model.step(utterances.rows(slice(t, t + 1)), state)
            logits.append(row)
    return torch.cat(logits), state


def test_replay_hears_the_last_utterances_and_numbers_their_speakers_anew() -> None:
    said, state = stepped(Replay(Everything(), window=3), talk([1.0, 2.0, 4.0, 8.0, 16.0], [0, 1, 2, 1, 3]))
    assert said.tolist() == [[1, 0, 1], [3, 1, 2], [7, 2, 3], [14, 0, 3], [28, 2, 3]]
    assert state.text[0, :, 0].tolist() == [4, 8, 16]
    assert state.speakers.tolist() == [[2, 1, 3]]
    assert state.lengths.tolist() == [3]


@settings(deadline=None, max_examples=30)
@given(
    spoken=st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 4)), min_size=1, max_size=30),
    window=st.integers(1, 8),
)
def test_replay_steps_as_it_looks_back(spoken: list[tuple[int, int]], window: int) -> None:
    model = Replay(Everything(), window)
    utterances = talk([float(number) for number, _ in spoken], [speaker for _, speaker in spoken])
    with torch.no_grad():
        whole = model(DialogueBatch.pad([utterances, utterances.rows(slice(0, 1))]))
    assert torch.equal(whole[0], stepped(model, utterances)[0])
    assert torch.equal(whole[1, 0], whole[0, 0])
    assert (whole[1, 1:] == 0).all()


def test_replay_of_dialogues_of_different_age() -> None:
    model = Replay(Everything(), window=2)
    _, old = stepped(model, talk([1.0, 2.0, 3.0], [0, 0, 1]))
    both = join([old, model.initial_state()])
    said, after = model.step(talk([10.0, 20.0], [0, 0]), both)
    assert said.tolist() == [[13, 1, 2], [20, 0, 1]]
    assert after.lengths.tolist() == [2, 1]


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        Replay(Everything(), 0)


def test_a_modality_without_width_gets_its_width_and_stays_absent() -> None:
    wide = UtteranceBatch.of(torch.ones(2), None, None, speaker=1).widened((2, 8, 5))
    assert (wide.audio.shape, wide.visual.shape) == ((1, 8), (1, 5))
    assert wide.present.tolist() == [[True, False, False]]
    with pytest.raises(ValueError, match="text vectors have width 2, the model takes 3"):
        wide.widened((3, 8, 5))


def test_transform_keeps_the_given_states() -> None:
    state = nested()
    doubled = transform(lambda tensor: tensor * 2, state)
    assert torch.equal(doubled.total, state.total * 2)
