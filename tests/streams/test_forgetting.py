"""After somebody is taken out of a bundle, nothing in it tells of them, and all that others said is there as before."""

import shutil

import msgspec
import numpy as np
import pytest
from bundles import SECOND, picture
from examples import LABELS, event, hello, same, session_end

from erc_live.streams import forgetting
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.bundle_losses import missing
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import (
    AudioChunk,
    EmotionEvent,
    Gap,
    Hello,
    Recogniser,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    Word,
)
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import RecordedSource, new_manifest, open_session

NAME, OTHER = "Zenobia", "Ben"
# (source, speaker, start and end in s, words): the shared microphone has both, mic-1 is Zenobia's, mic-2 Ben's
TALK = (
    ("mic-0", OTHER, 1, 3, "morning all"),
    ("mic-0", NAME, 5, 7, "my secret plan"),
    ("mic-1", NAME, 9, 11, "quarterly numbers"),
    ("mic-2", OTHER, 13, 15, f"thank you {NAME}, well said"),
)


def said(source, speaker, start, end, text, n):
    times = {"t_start_ns": start * SECOND, "t_end_ns": end * SECOND, "t_closed_ns": end * SECOND}
    features = UtteranceFeatures(
        dialogue="main", utterance=f"{source}:{n}", source=source, speaker_name=speaker, text=text,
        engine=Recogniser(name="e"), face_coverage=None, final=True, closed_by="silence", t_text_ns=0, t_features_ns=0,
        revision=0, text_confidence=None, skipped=False,
        words=tuple(Word(text=word, t_start_ns=0, t_end_ns=1) for word in text.split()),
        vectors={"text": np.full(4, n, np.float32), "audio": np.zeros(15, np.float32)},
        encoders={"text": "t", "audio": "a"}, **times,
    )  # fmt: skip
    label = LABELS[n]
    return features, event(
        n, utterance=f"{source}:{n}", source=source, speaker_name=speaker, text=text, label=label, **times
    )


def make(folder):
    sources = [RecordedSource(name=f"mic-{n}", kind="audio", speaker=who) for n, who in enumerate(("", NAME, OTHER))]
    sources.append(RecordedSource(name="camera-0", kind="video"))
    config = {"speakers": {"known": [NAME, OTHER]}}
    with Recorder(folder, new_manifest("s1", 0, SECOND, sources, config)) as recorder:
        recorder.write(hello(speakers=(NAME, OTHER)))
        for n in range(20 * 32):
            for source in ("mic-0", "mic-1", "mic-2"):
                recorder.write(AudioChunk(source=source, t_ns=n * SECOND // 32, pcm=np.full(500, n, np.int16)))
            if n % 4 == 0:
                recorder.write(picture("camera-0", n * SECOND // 32))
        for n, turn in enumerate(TALK):
            for message in said(*turn, n):
                recorder.write(message)
        recorder.write(
            Relabel(t_ns=0, dialogue="main", moved=("mic-0:1", "mic-0:0"), voice="v", speaker_name=OTHER, cause="merge")
        )
        recorder.write(
            Relabel(t_ns=1, dialogue="main", moved=("mic-0:0",), voice="v", speaker_name=NAME, cause="merge")
        )
        recorder.write(SourceEnd(source="mic-1", t_ns=20 * SECOND, reason="stopped", note=f"{NAME} was quiet"))
        recorder.write(session_end())
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return make(tmp_path_factory.mktemp("before") / "s")


@pytest.fixture
def bundle(before, tmp_path):
    shutil.copytree(before, tmp_path / "s")
    return tmp_path / "s"


def test_nothing_of_a_person_is_left(before, bundle):
    forgetting.forget(bundle, NAME)
    assert verify(bundle) == []
    everything = b"".join(file.read_bytes() for file in bundle.rglob("*") if file.is_file())
    for words in (NAME, "secret", "quarterly", "plan", "numbers"):
        assert words.encode() not in everything
    assert b"thank you [removed], well said" in everything
    assert forgetting.trace(open_session(bundle), NAME) is None
    assert [file.name for file in bundle.parent.iterdir()] == ["s"]
    assert {file.stat().st_mode & 0o077 for file in (bundle, *bundle.rglob("*"))} == {0}


def test_their_sound_is_cut_out_and_that_is_told(before, bundle):
    forgetting.forget(bundle, NAME)
    session = open_session(bundle)
    assert {name for _, name in session.tracks()} == {"mic-0", "mic-2", "camera-0"}
    gaps = {(gap.source, gap.t_start_ns, gap.t_end_ns) for gap in session.gaps if gap.cause == "forgotten"}
    margin = SECOND // 4
    spans = [(start * SECOND - margin, end * SECOND + margin) for start, end in ((5, 7), (9, 11))]
    assert gaps == {
        ("mic-0", *spans[0]),
        ("mic-1", 0, 20 * SECOND),
        ("camera-0", *spans[0]),
        ("camera-0", *spans[1]),
    }
    assert "nothing of mic-1 there" in missing(bundle)
    assert "1 stretch of mic-0 removed at somebody's wish" in missing(bundle)


def test_what_others_said_is_there_as_before(before, bundle):
    forgetting.forget(bundle, NAME)
    old, new = ([*bundle_messages(path, 0)] for path in (before, bundle))

    def stays(message):
        start_ns, end_ns = message.t_ns, getattr(message, "t_end_ns", message.t_ns + 1)
        spans = [(4.75, 7.25)] if message.source == "mic-0" else [(4.75, 7.25), (8.75, 11.25)]
        cut = any(a * SECOND < end_ns and start_ns < b * SECOND for a, b in spans)
        return message.source != "mic-1" and not (cut and message.source in ("mic-0", "camera-0"))

    media = [[m for m in each if isinstance(m, AudioChunk | VideoFrame)] for each in (old, new)]
    expected = [m for m in media[0] if stays(m)]
    assert len(expected) == len(media[1])
    assert all(map(same, expected, media[1]))
    session = open_session(bundle)
    assert [f.utterance for f in session.features] == ["mic-0:0", "mic-2:3"]
    assert [[*f.vectors] for f in session.features] == [["text", "audio"], ["audio"]]
    assert [e.utterance for e in session.events if isinstance(e, EmotionEvent)] == ["mic-0:0", "mic-2:3"]
    assert [e.moved for e in session.events if isinstance(e, Relabel)] == [("mic-0:0",)]
    assert next(e for e in session.events if isinstance(e, Hello)).speakers == (OTHER,)
    assert session.manifest.config == {"speakers": {"known": ["[removed]", OTHER]}}
    assert [s.speaker for s in session.manifest.sources] == ["", "", OTHER, ""]


def test_what_is_removed_and_what_is_not_is_said(before):
    found = forgetting.trace(open_session(before), NAME)
    assert found is not None
    assert found.removed == [
        "all sound of mic-1, which is theirs",
        "2 s of the sound of mic-0",
        "5 s of the pictures of camera-0, while they speak",
        "2 utterances, with words, vectors and events",
        "vectors of what others said after them, which depend on their words",
        "their name in 6 other places",
    ]
    assert any("other microphones" in line for line in found.stays)
    assert any("pictures" in line for line in found.stays)


def test_it_does_not_matter_how_the_name_is_written(bundle):
    forgetting.forget(bundle, NAME.upper())
    assert not any(NAME.encode() in file.read_bytes() for file in bundle.rglob("*") if file.is_file())


def test_what_somebody_keeps_beside_the_bundle_stays(bundle):
    for suffix in (".old", ".part", ".new"):
        bundle.with_name(bundle.name + suffix).mkdir()
    forgetting.forget(bundle, NAME)
    assert len([*bundle.parent.iterdir()]) == 4


def test_whoever_is_not_there_changes_nothing(before, bundle):
    files = {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    forgetting.forget(bundle, "Zen")
    assert forgetting.trace(open_session(bundle), "Zen") is None
    assert {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()} == files


def test_a_bundle_that_is_not_whole_or_being_recorded_is_left_alone(bundle):
    with BundleLock(bundle), pytest.raises(SessionError, match="is being recorded"):
        forgetting.forget(bundle, NAME)
    (bundle / "audio" / "mic-2-0001.flac").unlink()
    with pytest.raises(SessionError, match="recover"):
        forgetting.forget(bundle, NAME)


def test_what_recovery_put_aside_goes_too(bundle):
    (bundle / "audio" / "mic-1-0009.flac.damaged").write_bytes(b"their sound")
    forgetting.forget(bundle, NAME)
    assert not list(bundle.rglob("*.damaged"))


@pytest.mark.parametrize("dies", ["while it is written", "before it is renamed", "before the old one is deleted"])
def test_a_death_on_the_way_is_made_up_for(bundle, monkeypatch, dies):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    place = {
        "while it is written": (forgetting, "_messages"),
        "before it is renamed": (forgetting, "_finish"),
        "before the old one is deleted": (forgetting.shutil, "rmtree"),
    }[dies]
    with pytest.MonkeyPatch.context() as patch:
        if dies == "before it is renamed":
            finish, calls = forgetting._finish, []
            patch.setattr(forgetting, "_finish", lambda *folders: die() if calls else calls.append(finish(*folders)))
        else:
            patch.setattr(*place, die)
        with pytest.raises(Killed):
            forgetting.forget(bundle, NAME)
    forgetting.forget(bundle, NAME)
    assert verify(bundle) == []
    assert forgetting.trace(open_session(bundle), NAME) is None
    assert [file.name for file in bundle.parent.iterdir()] == ["s"]


def test_a_gap_of_that_cause_is_replayed(bundle):
    forgetting.forget(bundle, NAME)
    assert any(isinstance(m, Gap) and m.cause == "forgotten" for m in bundle_messages(bundle, 0))


def test_who_was_named_by_somebody_who_looked_on_is_forgotten_by_that_name(tmp_path):
    """The events before carry a number for a name; notes and alerts about them go with them."""
    folder, numbered = tmp_path / "s", "Speaker 2"
    with Recorder(folder, new_manifest("s1", 0, SECOND, [RecordedSource(name="mic-0", kind="audio")], {})) as recorder:
        recorder.write(hello(speakers=()))
        for n, (speaker, text) in enumerate(((0, "morning all"), (1, "my secret plan"))):
            features, told = said("mic-0", f"Speaker {speaker + 1}", 2 * n, 2 * n + 1, text, n)
            recorder.write(features)
            recorder.write(msgspec.structs.replace(told, speaker=speaker))
        about = {"session": "s1", "t_ns": 1, "wall_ns": 1, "author": "Ben"}
        recorder.write(Annotation(kind="name", speaker=1, text=NAME, **about))
        recorder.write(Annotation(kind="label", utterance="mic-0:1", label="secretive", **about))
        recorder.write(Annotation(kind="label", utterance="mic-0:0", label="sleepy", **about))
        recorder.write(Annotation(kind="mark", text=f"{NAME} laughs", **about))
        recorder.write(Alert(session="s1", t_ns=1, rule="a", on=True, text="plan", speaker=1, speaker_name=NAME))
        recorder.write(session_end())
    forgetting.forget(folder, NAME)
    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for words in (NAME, "secret", "plan", numbered):
        assert words.encode() not in everything
    for words in ("morning all", "sleepy", "[removed] laughs"):
        assert words.encode() in everything
    assert verify(folder) == []


def annotated(kind, author="Eva", **fields):
    return Annotation(session="s1", t_ns=0, wall_ns=1, author=author, kind=kind, **fields)


def annotated_bundle(folder):
    """Of speakers that only people gave names: 0 is Zenobia, 1 is Ben."""
    with Recorder(folder, new_manifest("s1", 0, 0, [RecordedSource(name="mic-0", kind="audio")], {})) as recorder:
        for n, speaker in enumerate((0, 1, 0, 1)):
            recorder.write(
                event(n, speaker=speaker, speaker_name=f"Speaker {speaker + 1}", source="mic-0", text=f"t{n}")
            )
            recorder.write(annotated("label", utterance=f"u{n}", label="bored"))
        recorder.write(annotated("name", speaker=0, text=NAME))
        recorder.write(annotated("name", speaker=1, text=OTHER))
        recorder.write(annotated("mark", text=f"{NAME} laughs"))
        recorder.write(annotated("label", author=NAME, utterance="u1", label="joy"))
        for speaker in (0, 1):
            alert = Alert(session="s1", t_ns=0, rule="r", on=True, text="loud", speaker=speaker, speaker_name="x")
            recorder.write(alert)
    return folder


@pytest.mark.parametrize("name", [NAME, "Speaker 1"])
def test_what_people_added_about_somebody_goes_with_them(tmp_path, name):
    """By the name that somebody gave them, and by the one that the session did."""
    bundle = annotated_bundle(tmp_path / "s")
    found = forgetting.trace(open_session(bundle), name)
    assert "annotations and alerts about them: 4" in found.removed
    assert "notes of people that do not name them stay" in found.stays
    forgetting.forget(bundle, name)
    assert verify(bundle) == []
    events = open_session(bundle).events
    assert {each.utterance for each in events if isinstance(each, EmotionEvent)} == {"u1", "u3"}
    left = [each for each in events if isinstance(each, Annotation)]
    assert [(each.kind, each.utterance, each.text) for each in left] == [
        ("label", "u1", ""),
        ("label", "u3", ""),
        ("name", None, OTHER),
        ("mark", None, "[removed] laughs"),
        ("label", "u1", ""),
    ]
    assert left[-1].author == "[removed]"
    assert [each.speaker for each in events if isinstance(each, Alert)] == [1]
    assert not any(NAME.encode() in file.read_bytes() for file in bundle.rglob("*") if file.is_file())
