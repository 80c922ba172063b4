import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.batch import DialogueBatch, UtteranceBatch, pack, unpack


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), spare=st.integers(0, 3))
def test_unpack_is_the_inverse_of_pack(lengths: list[int], spare: int) -> None:
    counts = torch.tensor(lengths)
    steps = max(lengths) + spare
    nodes = torch.randn(sum(lengths), 2)
    padded = unpack(nodes, counts, steps)
    assert padded.shape == (len(lengths), steps, 2)
    assert torch.equal(pack(padded, counts), nodes)
    assert torch.equal(padded[-1, : lengths[-1]], nodes[-lengths[-1] :])
    assert not padded[-1, lengths[-1] :].any()


def test_padded_dialogues_give_back_their_utterances() -> None:
    talks = [
        UtteranceBatch(torch.randn(n, 4), torch.randn(n, 8), torch.zeros(n, 0), torch.arange(n), torch.rand(n, 3) < 0.5)
        for n in (2, 5)
    ]
    batch = DialogueBatch.pad(talks)
    assert batch.text.shape == (2, 5, 4)
    assert batch.visual.shape == (2, 5, 0)
    nodes = batch.utterances()
    assert torch.equal(nodes.rows(slice(2, 7)).text, talks[1].text)
    assert torch.equal(nodes.present, torch.cat([talk.present for talk in talks]))
    assert torch.equal(nodes.speakers, torch.cat([talk.speakers for talk in talks]))


def test_a_live_utterance_marks_what_is_missing() -> None:
    live = UtteranceBatch.of(torch.ones(3, dtype=torch.float64), None, torch.ones(2), speaker=4)
    assert live.present.tolist() == [[True, False, True]]
    assert live.text.dtype == torch.float32
    assert [tuple(v.shape) for v in live.vectors()] == [(1, 3), (1, 0), (1, 2)]
    assert live.speakers.tolist() == [4]


@pytest.mark.parametrize("dialogues", [[], [0], [2, 0]])
def test_an_empty_dialogue_is_refused(dialogues: list[int]) -> None:
    whole = UtteranceBatch.of(torch.zeros(3), None, None, 0)
    with pytest.raises(ValueError, match="every dialogue needs an utterance"):
        DialogueBatch.pad([whole.rows(torch.zeros(n, dtype=torch.int64)) for n in dialogues])
