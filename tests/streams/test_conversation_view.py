"""What a recorded session says at its end: each utterance once, and what people added beside what was estimated."""

import numpy as np
from bundles import SECOND, die
from examples import LABELS, event, hello, session_end
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.conversation_view import conversation_view, effective
from erc_live.streams.messages import AudioChunk, Gap, Recogniser, Relabel, UtteranceFeatures
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest, open_session


def label(utterance: str, name: str, author: str = "Ann", wall_ns: int = 0) -> Annotation:
    return Annotation(
        session="s1", t_ns=0, wall_ns=wall_ns, author=author, kind="label", utterance=utterance, label=name
    )


def name(speaker: int, text: str, author: str = "Ann", wall_ns: int = 0) -> Annotation:
    return Annotation(session="s1", t_ns=0, wall_ns=wall_ns, author=author, kind="name", speaker=speaker, text=text)


def view_of(folder, *messages, cut=False):
    sources = [RecordedSource(name="mic", kind="audio", speaker="")]
    recorder = Recorder(folder, new_manifest("s1", 0, 1_700_000_000 * SECOND, sources, {}))
    for message in (hello(), *messages):
        recorder.write(message)
    die(recorder) if cut else recorder.close()
    return conversation_view(open_session(folder))


def voiced(utterance: str, voice: str) -> UtteranceFeatures:
    return UtteranceFeatures(
        dialogue="d", utterance=utterance, source="mic", speaker_name=None, text="", engine=Recogniser(name="e"),
        t_start_ns=0, t_end_ns=1, t_closed_ns=1, t_text_ns=1, t_features_ns=1, face_coverage=None, final=True,
        revision=0, words=(), text_confidence=None, skipped=False, closed_by="silence", voice=voice,
    )  # fmt: skip


def test_each_utterance_is_there_once_as_it_was_at_last(tmp_path):
    view = view_of(
        tmp_path / "s",
        event(3),
        event(1, final=False, revision=0, text="we"),
        event(1, revision=1, text="well"),
        event(1, revision=2, text="well then", speaker=4, speaker_name="Ben"),
        event(1, revision=1, text="late"),
        event(5, final=False),
        session_end(2),
    )
    assert [(each.event.utterance, each.event.text, each.speaker_name) for each in view.utterances] == [
        ("u1", "well then", "Ben"),
        ("u3", "well then", "Ada"),
    ]
    assert view.speakers == {("d", 4): "Ben", ("d", 0): "Ada"}
    assert view.end.utterances == 2


def test_what_people_say_stands_beside_the_estimate(tmp_path):
    view = view_of(
        tmp_path / "s",
        event(0),
        event(1),
        event(2, speaker=1, speaker_name=""),
        label("u0", "anger", "Ann", 5),
        label("u0", "fear", "Ann", 2),  # earlier, though it stands later
        label("u1", "bored", "Ann", 1),
        label("u1", "sadness", "Ben", 2),
        label("u1", "bored", "Eva", 3),
        label("nobody", "anger"),
        name(0, "Zoë"),
    )
    first, second, third = view.utterances
    assert (first.event.label, first.label_annotated, first.authors) == ("joy", "anger", ("Ann",))
    assert (second.label_annotated, second.authors) == ("bored", ("Ann", "Eva"))
    assert third.label_annotated is None
    assert [each.speaker_name for each in view.utterances] == ["Zoë", "Zoë", "Speaker 2"]
    assert first.event.speaker_name == "Ada"
    assert view.labels == (*LABELS, "bored")


def test_of_several_labels_as_many_people_give_the_latest_counts(tmp_path):
    view = view_of(tmp_path / "s", event(0), label("u0", "fear", "Ann", 1), label("u0", "anger", "Ben", 2))
    assert (view.utterances[0].label_annotated, view.utterances[0].authors) == ("anger", ("Ben",))


def test_a_crash_between_a_correction_and_what_follows_loses_no_correction(tmp_path):
    moved = Relabel(t_ns=9, dialogue="d", moved=("u1",), voice="mic#2", speaker_name=None, cause="merge")
    other = event(0, speaker=2, speaker_name="Speaker 3")
    view = view_of(tmp_path / "s", voiced("u0", "mic#2"), voiced("u1", "mic#1"), other, event(1), moved, cut=True)
    assert [each.event.speaker for each in view.utterances] == [2, 2]
    named = Relabel(t_ns=9, dialogue="d", moved=("u1",), voice="v", speaker_name="Speaker 3", cause="correction")
    assert [each.event.speaker for each in view_of(tmp_path / "t", other, event(1), named, cut=True).utterances] == [
        2,
        2,
    ]
    strange = Relabel(t_ns=9, dialogue="d", moved=("u1",), voice="v", speaker_name=None, cause="merge")
    assert view_of(tmp_path / "u", other, event(1), strange, cut=True).utterances[1].event.speaker == 0


def test_the_extent_holds_everything(tmp_path):
    view = view_of(
        tmp_path / "s",
        AudioChunk(source="mic", t_ns=-2 * SECOND, pcm=np.zeros(512, np.int16)),
        event(7),
        Gap(source="mic", t_start_ns=5, t_end_ns=9, lost=1, cause="device"),
        Gap(source="mic", t_start_ns=1, t_end_ns=2, lost=1, cause="bus"),
        Alert(session="s1", t_ns=4, rule="r", on=True, text="loud"),
        Annotation(session="s1", t_ns=3, wall_ns=0, author="Ann", kind="mark", text="here"),
    )
    assert (view.start_ns, view.end_ns) == (-2 * SECOND, 7_500_000_000)
    assert view.start_wall_ns == view.wall_ns(view.start_ns) == (1_700_000_000 - 2) * SECOND
    assert view.wall_ns(0) == 1_700_000_000 * SECOND
    assert [gap.t_start_ns for gap in view.gaps] == [1, 5]
    assert ([alert.text for alert in view.alerts], [mark.text for mark in view.marks]) == (["loud"], ["here"])


def test_a_session_without_events_is_a_view_too(tmp_path):
    sources = [RecordedSource(name="mic", kind="audio", speaker="")]
    Recorder(tmp_path / "s", new_manifest("s1", 5, 5, sources, {})).close()
    view = conversation_view(open_session(tmp_path / "s"))
    assert (view.utterances, view.start_ns, view.end_ns, view.hello, view.end) == ((), 5, 5, None, None)


_made = st.builds(
    lambda kind, author, about, wall_ns: (
        label(about, "joy", author, wall_ns) if kind else name(int(about[1]), "x", author, wall_ns)
    ),
    st.booleans(),
    st.sampled_from("AB"),
    st.sampled_from(["u0", "u1", "u2"]),
    st.integers(0, 5),
)


@given(st.lists(_made, max_size=20))
def test_of_one_author_about_one_thing_the_last_counts(made):
    counting = effective(made)

    def key(each):
        return each.kind, each.author, each.utterance, each.speaker

    assert len({key(each) for each in counting}) == len(counting) == len({key(each) for each in made})
    for each in counting:
        assert each.wall_ns == max(other.wall_ns for other in made if key(other) == key(each))
