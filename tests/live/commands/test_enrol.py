"""Nobody is enrolled without consent, which has an end; nothing but vectors are kept, encrypted; and a print that would
not work is refused.
"""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import typer
from msgspec import structs
from sounds import read_pcm
from typer.testing import CliRunner, Result

from erc_live.live import config
from erc_live.live.commands.enrol import enrol
from erc_live.live.errors import ConfigError
from erc_live.live.privacy.consent import VALID, agreement, today
from erc_live.live.speakers import enrolment, voice_prints
from erc_live.live.speakers.embedding import VoiceReader, open_voice_reader
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, samples_to_ns

DEMO = Path(__file__).parents[3] / "live" / "demo"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_: tmp_path / "data")
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_: tmp_path / "config")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def reader() -> VoiceReader:
    opened = open_voice_reader(config.SpeakersSection())
    assert opened is not None
    return opened


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(enrol)
    return CliRunner().invoke(app, arguments)


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, ConfigError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def recordings() -> list[voice_prints.VoiceRecording]:
    return [voice_prints.recorded(np.zeros(256, np.float32), 15.0)]


def kept(name: str, encoder: str = "encoder", until: date | None = None) -> Path:
    receipt = agreement(name, until or today() + VALID, "reported", config.SessionSection())
    return voice_prints.keep(recordings(), encoder, receipt)


def files(data: Path) -> list[Path]:
    return [path for path in data.rglob("*") if path.is_file()]


def test_a_voice_is_kept_listed_recognised_and_forgotten(data: Path, reader: VoiceReader) -> None:
    assert run("Ann Lee", "--mic", str(DEMO / "ada.flac"), "--consent").exit_code == 0
    receipt, print_ = sorted(files(data))
    assert {path.stat().st_mode & 0o077 for path in (receipt, print_)} == {0}
    assert [path.name for path in (receipt, print_)] == ["Ann Lee.consent", "Ann Lee.voice"]
    for word in (b"Ann", b"vector", reader.encoder.fingerprint.encode()):
        assert word not in print_.read_bytes()
    (entry,) = voice_prints.stored()
    assert (entry.name, entry.encoder) == ("Ann Lee", reader.encoder.fingerprint)
    agreed = json.loads(receipt.read_text())
    assert agreed["agreed"].startswith("I, Ann Lee, agree")
    assert agreed["evidence"] == "reported"
    assert agreed["until"] == (today() + VALID).isoformat()
    assert f"until {agreed['until']}" in run("--list").output

    speakers = enrolment.open_speakers(config.SpeakersSection(known=["Ann Lee"]), reader)
    said = {}
    for name in ("ben", "ada"):
        pcm = read_pcm(DEMO / f"{name}.flac")
        sounding = pcm[np.abs(pcm.astype(np.int32)) > 200][: 4 * SAMPLE_RATE_HZ]
        (stretch,) = reader.split(sounding)
        said[name] = speakers.assign("mic-0", name, stretch.embedding, 0, 4_000_000_000)
        speakers.changes()
    assert said["ada"].speaker_name == "Ann Lee"
    assert said["ben"].speaker_name is None

    assert run("--forget", "Ann Lee").exit_code == 0
    assert not files(data)
    assert "nobody called" in refused("--forget", "Ann Lee")


def test_recordings_add_up_and_their_outlook_is_told(data: Path, reader: VoiceReader) -> None:
    """Two that agree, and somebody who sounds like another one."""
    assert "another one" in run("Ann", "--mic", str(DEMO / "ada.flac"), "--consent").output
    result = run("Ann", "--mic", str(DEMO / "ada.flac"), "--add", "--consent")
    assert "2 recordings, the least alike 1.00" in result.output
    assert "they agree" in result.output
    assert len(voice_prints.stored()[0].recordings) == 2
    result = run("Ben", "--mic", str(DEMO / "ben.flac"), "--consent")
    assert "Ann is most alike" in result.output
    assert "told apart" in result.output
    assert "may be confused" in run("Twin", "--mic", str(DEMO / "ada.flac"), "--consent").output
    run("Ann", "--mic", str(DEMO / "ada.flac"), "--consent")  # without --add a print is replaced
    assert len(voice_prints.enrolled("Ann", reader.encoder.fingerprint)) == 1


class Device:
    """A microphone that plays a recording, in blocks of a second."""

    def __init__(self, pcm: np.ndarray) -> None:
        self.finished = False
        self.closed = False
        self._pcm = pcm
        self._read = 0

    def start(self, clock: object, start_ns: int) -> None:
        self._start_ns = start_ns

    def read(self, timeout_s: float) -> list[AudioChunk]:
        starts = range(self._read, min(self._read + SAMPLE_RATE_HZ, len(self._pcm)), CHUNK_SAMPLES)
        self._read = starts.stop
        self.finished = self._read >= len(self._pcm)
        return [
            AudioChunk(
                source="mic-0", t_ns=self._start_ns + samples_to_ns(start), pcm=self._pcm[start : start + CHUNK_SAMPLES]
            )
            for start in starts
        ]

    def close(self) -> None:
        self.closed = True


def test_a_microphone_is_let_go_when_enough_was_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = read_pcm(DEMO / "ada.flac")
    device = Device(np.concatenate([ada] * 3)[: len(ada) * 3 // CHUNK_SAMPLES * CHUNK_SAMPLES])
    monkeypatch.setattr("erc_live.live.commands.enrol.open_source", lambda spec, capture: device)
    assert run("Ann", "--mic", "default", "--consent").exit_code == 0
    assert device.closed
    assert not device.finished  # it did not have to listen to the end
    assert len(files(data)) == 2


def test_without_consent_nothing_is_kept(data: Path) -> None:
    message = refused("Ann", "--mic", str(DEMO / "ada.flac"))  # no terminal: nobody can be asked
    assert "consent" in message
    assert not files(data)


def test_bad_speech_is_refused(data: Path, tmp_path: Path) -> None:
    ada, ben = (read_pcm(DEMO / f"{name}.flac") for name in ("ada", "ben"))
    noise = np.random.default_rng(0).normal(0, 1_500, len(ada))
    bad = {
        "speech were heard": ada[: 4 * SAMPLE_RATE_HZ],
        "more than one voice": np.clip(ada.astype(np.int32) + ben, -32_768, 32_767),
        "too noisy": np.clip(ada + noise, -32_768, 32_767),
    }
    for reason, pcm in bad.items():
        path = tmp_path / "speech.flac"
        path.write_bytes(encode_flac(pcm.astype(np.int16)))
        assert reason in refused("Ann", "--mic", str(path), "--consent")
    assert not files(data)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 61])
def test_a_name_is_a_name(name: str) -> None:
    assert "no name" in refused(name, "--consent", "--mic", str(DEMO / "ada.flac"))


def test_a_name_cannot_leave_the_folder(data: Path) -> None:
    path = kept("../../Ann")
    assert path.parent == data / "voices"
    assert [found.name for found in voice_prints.stored()] == ["../../Ann"]


def test_without_a_name_the_ways_are_said() -> None:
    assert "--list" in refused()


def test_a_print_counts_for_its_encoder_only(reader: VoiceReader) -> None:
    wanted = config.SpeakersSection(known=["Ann"])
    with pytest.raises(ConfigError, match="nobody called 'Ann' is enrolled"):
        enrolment.open_speakers(wanted, reader)
    kept("Ann", "another encoder")
    with pytest.raises(ConfigError, match="another encoder"):
        enrolment.open_speakers(wanted, reader)


def test_a_damaged_print_is_named(data: Path) -> None:
    path = kept("Ann")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"Ann\.voice cannot be used"):
        voice_prints.stored()


ENDED = today() - timedelta(days=1)


def test_after_its_end_a_consent_allows_nothing_and_that_is_told(reader: VoiceReader) -> None:
    encoder = reader.encoder.fingerprint
    kept("Ann", encoder, today())  # the last day counts
    kept("Ben", encoder, ENDED)
    wanted = config.SpeakersSection(known=["Ann", "Ben"])
    assert enrolment.open_speakers(wanted, reader).assign("mic", "u", np.zeros(256, np.float32), 0, 1)
    (line,) = voice_prints.unusable(wanted.known)
    assert line.startswith(f"Ben is not recognised: the consent ended on {ENDED}")
    assert voice_prints.objection("Ann", today() + timedelta(days=1))
    listed = run("--list").output
    assert [("NOT USED" in row) for row in listed.splitlines()[:2]] == [False, True]
    vector = voice_prints.recorded(np.ones(256, np.float32), 15.0)
    outlook = " ".join(enrolment.outlook("Cara", [vector], reader.encoder.centre, encoder))
    assert "Ben" not in outlook, "to compare with a print is to use it"


def test_a_print_without_a_receipt_is_not_used(reader: VoiceReader) -> None:
    kept("Ann", reader.encoder.fingerprint).with_suffix(".consent").unlink()
    assert "no receipt" in voice_prints.unusable(["Ann"])[0]
    assert run("--forget", "Ann").exit_code == 0


def test_a_session_says_who_is_not_recognised(reader: VoiceReader, tiny_world: dict[str, str]) -> None:
    from erc_live.live.session.engines import load_engines

    kept("Ben", reader.encoder.fingerprint, ENDED)
    settings = config.load(sets=[f"{key}={value}" for key, value in tiny_world.items()]).config
    settings = structs.replace(settings, speakers=config.SpeakersSection(known=["Ben"]))
    assert "Ben is not recognised" in load_engines(settings).warning


@pytest.mark.parametrize("day", ["yesterday", ENDED.isoformat(), "2099-01-01"])
def test_an_end_of_a_consent_is_a_day_to_come(day: str, data: Path) -> None:
    assert "--until" in refused("Ann", "--mic", str(DEMO / "ada.flac"), "--consent", "--until", day)
    assert not files(data)


def test_an_old_print_is_encrypted_and_its_consent_noted(data: Path) -> None:
    (data / "voices").mkdir(parents=True)
    old = {"format": "erc.voice-print/2", "name": "Ann", "consent": "I, Ann, agree.", "encoder": "encoder"}
    given = today() - timedelta(days=30)
    vectors = [{"date": day.isoformat(), "seconds": 9.0, "vector": [0.5] * 256} for day in (today(), given)]
    (data / "voices" / "Ann.json").write_text(json.dumps(old | {"recordings": vectors}))
    (data / "voices" / "Bo.json").write_text("{}")
    with pytest.raises(ConfigError, match="older version"):
        voice_prints.known_print("Ann", "encoder")
    assert "Bo.json is no voice print" in refused("--list")
    (data / "voices" / "Bo.json").unlink()
    lines = run("--list").output
    assert "is encrypted now" not in lines, "Ann was brought up to date before Bo was looked at"
    receipt = voice_prints.receipt_of("Ann")
    assert receipt is not None
    assert (receipt.agreed, receipt.evidence, receipt.given) == ("I, Ann, agree.", "migrated", given.isoformat())
    assert receipt.last_day == given + VALID
    (entry,) = voice_prints.stored()
    assert len(entry.recordings) == 2
    assert {path.suffix for path in files(data)} == {".voice", ".consent"}


def test_who_is_responsible_stands_on_the_receipt(data: Path) -> None:
    arguments = ("Ann", "--mic", str(DEMO / "ada.flac"), "--consent", "--set", "session.controller=Lab")
    assert run(*arguments).exit_code == 0
    receipt = voice_prints.receipt_of("Ann")
    assert receipt is not None
    assert receipt.controller == "Lab"
    assert "--forget 'Ann'" in receipt.withdrawal
