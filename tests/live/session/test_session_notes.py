"""Whatever a program may ask to be noted, it is refused in a line or can be sent on the bus, published and recorded."""

from examples import event
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from erc_live.live.session.session_notes import SessionNotes, annotation_of
from erc_live.streams import codec
from erc_live.streams.clock import ManualClock
from erc_live.streams.control_channel import LabelRequest, MarkRequest, NameRequest, decode

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
REQUESTS = st.one_of(
    st.builds(MarkRequest, text=ANY_TEXT, author=ANY_TEXT, t_ns=st.none() | INTEGERS),
    st.builds(NameRequest, text=ANY_TEXT, speaker=st.integers(0, 2**70) | st.integers(0, 3)),
    st.builds(LabelRequest, utterance=st.sampled_from(["u0", "u1", "u7"]) | ANY_TEXT, label=ANY_TEXT),
)


def notes() -> SessionNotes:
    made = SessionNotes("s1")
    for seq in range(3):
        made.named(event(seq, speaker=seq % 2, speaker_name=f"Speaker {seq % 2 + 1}"))
    return made


@given(REQUESTS)
def test_what_is_taken_can_be_sent_and_what_is_not_says_why(request) -> None:
    current = notes()
    annotation = annotation_of(decode(json.encode(request)), ManualClock(5))
    if why_not := current.check(annotation):
        assert "\n" not in why_not
        return
    noted = current.stamped(annotation)
    assert codec.from_json(codec.to_json(noted)) == noted
    assert codec.decode([b"topic", *codec.encode(noted)][1:]) == noted
    assert noted.session == "s1"


def test_a_name_is_given_to_what_follows_alone() -> None:
    current = notes()
    before = current.named(event(3, speaker=1, speaker_name="Speaker 2"))
    current.stamped(annotation_of(NameRequest(speaker=1, text=" Ann  Lee "), ManualClock(5)))
    after = current.named(event(4, speaker=1, speaker_name="Speaker 2"))
    other = current.named(event(5, speaker=0, speaker_name="Speaker 1"))
    assert [e.speaker_name for e in (before, after, other)] == ["Speaker 2", "Ann Lee", "Speaker 1"]
    refusal = current.check(annotation_of(NameRequest(speaker=8, text="x"), None))
    assert refusal == "there is no such speaker: those who have spoken are, in this order, Speaker 1, Ann Lee"
