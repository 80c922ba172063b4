"""Whose face belongs to a voice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.vision.active_speaker import _PLACES, ActiveSpeaker
from erc_live.live.vision.expression import Appearance


def seen(
    x: float, speaking: float | None, *, width: float = 0.1, coverage: float = 1.0, camera: str = "camera-0"
) -> Appearance:
    return Appearance(camera, np.zeros(8, np.float32), (x, 0.3), width, speaking, coverage)


def test_two_people_talk_in_turn():
    room = ActiveSpeaker()
    for turn in range(6):
        ann, ben = seen(0.2, 0.7 * (turn % 2 == 0)), seen(0.7, 0.7 * (turn % 2 == 1))
        assert room.choose("AB"[turn % 2], [ann, ben]) is (ann, ben)[turn % 2]


def test_where_somebody_was_seen_is_remembered_when_the_mouths_do_not_tell():
    room = ActiveSpeaker()
    room.choose("A", [seen(0.2, 0.8), seen(0.7, 0.1)])
    room.choose("B", [seen(0.2, 0.1), seen(0.7, 0.8)])
    ann, ben = seen(0.23, 0.5), seen(0.68, 0.5)
    assert room.choose("A", [ann, ben]) is ann
    assert room.choose("B", [ann, ben]) is ben
    assert room.choose("C", [ann, ben]) is None


def test_people_who_move_are_followed():
    room = ActiveSpeaker()
    room.choose("A", [seen(0.2, 0.8), seen(0.9, 0.1)])
    for x in np.arange(0.2, 0.7, 0.1):
        ann = seen(float(x), None)
        assert room.choose("A", [ann, seen(0.9, None)]) is ann


def test_somebody_who_is_turned_away_has_no_face_and_is_not_given_another():
    room = ActiveSpeaker()
    ann, ben = seen(0.2, 0.8), seen(0.7, 0.1)
    assert room.choose("A", [ann, ben]) is ann
    listening = seen(0.2, 0.1)
    assert room.choose("B", [listening]) is None, "there another voice was seen"
    back = seen(0.7, 0.6)
    assert room.choose("B", [listening, back]) is back


def test_when_one_face_leaves_the_other_stays_itself():
    room = ActiveSpeaker()
    room.choose("A", [seen(0.2, 0.8), seen(0.7, 0.1)])
    room.choose("B", [seen(0.2, 0.1), seen(0.7, 0.8)])
    ann = seen(0.2, 0.3)
    assert room.choose("A", [ann]) is ann
    assert room.choose("B", [ann]) is None
    speaks = seen(0.2, 0.9)
    assert room.choose("B", [speaks]) is speaks, "she is seen to say it"


def test_the_only_face_is_taken_and_not_remembered():
    room = ActiveSpeaker()
    ann = seen(0.2, 0.1)
    assert room.choose("B", [ann]) is ann
    assert room.choose("A", [ann]) is ann
    assert room.choose("A", []) is None


def test_bystanders_and_chance_hits_do_not_make_a_crowd():
    near = seen(0.4, 0.2)
    assert ActiveSpeaker().choose("A", [near, seen(0.9, 0.3, width=0.03)]) is near
    assert ActiveSpeaker().choose("A", [near, seen(0.9, 1.0, coverage=0.1)]) is near
    assert ActiveSpeaker().choose("A", [near, seen(0.9, 0.3)]) is None


def test_a_small_face_may_speak():
    far = seen(0.9, 0.8, width=0.03)
    assert ActiveSpeaker().choose("A", [seen(0.4, 0.2), far]) is far


def test_cameras_are_rooms_of_their_own():
    room = ActiveSpeaker()
    front, side = seen(0.5, 0.7, camera="camera-0"), seen(0.3, 0.65, camera="camera-1")
    assert room.choose("A", [side, front]) is front, "both see the same person"
    other = seen(0.5, None, camera="camera-1")
    assert room.choose("A", [other, seen(0.9, None, camera="camera-1")]) is None, "a place in one is none in the other"


appearances = st.lists(
    st.builds(
        seen,
        st.floats(0, 1),
        st.none() | st.floats(0, 1),
        width=st.floats(0.01, 0.5),
        coverage=st.floats(0.01, 1),
        camera=st.sampled_from(["camera-0", "camera-1"]),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(st.sampled_from("ABC"), appearances), max_size=12))
def test_the_choice_is_one_of_the_faces_and_the_same_again(utterances):
    rooms = ActiveSpeaker(), ActiveSpeaker()
    for voice, faces in utterances:
        first, again = (room.choose(voice, faces) for room in rooms)
        assert first is again
        assert first is None or any(first is face for face in faces)


def test_memory_is_bounded():
    room = ActiveSpeaker()
    for number in range(3 * _PLACES):
        room.choose(f"voice {number}", [seen(0.2, 0.9)])
    assert len(room._places) == _PLACES
