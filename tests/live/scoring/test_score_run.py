"""What a score writes, and what it does not do again."""

import json

import pytest
from examples import event, hello, session_end
from fake_scores import fake_load, recordings

from erc_live.live.config import Config
from erc_live.live.errors import ConfigError
from erc_live.live.scoring.event_table import write_table
from erc_live.live.scoring.media_discovery import discover
from erc_live.live.scoring.score_processes import ProcessPool
from erc_live.live.scoring.score_progress import ScoreProgress
from erc_live.live.scoring.score_run import ScoreFolder
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.live.screen.sinks import json_line
from erc_live.streams.errors import MediaError, SessionError

SETTINGS = {"tracker.weights": "default", "segmenter.onset": 0.3}


def score(out, tasks, settings=SETTINGS):
    """-> names that were scored or tried now, and the folder."""
    with ScoreFolder(out, settings) as folder:
        plan = folder.plan(tasks)
        for _ in folder.score(plan.tasks, ProcessPool(Config(), fake_load), 1):
            pass
        return [task.name for task in plan.tasks], folder


def test_what_is_done_is_not_done_again(tmp_path):
    tasks = recordings(tmp_path, a="well", b="unreadable", c="broken")
    out = tmp_path / "out"
    names, folder = score(out, tasks)
    assert names == ["a.wav", "b.wav", "c.wav"]
    assert folder.exit_code == 4
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert [(line["recording"], line.get("scored", False)) for line in failures] == [("b.wav", False), ("c.wav", True)]
    first = (out / "a.wav.jsonl").read_bytes()
    tasks[1].path.write_text("well")  # it was mended
    names, folder = score(out, tasks)
    assert names == ["b.wav"]
    assert (out / "a.wav.jsonl").read_bytes() == first
    assert [failure.recording for failure in folder.failures] == ["c.wav"], "what broke off is said each time"
    tasks[0].path.write_text("well, and longer")
    (out / "b.wav.jsonl").unlink()
    assert score(out, tasks)[0] == ["a.wav", "b.wav"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in out.iterdir())


def test_a_torn_journal_costs_its_last_line(tmp_path):
    tasks = recordings(tmp_path, a="well", b="well")
    score(tmp_path / "out", tasks)
    journal = tmp_path / "out" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-7])
    assert score(tmp_path / "out", tasks)[0] == ["b.wav"]
    assert len(journal.read_bytes()) == len(whole)


def test_other_settings_are_refused_by_name(tmp_path):
    tasks = recordings(tmp_path, a="well")
    score(tmp_path / "out", tasks)
    with pytest.raises(ConfigError, match=r"segmenter.onset: 0.3, now 0.4\): name another folder"):
        score(tmp_path / "out", tasks, SETTINGS | {"segmenter.onset": 0.4})
    (tmp_path / "out" / "journal.jsonl").unlink()
    assert score(tmp_path / "out", tasks, SETTINGS | {"segmenter.onset": 0.4})[0] == ["a.wav"]


def test_one_process_writes_at_a_time(tmp_path):
    with ScoreFolder(tmp_path / "out", SETTINGS), pytest.raises(SessionError, match="another command"):
        ScoreFolder(tmp_path / "out", SETTINGS)


def test_a_recording_may_not_be_called_as_the_list_of_failures(tmp_path):
    with pytest.raises(ConfigError, match="rename it"):
        score(tmp_path / "out", [ScoreTask("failures", tmp_path)])


def test_media_and_recorded_sessions_are_discovered_in_order(tmp_path):
    for name in ("b/two.MP4", "b/one.flac", "a.wav", "b/notes.txt", "README", ".hidden/x.wav", "talk/audio/mic-0.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("session.json", "timing.jsonl"):
        (tmp_path / "talk" / name).touch()
    discovery = discover(tmp_path)
    assert [task.name for task in discovery.tasks] == ["a.wav", "b/one.flac", "b/two.MP4", "talk"]
    assert discovery.ignored == {".txt": 1, "no ending": 1}
    assert [task.name for task in discover(tmp_path / "talk").tasks] == ["talk"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="neither a recorded session"):
        discover(tmp_path / "empty")


def test_the_table_has_a_row_for_each_utterance_as_it_was_said_last(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    again = [event(0), event(1, text="well", revision=0), event(2, utterance=event(1).utterance, text="no", revision=1)]
    for name, events in (("one", again), ("none", [])):
        text = "".join(map(json_line, (hello(), *events, session_end())))
        (tmp_path / f"{name}.jsonl").write_text(text)
    files = [(name, tmp_path / f"{name}.jsonl") for name in ("none", "one")]
    assert write_table(tmp_path / "events.parquet", files, hello().labels) == 2
    table = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    assert [(row["recording"], row["text"]) for row in table] == [("one", event(0).text), ("one", "no")]
    assert all(row["start_time"] is None and row[f"p_{row['label']}"] == row["confidence"] for row in table)
    assert not [*tmp_path.glob("*.part")]


def test_progress_says_how_fast_and_how_long():
    tasks = [ScoreTask(name, None) for name in "abc"]
    progress = ScoreProgress(dict.fromkeys(tasks, 3600.0), now_s=100.0)
    assert progress.text(100.0) == "0 of 3"
    progress.advance(tasks[0], 1800.0)
    assert progress.text(460.0) == "0 of 3, 5.0 hours per hour, 0:30:00 left"
    progress.finish(tasks[0], failed=False)
    progress.finish(tasks[1], failed=True)
    assert progress.text(820.0) == "2 of 3, 5.0 hours per hour, 0:12:00 left, 1 failed"
