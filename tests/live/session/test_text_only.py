"""Sessions that know less of people: words alone decide, and names do not leave perception."""

from itertools import islice
from pathlib import Path

import pytest
from msgspec import structs

from erc_live.live import config
from erc_live.live.errors import ConfigError
from erc_live.live.session import engines as loading
from erc_live.live.session import launch
from erc_live.live.session.engines import load_engines
from erc_live.live.session.in_process import InProcess, recorded
from erc_live.live.session.spec import SessionSpec
from erc_live.models.checkpoint import load
from erc_live.streams.messages import EmotionEvent, Hello, UtteranceFeatures, VideoFrame
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

FINALS = 2  # of the demo
WORDS = "WEBVTT\n\n00:00:00.000 --> 00:00:59.000\nI met Trillian. Call 555 1234, Ada!\n"


def session(world: dict[str, str], *keys: str, cameras: bool = False) -> SessionSpec:
    sources, transcript = launch.demo_sources()
    settings = config.load(sets=[*(f"{key}={value}" for key, value in world.items()), *keys]).config
    heard = tuple(source for source in sources if cameras or source.kind == "mic")
    return SessionSpec(session="s", config=settings, sources=heard, transcript=str(transcript))


def messages(asked: SessionSpec) -> list[Hello | UtteranceFeatures | EmotionEvent]:
    """The greeting, and the features and events of the first utterances."""
    engines = load_engines(asked.config, Path(asked.transcript or ""))
    core = InProcess(asked, engines, load(asked.config.tracker.weights))
    wanted = (m for m in core.run(recorded(asked)) if isinstance(m, Hello | UtteranceFeatures | EmotionEvent))
    return [*islice(wanted, 1 + 2 * FINALS)]


def test_voice_and_face_reach_no_model_of_emotion(tiny_world: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not even loaded: whatever would be given to them, there is nobody to take it."""

    def loaded(*_: object) -> None:
        raise AssertionError("a model that judges voices or faces was loaded")

    for name in ("SoundEncoder", "open_face_reader"):
        monkeypatch.setattr(loading, name, loaded)
    monkeypatch.setattr(loading.VoiceEncoder, "load", loaded)
    hello, *others = messages(session(tiny_world, "session.text_only=true"))
    assert isinstance(hello, Hello)
    assert "from words alone" in hello.notice
    features = [message for message in others if isinstance(message, UtteranceFeatures)]
    events = [message for message in others if isinstance(message, EmotionEvent)]
    assert len(features) == len(events) == FINALS
    for utterance, event in zip(features, events, strict=True):
        assert utterance.vectors.keys() == utterance.encoders.keys() == {"text"}
        assert event.modalities == ("text",)
        assert event.face_coverage is None


def test_pictures_are_refused_and_those_of_a_recording_left_out(tiny_world: dict[str, str], tmp_path: Path) -> None:
    asked = session(tiny_world, "session.text_only=true", cameras=True)
    with pytest.raises(ConfigError, match="--text-only and --camera"):
        launch.run(asked)
    wordless = session(tiny_world, "session.text_only=true", "transcriber.engine=none")
    with pytest.raises(ConfigError, match="leaves nothing to decide from"):
        launch.run(wordless)
    bundle = structs.replace(asked, sources=launch.replay_sources(made_bundle(tmp_path / "talk"), [], []))
    assert not any(isinstance(message, VideoFrame) for message in recorded(bundle))
    assert any(isinstance(message, VideoFrame) for message in recorded(structs.replace(bundle, config=config.Config())))


def made_bundle(folder: Path) -> Path:
    """The beginning of the demo as a recorded session."""
    sources = [RecordedSource(name="mic-0", kind="audio"), RecordedSource(name="camera-0", kind="video")]
    asked = SessionSpec(session="s", config=config.Config(), sources=launch.demo_sources()[0])
    with Recorder(folder, new_manifest("s", 0, 1, sources, {})) as recorder:
        for message in islice(recorded(asked), 100):
            recorder.write(message)
    return folder


def test_names_numbers_and_addresses_do_not_leave_perception(tiny_world: dict[str, str], tmp_path: Path) -> None:
    """Nor do they reach the vector of the words: it is that of the words without them."""
    (tmp_path / "words.vtt").write_text(WORDS, encoding="utf-8")

    def finals(*keys: str) -> list[UtteranceFeatures]:
        asked = structs.replace(session(tiny_world, *keys), transcript=str(tmp_path / "words.vtt"))
        return [message for message in messages(asked) if isinstance(message, UtteranceFeatures)]

    said, redacted = finals(), finals("text.redact=true")
    assert any("Trillian" in utterance.text for utterance in said)
    for before, after in zip(said, redacted, strict=True):
        whole = f"{after.text} {' '.join(word.text for word in after.words)}"
        assert not {"Trillian", "555", "1234", "Ada"} & {*whole.replace(",", " ").replace("!", " ").split()}
        assert ("[name]" in whole) == ("Trillian" in before.text)
        changed = "text" in before.vectors and not (before.vectors["text"] == after.vectors["text"]).all()
        assert changed == (before.text != after.text)
