import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.models.blocks.speaker_slots import SpeakerEmbedding


def slots_of(speakers: list[int], slots: int) -> list[int]:
    """Which slot each utterance got, read from an embedding whose vectors are the numbers of the slots."""
    embedding = SpeakerEmbedding(slots, 1)
    with torch.no_grad():
        embedding.vectors.weight.copy_(torch.arange(float(slots))[:, None])
    return [int(number) for number in embedding(torch.tensor([speakers]))[0, :, 0]]


def test_slots_fill_by_first_appearance_whatever_the_numbers() -> None:
    assert slots_of([7, 7, 3, 7, 0], slots=4) == [0, 0, 1, 0, 2]


def test_a_speaker_too_many_gets_the_slot_of_the_one_silent_for_longest() -> None:
    assert slots_of([0, 1, 0, 2, 0, 1], slots=2) == [0, 1, 0, 1, 0, 1]
    assert slots_of([0, 1, 2, 0], slots=2) == [0, 1, 0, 1]


@settings(max_examples=30, deadline=None)
@given(talk=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40), slots=st.integers(1, 4))
def test_steps_are_the_rows_and_dialogues_do_not_meet(talk: list[tuple[int, int]], slots: int) -> None:
    embedding, speakers = SpeakerEmbedding(slots, 3), torch.tensor(talk).T
    whole, state = embedding(speakers), embedding.initial_state(2)
    for t, now in enumerate(speakers.unbind(1)):
        vectors, after = embedding.step(now, state)
        assert after.shape == state.shape
        assert torch.equal(vectors, whole[:, t])
        state = after
    assert torch.equal(embedding(speakers[1:])[0], whole[1])
