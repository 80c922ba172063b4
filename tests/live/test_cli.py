"""The command line, in this process: what it prints and how it ends. Sessions of several processes:
test_sessions.py.
"""

import json
import shlex
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import readme
from fakes import chunks
from rich.text import Text
from sounds import read_pcm
from tiny_world import options
from typer.main import get_command

from erc_live.live import cli
from erc_live.live import config as configuration
from erc_live.streams.media import encode_flac
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

DEMO = Path(cli.__file__).parent / "demo"


@pytest.fixture(autouse=True)
def a_fresh_user(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "user_file", lambda: tmp_path / "user.toml")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch, capsys):
    """`run(*arguments)` -> (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["erc-live", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def quiet(tmp_path):
    path = tmp_path / "quiet.flac"
    path.write_bytes(encode_flac(np.zeros(16_000, np.int16)))
    return path


def events(text):
    return [json.loads(line) for line in text.splitlines() if '"EmotionEvent"' in line]


def test_help_teaches(run):
    code, out, _ = run("--help")
    assert code == 0
    for word in (
        "replay",
        "demo",
        "subscribe",
        "devices",
        "models",
        "config",
        "session",
        "--mic",
        "--camera",
        "Examples",
    ):
        assert word in out


def helps(command):
    yield from (getattr(one, "help", None) or "" for one in (command, *command.params))
    for name in getattr(command, "commands", ()):
        yield from helps(command.commands[name])


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_no_bracket_of_a_help_is_taken_for_markup(name):
    for text in (cli.COMMANDS[name][1], *helps(cli.command(name))):
        assert Text.from_markup(text).plain == text.replace("\\[", "[")


def test_each_problem_of_a_corpus_is_a_line(run, tmp_path):
    (tmp_path / "train.jsonl").write_text("{}\n[]\n")
    code, _, err = run("corpus", "stats", tmp_path)
    first, second = err.splitlines()
    assert code == 4
    assert first.startswith(f"erc-live: {tmp_path}/train.jsonl: line 1: ")
    assert second.startswith(f"{tmp_path}/train.jsonl: line 2: ")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_is_what_its_row_says(name):
    command = cli.command(name)
    assert command.name == name
    assert " ".join(command.help.partition("\n\n")[0].split()) == cli.COMMANDS[name][1]


def test_the_demo_at_full_speed_gives_every_utterance_an_event(run, tiny_world):
    code, out, err = run("demo", "--speed", "max", *options(tiny_world))
    cues = (DEMO / "transcript.vtt").read_text().count("-->")
    assert code == 0, err
    found = events(out)
    assert len(found) == cues
    assert {event["speaker_name"] for event in found} == {"Ada", "Ben"}
    assert all(event["text"] and event["final"] for event in found)
    assert any(event["face_coverage"] for event in found)
    first, *_, last = (json.loads(line) for line in out.splitlines())
    assert (first["type"], last["type"], last["utterances"]) == ("Hello", "SessionEnd", cues)
    assert err.splitlines()[-1].startswith("Nobody listened: these words are the demo's own transcript")


def test_fetching_for_a_configuration_that_uses_nothing_more_asks_nobody(run, tmp_path):
    others = ("--set", "visual.face_finder=haar", "--set", "perception.turn_detector=none")
    nothing = ("--set", "transcriber.engine=none", *others)
    assert run("models", "fetch", *nothing)[:2] == (0, "")
    assert run("models", "fetch", "--set", f"transcriber.model={tmp_path}", *others)[:2] == (0, "")
    assert not (tmp_path / "cache").exists()


def test_a_replay_at_full_speed_can_be_kept_and_gives_the_same_events(run, tmp_path, tiny_world):
    code, first, err = run("demo", "--speed", "max", "--record", tmp_path / "kept", *options(tiny_world))
    assert code == 0, err
    assert run("session", "verify", tmp_path / "kept")[0] == 0
    code, again, err = run("replay", tmp_path / "kept", "--speed", "max", *options(tiny_world))
    assert code == 0, err
    assert [(e["utterance"], e["text"], e["probs"]) for e in events(again)] == [
        (e["utterance"], e["text"], e["probs"]) for e in events(first)
    ]


def test_a_file_of_silence_is_a_session_without_utterances(run, quiet, tiny_world):
    code, out, err = run("replay", quiet, "--speed", "max", "--set", "transcriber.engine=none", *options(tiny_world))
    assert code == 0, err
    end = json.loads(out.splitlines()[-1])
    assert end["utterances"] == 0
    assert end["note"] == "no utterance: mic-0 delivered 1.0 s of sound that is all zero"
    assert end["note"] in err.splitlines()


def test_a_transcript_that_matches_nothing_is_told(run, tmp_path, tiny_world):
    late = tmp_path / "late.vtt"
    late.write_text("WEBVTT\n\n09:00.000 --> 09:01.000\n<v Ada>Well.\n\n09:01.000 --> 09:02.000\n<v Carl>No.\n")
    arguments = ["replay", "--mic", f"{DEMO / 'ada.flac'}=Ada", "--speed", "max", "--transcript", late]
    code, out, err = run(*arguments, *options(tiny_world))
    assert code == 0, err
    note = json.loads(out.splitlines()[-1])["note"]
    assert note.startswith("2 of 2 cues of the transcript were never used (1 after the end of the sound at 51.")
    assert "1 of Carl, whom no microphone belongs to" in note
    assert note in err.splitlines()


def test_a_truncated_file_gives_what_it_holds_and_says_so(run, tmp_path, tiny_world):
    whole = (DEMO / "ada.flac").read_bytes()
    cut = tmp_path / "cut.flac"
    cut.write_bytes(whole[: len(whole) // 2])
    code, out, err = run("replay", cut, "--speed", "max", "--set", "transcriber.engine=none", *options(tiny_world))
    assert code == 4
    assert events(out)
    assert "cut.flac" in err
    assert "ends early" in err


@pytest.mark.parametrize("command", readme.commands("erc-live"))
def test_the_commands_of_the_readme_are_understood(command):
    words = shlex.split(command.partition(">")[0])[1:]
    group, context = get_command(cli.app), None
    while words or context is None:
        context = group.make_context("erc-live", words, parent=context)
        words = [*context._protected_args, *context.args]
        if not hasattr(group, "resolve_command") or not words:
            break
        _, group, words = group.resolve_command(context, words)
    assert context is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--mic", "0"], True),
        (["--mic", "0", "--purpose", "own-use"], False),
        (["--mic", "0", "--set", "session.purpose=research"], False),
        (["--mic", "quiet.flac"], False),
    ],
)
def test_of_devices_people_are_told_what_was_taken_for_the_purpose(run, quiet, monkeypatch, arguments, told):
    """A file is a recording of those whom somebody has told already."""
    begun = []
    monkeypatch.setattr("erc_live.live.session.launch.run", lambda session, beginning: begun.append(beginning))
    assert run(*arguments)[0] == 0
    assert [bool(line) for line in begun] == [told]
    assert "erc-live notice" in begun[0] or not told


def test_a_malformed_place_of_a_log_is_refused_before_anything_is_loaded(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "erc_live.live.serving.serve_loop", None)  # whoever imports it fails
    code, _, err = run("serve", "--log", "nats://foo")
    assert (code, "nats://foo is not the place of a log" in err) == (6, True)


WRONG = {
    "no such file": (4, ["replay", "absent.mp4"], "absent.mp4: no such file"),
    "no such recording": (2, ["replay", "--mic", "absent.wav"], "absent.wav: no such file"),
    "not media": (4, ["replay", "notes.txt"], "notes.txt"),
    "empty audio": (4, ["replay", "empty.wav", "--speed", "max", "--set", "transcriber.engine=none"], "empty.wav"),
    "a folder that is no session": (4, ["replay", "folder"], "folder"),
    "nothing to replay": (2, ["replay"], "--mic"),
    "two sounds": (2, ["replay", "quiet.flac", "--mic", "quiet.flac"], "exclude each other"),
    "one name twice": (2, ["replay", "--mic", "quiet.flac=A", "--mic", "quiet.flac=A"], "--mic"),
    "speed": (2, ["replay", "quiet.flac", "--speed", "fast"], "--speed fast"),
    "speed of nobody": (2, ["replay", "quiet.flac", "--speed", "1e9"], "up to 100"),
    "speed that is none": (2, ["replay", "quiet.flac", "--speed", "nan"], "--speed nan"),
    "speed without end": (2, ["replay", "quiet.flac", "--speed", "inf"], "or max"),
    "one file twice": (2, ["replay", "--mic", "quiet.flac=A", "--mic", "./quiet.flac=B"], "given twice"),
    "one file and its channel": (2, ["replay", "--mic", "quiet.flac=A", "--mic", "quiet.flac@1=B"], "given twice"),
    "one device twice": (2, ["--mic", "default=A", "--mic", "default=B"], "given twice"),
    "endless": (2, ["demo", "--set", "segmenter.max_utterance_s=inf"], "segmenter.max_utterance_s"),
    "a file in the way": (4, ["demo", "--record", "notes.txt"], "nothing can be written there"),
    "below a file": (4, ["demo", "--record", "notes.txt/deeper/kept"], "nothing can be written there"),
    "nothing that decodes": (4, ["replay", "tag.wav"], "its sound cannot be decoded"),
    "no such transcript cue": (4, ["replay", "quiet.flac", "--transcript", "back.srt", "--speed", "max"], "line 2"),
    "the user's own endpoint": (6, ["subscribe", "--wait", "0.1"], "ipc://the-user-s-own"),
    "wrong key": (2, ["replay", "quiet.flac", "--set", "segmenter.onst=1"], "segmenter.onset"),
    "wrong value": (2, ["demo", "--set", "segmenter.onset=2"], "segmenter.onset"),
    "contradiction": (2, ["demo", "--speed", "max", "--set", "segmenter.offset=0.9"], "offset"),
    "picture without a screen": (2, ["demo", "--speed", "max", "--picture", "p.svg"], "--picture"),
    "a workplace": (2, ["demo", "--set", "session.setting=workplace"], "Article 5(1)(f)"),
    "a place for a purpose": (2, ["replay", "quiet.flac", "--purpose", "education"], "--setting education"),
    "no such purpose": (2, ["--purpose", "marketing"], "session.purpose"),
    "nothing kept and a recording": (2, ["replay", "quiet.flac", "--ephemeral", "--record", "talk"], "--ephemeral"),
    "text and a camera": (2, ["--mic", "quiet.flac", "--camera", "0", "--text-only"], "--text-only"),
    "text without words": (
        2,
        ["demo", "--set", "session.text_only=true", "--set", "transcriber.engine=none"],
        "nothing",
    ),
    "an endpoint that is none": (6, ["status", "--set", "events.endpoint=junk"], "'junk' is not an address"),
    "an endpoint that is too long": (6, ["status", "--set", f"events.endpoint=ipc:///{'x' * 200}"], "longer than"),
    "a port that is none": (6, ["status", "--set", "events.endpoint=tcp://127.0.0.1:99999"], "is not an address"),
    "a session to pause": (2, ["pause", "nobody"], "no session nobody runs here"),
    "no such config": (2, ["demo", "--config", "absent.toml"], "absent.toml"),
    "no words": (4, ["replay", "quiet.flac", "--transcript", "absent.vtt"], "absent.vtt"),
    "folder in the way": (4, ["demo", "--record", "folder"], "folder is not empty"),
    "not loopback": (6, ["demo", "--set", "events.endpoint=tcp://0.0.0.0:5577"], "0.0.0.0"),
    "not an address": (6, ["demo", "--set", "events.endpoint=here"], "here"),
    "no weights": (5, ["demo", "--set", "tracker.weights=folder"], "folder"),
    "weights that differ from their card": (
        5,
        ["demo", "--speed", "max", "--set", "tracker.weights=changed"],
        "card.json",
    ),
    "no recogniser here": (
        5,
        [
            "replay",
            "quiet.flac",
            "--speed",
            "max",
            "--set",
            "transcriber.engine=faster-whisper",
            "--set",
            "transcriber.model=base.en",
        ],
        "erc-live models fetch base.en",
    ),
    "no such recogniser here, though another is": (
        5,
        ["replay", "quiet.flac", "--speed", "max", "--set", "transcriber.model=base.en"],
        "erc-live models fetch base.en",
    ),
    "network": (2, ["demo", "--network", "gpt"], "erc-live train --corpus FOLDER --network NETWORK"),
    "unknown weights": (5, ["models", "fetch", "gpt"], "choose from"),
    "nobody publishes": (6, ["subscribe", "ipc://silence", "--wait", "0.1"], "is erc-live running"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_clear_line_and_a_documented_code(case, run, tmp_path, quiet, tiny_world):
    (tmp_path / "notes.txt").write_text("no media")
    (tmp_path / "empty.wav").write_bytes(
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\0\0\0\0"
    )
    shutil.copytree(tiny_world["tracker.weights"], tmp_path / "changed")
    with (tmp_path / "changed" / "model.safetensors").open("ab") as weights:
        weights.write(b"0")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    sound = b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x77\7\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\x40\x1f\0\0" + bytes(8_000)
    (tmp_path / "tag.wav").write_bytes(sound)
    (tmp_path / "back.srt").write_text("1\n00:00:02,000 --> 00:00:01,000\nbackwards\n")
    (tmp_path / "user.toml").write_text('[events]\nendpoint = "ipc://the-user-s-own"\n')
    code, arguments, says = WRONG[case]
    extra = options(tiny_world) if arguments[0] in ("replay", "demo") else []
    found, out, err = run(arguments[0], *extra, *arguments[1:])
    message = " ".join(err.split())
    assert found == code, err
    assert says in message
    assert "Traceback" not in err
    assert message.startswith("erc-live: ")
    assert not events(out)


def test_a_damaged_session_is_found_out_and_what_is_whole_is_saved(run, tmp_path, tiny_world):
    pcm = read_pcm(DEMO / "ada.flac")
    bundle = tmp_path / "bundle"
    sources = [RecordedSource(name="mic-0", kind="audio", speaker="Ada")]
    with Recorder(bundle, new_manifest("s", 0, 0, sources, {})) as recorder:
        for chunk in chunks("mic-0", pcm):
            recorder.write(chunk)
    assert run("session", "verify", bundle)[0] == 0
    hurt = sorted((bundle / "audio").iterdir())[1]
    hurt.write_bytes(hurt.read_bytes()[:-100])
    code, out, err = run("session", "verify", bundle)
    assert code == 4
    assert hurt.name in out
    code, _, err = run("replay", bundle, "--speed", "max", "--set", "transcriber.engine=none", *options(tiny_world))
    assert code == 4
    assert "Traceback" not in err
    assert run("session", "recover", bundle)[0] == 0
    assert run("session", "verify", bundle)[0] == 0
    code, out, err = run("replay", bundle, "--speed", "max", "--set", "transcriber.engine=none", *options(tiny_world))
    assert code == 0, err
    assert events(out)


def test_an_occupied_port_names_the_key_to_change(run, tiny_world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = run("demo", *options(tiny_world | {"events.endpoint": endpoint}))
    assert code == 6
    assert "events.endpoint" in err


def test_a_missing_microphone_is_a_device_error_before_anything_is_recorded(run, tmp_path, tiny_world):
    code, _, err = run("--mic", "no such microphone", "--record", "kept", *options(tiny_world))
    assert code == 3
    assert "Traceback" not in err
    assert not (tmp_path / "kept" / "session.json").exists()


def test_config_show_tells_who_set_what(run):
    code, out, _ = run("config", "show", "--origin", "--set", "segmenter.onset=0.6")
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("onset"))
    assert "0.6" in line
    assert "--set segmenter.onset" in line


def test_two_channels_of_one_file_are_two_microphones():
    from erc_live.live.session.launch import sources

    specs = sources([f"{DEMO / 'ada.flac'}@1=A", f"{DEMO / 'ada.flac'}@2=B", f"{DEMO / 'ben.flac'}"], [])
    assert [spec.channel for spec in specs] == [1, 2, None]


def test_two_sessions_of_one_second_have_names_of_their_own(run, quiet, tiny_world):
    arguments = ["replay", quiet, "--speed", "max", *options(tiny_world | {"transcriber.engine": "none"})]
    names = {json.loads(run(*arguments)[1].splitlines()[0])["session"] for _ in range(3)}
    assert len(names) == 3


def test_the_schema_is_json(run):
    code, out, _ = run("schema")
    assert code == 0
    assert "EmotionEvent" in json.loads(out)["$defs"]


def test_models_list_names_every_weight(run):
    code, out, _ = run("models", "list")
    assert code == 0
    for name in ("base.en", "minilm", "speaker", "yunet"):
        assert name in out
