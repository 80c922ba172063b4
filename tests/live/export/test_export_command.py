"""`erc-live export` as people call it: all files or none, nothing replaced unasked, and one line for what is wrong."""

import shutil
import subprocess
import sys

import pytest
from examples import event, hello
from talks import record, tone

from erc_live.live import cli
from erc_live.live.export.formats import FORMATS, chosen
from erc_live.streams.messages import AudioChunk, Gap
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import verify
from erc_live.streams.session import RecordedSource, new_manifest

ALL = ",".join(FORMATS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return record(tmp_path_factory.mktemp("made") / "monday")


@pytest.fixture
def run(monkeypatch, capsys):
    """`run(*arguments)` -> (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["erc-live", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


def test_every_format_at_once(run, bundle, tmp_path):
    code, out, err = run(bundle, "--to", ALL, "-o", tmp_path / "out")
    assert (code, err) == (0, f"{bundle}: nothing of camera-0 there\n")
    written = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert {line.removeprefix(f"{tmp_path}/") for line in out.splitlines()} == written
    assert {name.rpartition(".")[2] for name in written} >= {*FORMATS} - {"textgrid", "bids"} | {"TextGrid"}
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in written)
    assert "./monday.mic-0.Ann.wav" in (tmp_path / "out" / "monday.eaf").read_text()


def test_what_is_there_is_not_replaced_unasked(run, bundle, tmp_path):
    assert run(bundle, "--to", "srt", "-o", tmp_path)[0] == 0
    (tmp_path / "monday.srt").write_text("mine")
    code, _, err = run(bundle, "--to", "vtt,srt", "-o", tmp_path)
    assert code == 2
    assert "monday.srt: is there already: --force replaces it" in err.replace("\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["monday.srt"]
    assert (tmp_path / "monday.srt").read_text() == "mine"
    assert run(bundle, "--to", "vtt,srt", "-o", tmp_path, "--force")[0] == 0
    assert (tmp_path / "monday.srt").read_text() != "mine"


@pytest.mark.parametrize(
    ("to", "code", "says"),
    [
        ("webvtt", 2, "--to webvtt: there is no such format, but vtt; there are csv"),
        ("docx", 2, "--to docx: there is no such format; there are csv"),
        (",", 2, "--to: name at least one of csv"),
    ],
)
def test_a_format_that_there_is_not(run, bundle, tmp_path, to, code, says):
    found, _, err = run(bundle, "--to", to, "-o", tmp_path / "out")
    assert (found, says in err, len(err.splitlines())) == (code, True, 1)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_into_the_recording(run, bundle):
    for place in (bundle, bundle / "deep" / "er"):
        code, _, err = run(bundle, "--to", "csv", "-o", place)
        assert (code, "is inside the recorded session" in err) == (2, True)
    assert verify(bundle) == []


def test_formats_are_named_by_commas_or_one_by_one():
    assert chosen(["vtt, CSV", "vtt"]) == ["csv", "vtt"]


def test_a_library_that_is_not_there_is_named_with_its_remedy(run, bundle, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "erc_live.live.export.mcap_file", raising=False)
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    code, _, err = run(bundle, "--to", "mcap", "-o", tmp_path / "out")
    assert (code, len(err.splitlines())) == (5, 1)
    assert "mcap needs mcap.writer: pip install 'erc-live[export]'" in err


def test_no_bundle(run, tmp_path):
    code, _, err = run(tmp_path, "--to", "csv", "-o", tmp_path / "out")
    assert (code, "not a recorded session" in err, len(err.splitlines())) == (4, True, 1)


def test_another_version(run, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "s")
    manifest = tmp_path / "s" / "session.json"
    manifest.write_text(manifest.read_text().replace("erc.session/1", "erc.session/9"))
    code, _, err = run(tmp_path / "s", "--to", "csv", "-o", tmp_path / "out")
    assert (code, "this version reads erc.session/1" in err) == (4, True)


def small(folder, *messages, sources=("mic",), close=True):
    made = new_manifest("s", 0, 0, [RecordedSource(name=name, kind="audio") for name in sources], {})
    recorder = Recorder(folder, made)
    for message in messages:
        recorder.write(message)
    recorder.close() if close else recorder._let_go()  # as by a kill
    return folder


def test_a_session_without_events_and_without_sound(run, tmp_path):
    bundle = small(tmp_path / "s")
    texts = ",".join(name for name in FORMATS if name not in ("wav", "flac"))
    code, _, err = run(bundle, "--to", texts, "-o", tmp_path / "out")
    assert code == 0
    assert "has no utterances" in err
    code, _, err = run(bundle, "--to", "csv,wav", "-o", tmp_path / "sound")
    assert (code, len(err.splitlines())) == (4, 1)
    assert "no sound was recorded: leave wav out of --to" in err
    assert not (tmp_path / "sound").exists()


def test_what_was_cut_off_is_exported_as_far_as_it_goes(run, tmp_path):
    sound = [AudioChunk(source="mic", t_ns=n * 32_000_000, pcm=tone(0, 512, 9)) for n in range(300)]
    bundle = small(tmp_path / "s", hello(), *sound, event(0), event(1), close=False)
    with (bundle / "events.jsonl").open("ab") as log:
        log.write(b'{"type": "Emo')
    code, out, err = run(bundle, "--to", "csv,wav", "-o", tmp_path / "out")
    assert code == 4
    assert {line.partition("/out/s.")[2] for line in out.splitlines()} == {
        "utterances.csv", "words.csv", "moments.csv", "mic.wav", "mic.Ada.wav", "wav.json"
    }  # fmt: skip
    assert "exported but for what is missing: the recording was cut off" in err
    assert "'erc-live session recover" in err
    assert (tmp_path / "out" / "s.utterances.csv").read_text().count("\n") == 3


def test_who_was_forgotten_is_told_and_is_no_failure(run, tmp_path):
    gap = Gap(source="mic", t_start_ns=0, t_end_ns=9, lost=0, cause="forgotten")
    bundle = small(tmp_path / "s", hello(), event(0), gap)
    code, _, err = run(bundle, "--to", "csv", "-o", tmp_path / "out")
    assert code == 0
    assert "1 stretch of mic removed at somebody's wish" in err


def test_no_engine_is_loaded(bundle, tmp_path):
    look = "import sys; sys.argv = ['erc-live', 'export', {!r}, '--to', {!r}, '-o', {!r}]\n"
    look += (
        "import erc_live.live.cli as cli\ntry:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
    )
    look += "print('LOADED', sorted({{'torch', 'onnxruntime', 'transformers', 'cv2'}} & sys.modules.keys()))"
    command = [sys.executable, "-c", look.format(str(bundle), ALL, str(tmp_path / "out"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_what_is_being_recorded_is_exported_as_far_as_it_is(run, tmp_path):
    with Recorder(tmp_path / "s", new_manifest("s", 0, 0, [], {})) as recorder:
        recorder.write(hello())
        recorder.write(event(0))
        code, _, err = run(tmp_path / "s", "--to", "srt", "-o", tmp_path / "out")
    assert (code, "is being recorded: what comes from now on" in err) == (0, True)
    assert (tmp_path / "out" / "s.srt").exists()
