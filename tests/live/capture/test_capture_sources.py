"""What the words after --mic and --camera mean."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.capture.source_spec import SourceSpec, parse_camera, parse_mic, public_target
from erc_live.live.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target", "speaker"),
    [
        ("default", "default", None),
        ("default=Speaker1", "default", "Speaker1"),
        ("3=Agent", "3", "Agent"),
        ("USB Audio: hw=1,0=Ada Lovelace", "USB Audio: hw=1,0", "Ada Lovelace"),
        (" 2 = Ben ", "2", "Ben"),
    ],
)
def test_microphone_devices(text: str, target: str, speaker: str | None) -> None:
    assert parse_mic(text, 1) == SourceSpec(kind="mic", medium="device", name="mic-1", target=target, speaker=speaker)


@pytest.mark.parametrize("name", ["talk.flac", "a=b.flac", "a=b=c", "day 1.wav"])
def test_files_win_over_the_equals_sign(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.touch()
    assert parse_mic(str(path), 0) == SourceSpec(kind="mic", medium="file", name="mic-0", target=str(path))
    named = parse_mic(f"{path}=Agent", 0)
    assert (named.medium, named.target, named.speaker) == ("file", str(path), "Agent")


@pytest.mark.parametrize(
    ("text", "target", "channel", "speaker"),
    [
        ("default@1", "default", 1, None),
        ("3@2=Ben", "3", 2, "Ben"),
        ("USB Audio @ 2=Ada", "USB Audio @ 2", None, "Ada"),
        ("USB Audio @2=Ada", "USB Audio", 2, "Ada"),
        ("me@home", "me@home", None, None),
        ("me@home@12", "me@home", 12, None),
        ("default=ann@2", "default", None, "ann@2"),
    ],
)
def test_channels_of_devices(text: str, target: str, channel: int | None, speaker: str | None) -> None:
    spec = parse_mic(text, 0)
    assert (spec.medium, spec.target, spec.channel, spec.speaker) == ("device", target, channel, speaker)


@pytest.mark.parametrize("name", ["call.wav", "call@2.wav", "call.wav@2", "a=b@1"])
def test_channels_of_files_and_files_win_over_the_sign(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.touch()
    whole, second, named = parse_mic(f"{path}", 0), parse_mic(f"{path}@2", 0), parse_mic(f"{path}@2=Caller", 0)
    assert {(spec.medium, spec.target) for spec in (whole, second, named)} == {("file", str(path))}
    assert [spec.channel for spec in (whole, second, named)] == [None, 2, 2]
    assert named.speaker == "Caller"


def test_channels_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.touch()
    for text, words in [
        (f"{path}@left", "number of a channel"),
        (f"{path}@0", "from 1"),
        ("gone.wav@1", "no such file"),
    ]:
        with pytest.raises(ConfigError, match=words) as error:
            parse_mic(text, 0)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "=Ada", "default=", "default= ", "-1", "talk.flac", "/no/such/thing", "http://a/b"]
)
def test_microphones_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_mic(text, 0)
    assert "\n" not in str(error.value)
    assert "--mic" in str(error.value)


def test_a_folder_is_sent_to_replay(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="erc-live replay"):
        parse_mic(str(tmp_path), 0)


@pytest.mark.parametrize(
    ("text", "medium", "target"),
    [
        ("0", "device", "0"),
        ("02", "device", "2"),
        ("/dev/video12", "device", "12"),
        ("http://127.0.0.1:8080/live", "url", "http://127.0.0.1:8080/live"),
        ("rtsp://me:secret@door/1", "url", "rtsp://me:secret@door/1"),
    ],
)
def test_cameras(text: str, medium: str, target: str) -> None:
    spec = parse_camera(text, 2)
    assert (spec.kind, spec.name, spec.medium, spec.target) == ("camera", "camera-2", medium, target)


def test_camera_files(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()
    assert parse_camera(str(path), 0).medium == "file"


@pytest.mark.parametrize("text", ["", "front", "-1", "clip.mp4", "ftp://host/clip", "²"])
def test_cameras_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="--camera"):
        parse_camera(text, 0)


def test_messages_hide_passwords() -> None:
    assert public_target(parse_camera("rtsp://me:secret@door:554/1?token=secret", 0)) == "rtsp://door:554/1"


@given(st.text(max_size=40))
def test_any_word_is_a_spec_or_an_error_of_ours_and_travels_as_json(text: str) -> None:
    for parse in (parse_mic, parse_camera):
        try:
            spec = parse(text, 0)
        except ConfigError:
            continue
        assert msgspec.json.decode(msgspec.json.encode(spec), type=SourceSpec) == spec
        assert spec.target
        assert spec.speaker is None or spec.speaker.strip() == spec.speaker != ""


@pytest.mark.skipif(not Path("/dev").is_dir(), reason="needs device nodes")
def test_a_camera_by_a_link_that_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "resolve", lambda self: Path("/dev/video3") if "by-id" in os.fspath(self) else self)
    assert parse_camera("/dev/v4l/by-id/usb-front", 0).target == "3"
