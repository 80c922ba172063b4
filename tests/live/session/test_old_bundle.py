"""A bundle that version 1 of the schema recorded (`goldens/bundle-v1`: the first 9 s of the demo) still replays."""

import json
import shutil
from pathlib import Path

import pytest

from erc_live.live import cli
from erc_live.live.asr.transcript_file import read_cues
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import SCHEMA, Recogniser
from erc_live.streams.recovery import verify
from erc_live.streams.session import open_session

GOLDEN = Path(__file__).parents[2] / "goldens" / "bundle-v1"


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "talk").mkdir()
    for path in GOLDEN.rglob("*.*"):
        target = tmp_path / "talk" / path.relative_to(GOLDEN)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "talk"


def test_it_is_whole_and_its_features_read_as_those_of_today(bundle):
    assert verify(bundle) == []
    features = open_session(bundle).features
    assert [each.utterance for each in features] == ["mic-1:608", "mic-0:4256", "mic-1:8096"]
    for each in features:
        assert each.engine == Recogniser(name="transcript transcript.vtt")
        assert each.vectors.keys() == {"text", "audio"}
        assert each.encoders.keys() == {"text", "audio", "visual"}


def test_its_replay_is_the_stream_of_then_in_the_words_of_today(bundle, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["erc-live", "replay", str(bundle), "--speed", "max", "--jsonl"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    now = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    then = [json.loads(line) for line in (bundle / "events.jsonl").read_text().splitlines()]
    events = [[message for message in stream if message["type"] == "EmotionEvent"] for stream in (now, then)]
    assert len(events[0]) == len(events[1]) == 3
    for new, old in zip(*events, strict=True):
        assert new["schema"] == SCHEMA
        assert (
            new["probs"].keys() == old["probs"].keys()
        )  # the weights were learnt anew: other figures, the same labels
        assert sum(new["probs"].values()) == pytest.approx(1.0, abs=1e-5)
        unchanged = ("utterance", "speaker_name", "text", "label", "t_start_ns", "t_end_ns", "revision", "words")
        assert {name: new[name] for name in unchanged} == {name: old[name] for name in unchanged}


def test_words_come_with_who_recognised_them(bundle):
    assert {cue.engine for cue in read_cues(bundle)} == {Recogniser(name="transcript transcript.vtt")}


def test_a_line_that_is_of_no_version_is_named(bundle):
    log = bundle / "features.jsonl"
    log.write_text(log.read_text().replace('"engine":"', '"engine":7,"x":"'))
    with pytest.raises(SessionError):
        open_session(bundle)
    assert verify(bundle)
