"""Whose face belongs to a voice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.requests import Appearance
from erc_live.live.vision.active_speaker import _PLACES, LEAST_COVERAGE, ActiveSpeaker

TALKS, RESTS, LAUGHS = 0.10, 0.02, 0.15  # motion of the mouth


def seen(
    x: float,
    motion: float | None = None,
    synchrony: float | None = None,
    *,
    width: float = 0.1,
    coverage: float = 1.0,
    camera: str = "camera-0",
) -> Appearance:
    return Appearance(camera, np.zeros(8, np.float32), (x, 0.3), width, motion, synchrony, coverage)


class Room(ActiveSpeaker):
    """Every choice is final."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def say(self, voice: str, *faces: Appearance) -> Appearance | None:
        self._count += 1
        return self.choose(voice, faces, f"u{self._count}")


def test_two_people_talk_in_turn() -> None:
    room = Room()
    for turn in range(6):
        ann, ben = (seen(x, TALKS if turn % 2 == mine else RESTS) for x, mine in ((0.2, 0), (0.7, 1)))
        assert room.say("AB"[turn % 2], ann, ben) is (ann, ben)[turn % 2]


def test_who_moves_more_but_out_of_time_is_not_chosen() -> None:
    speaks, laughs = seen(0.2, TALKS, 2.5), seen(0.7, LAUGHS, -1.0)
    assert Room().say("A", speaks, laughs) is speaks
    assert Room().say("A", seen(0.2, TALKS, 0.3), laughs) is None, "neither is clear"


def test_two_mouths_at_rest_say_nothing_however_much_more_one_of_them_moves() -> None:
    assert Room().say("A", seen(0.2, RESTS), seen(0.7, RESTS / 4)) is None


def test_where_somebody_was_seen_is_remembered_when_the_mouths_do_not_tell() -> None:
    room = Room()
    room.say("A", seen(0.2, TALKS), seen(0.7, RESTS))
    room.say("B", seen(0.2, RESTS), seen(0.7, TALKS))
    ann, ben = seen(0.23), seen(0.68)
    assert room.say("A", ann, ben) is ann
    assert room.say("B", ann, ben) is ben
    assert room.say("C", ann, ben) is None


def test_memory_changes_its_mind() -> None:
    """The listener laughed twice; then the speaker speaks clearly, and is chosen then and afterwards."""
    room = Room()
    for _ in range(2):
        assert room.say("A", speaker := seen(0.2, RESTS), listener := seen(0.7, LAUGHS)) is listener
    speaker, listener = seen(0.2, TALKS, 2.0), seen(0.7, RESTS, -0.5)
    assert room.say("A", speaker, listener) is speaker
    room.say("A", speaker, listener)
    speaker, listener = seen(0.2), seen(0.7)
    assert room.say("A", speaker, listener) is speaker


def test_evidence_goes_with_utterances_to_the_voice_that_said_them() -> None:
    """B was taken for A, and so is seen in two places; corrected, each is in one."""
    room = ActiveSpeaker()
    first = seen(0.2, TALKS), seen(0.7, RESTS)
    second = seen(0.2, RESTS), seen(0.7, TALKS)
    unclear = seen(0.2, 0.05), seen(0.7, 0.05)
    room.choose("A", first, "u1")
    room.choose("A", second, "u2")
    assert room.choose("A", unclear, "u3") is None
    again = room.relabel(["u2"], "B")
    assert again == {"u1": first[0], "u2": second[1], "u3": unclear[0]}
    assert room.choose("A", unclear) is unclear[0]
    assert room.choose("B", unclear) is unclear[1]


def test_what_is_still_being_said_leaves_no_trace() -> None:
    room = ActiveSpeaker()
    assert room.choose("A", [ann := seen(0.2, TALKS), seen(0.7, RESTS)]) is ann
    assert room.choose("A", [seen(0.2), seen(0.7)]) is None


def test_people_who_move_are_followed() -> None:
    room = Room()
    for _ in range(3):
        room.say("A", seen(0.2, TALKS), seen(0.9, RESTS))
    for x in np.arange(0.2, 0.5, 0.1):
        assert room.say("A", ann := seen(float(x)), seen(0.9)) is ann


def test_somebody_who_is_turned_away_has_no_face_and_is_not_given_another() -> None:
    room = Room()
    room.say("A", seen(0.2, TALKS), seen(0.7, RESTS))
    listening = seen(0.2, RESTS)
    assert room.say("B", listening) is None, "there another voice was seen"
    assert room.say("B", listening, back := seen(0.7, TALKS)) is back


def test_when_one_face_leaves_the_other_stays_itself() -> None:
    room = Room()
    room.say("A", seen(0.2, TALKS), seen(0.7, RESTS))
    room.say("B", seen(0.2, RESTS), seen(0.7, TALKS))
    assert room.say("A", ann := seen(0.2, 0.04)) is ann
    assert room.say("B", seen(0.2, 0.02)) is None
    assert room.say("B", speaks := seen(0.2, TALKS, 2.0)) is speaks, "she is seen to say it"


def test_the_only_face_is_taken_and_claimed_by_nobody() -> None:
    room = Room()
    ann = seen(0.2)
    assert room.say("B", ann) is ann
    assert room.say("A", ann) is ann
    assert room.say("A") is None


def test_no_face_that_few_of_the_pictures_show_whatever_speaks_for_it() -> None:
    seldom = LEAST_COVERAGE - 0.01
    room = Room()
    assert room.say("A", seen(0.2, TALKS, 3.0, coverage=seldom)) is None, "neither as the only one"
    assert room.say("A", seen(0.2, TALKS, 3.0, coverage=seldom), seen(0.7, RESTS), seen(0.9, RESTS)) is None
    room.say("A", seen(0.2, TALKS), seen(0.7, RESTS))
    assert room.say("A", seen(0.2, coverage=seldom), seen(0.7), seen(0.9)) is None, "nor where it was before"
    assert Room().say("A", enough := seen(0.2, coverage=LEAST_COVERAGE)) is enough


def test_bystanders_and_chance_hits_do_not_make_a_crowd() -> None:
    near = seen(0.4, RESTS)
    assert Room().say("A", near, seen(0.9, RESTS, width=0.03)) is near
    assert Room().say("A", near, seen(0.9, LAUGHS, coverage=0.1)) is near
    assert Room().say("A", near, seen(0.9, RESTS)) is None


def test_a_small_face_may_speak() -> None:
    far = seen(0.9, TALKS, width=0.03)
    assert Room().say("A", seen(0.4, RESTS), far) is far


def test_cameras_are_rooms_of_their_own() -> None:
    room = Room()
    front, side = seen(0.5, TALKS, camera="camera-0"), seen(0.3, 0.9 * TALKS, camera="camera-1")
    assert room.say("A", side, front) is front, "both see the same person"
    assert room.say("A", seen(0.5, camera="camera-2"), seen(0.9, camera="camera-2")) is None


appearances = st.lists(
    st.builds(
        seen,
        st.floats(0, 1),
        st.none() | st.floats(0, 1),
        st.none() | st.floats(-6, 6),
        width=st.floats(0.01, 0.5),
        coverage=st.floats(0.01, 1),
        camera=st.sampled_from(["camera-0", "camera-1"]),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(st.sampled_from("ABC"), appearances), max_size=12))
def test_the_choice_is_one_of_the_faces_and_the_same_again(utterances: list[tuple[str, list[Appearance]]]) -> None:
    rooms = Room(), Room()
    chosen = {}
    for number, (voice, faces) in enumerate(utterances):
        first, again = (room.say(voice, *faces) for room in rooms)
        assert first is again
        assert first is None or any(first is face for face in faces)
        assert first is None or first.coverage >= LEAST_COVERAGE
        chosen[f"u{number + 1}"] = first
    assert rooms[0].relabel([], "A") == chosen, "what nobody corrects stays"


def test_memory_is_bounded() -> None:
    room = Room()
    for number in range(3 * _PLACES):
        room.say("A", seen(float(number), TALKS, width=0.01))
    assert len(room._places) == _PLACES
