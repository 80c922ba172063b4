"""A session that is replayed tells what it told when it was recorded: words, their times, how sure they were, and what
had recognised them.
"""

import json

import pytest
from short_demo import make_short_demo
from test_cli import a_fresh_user, run  # noqa: F401 - fixtures
from tiny_world import options

from erc_live.live.asr.transcribers import TimedWord, Transcript
from erc_live.live.session import engines

LATER = ("t_text_ns", "t_features_ns", "t_logits_ns", "t_published_ns", "session", "t_ns", "wall_ns")


class Recogniser:
    """Hears a word each 0.3 s, less and less surely, and now and then nothing."""

    quick = True

    def __init__(self) -> None:
        self.name = "faster-whisper base.en int8 on cpu"
        self.asked = 0

    def transcribe(self, utterance) -> Transcript:
        self.asked += 1
        if self.asked % 3 == 0:
            return Transcript("")
        length_s = utterance.end_s - utterance.start_s
        words = tuple(
            TimedWord(f"w{n}", 0.3 * n, min(0.3 * n + 0.2, length_s), 1 / (1 + n)) for n in range(int(length_s / 0.3))
        )
        language = "de" if self.asked == 2 else "en"
        return Transcript(" ".join(w.text for w in words), confidence=0.5, words=words, language=language)


def told(lines):
    """The stream, but for when it was worked on."""
    messages = [json.loads(line) for line in lines.splitlines()]
    return [{key: value for key, value in message.items() if key not in LATER} for message in messages]


def unnoticed(lines):
    """The same without the notice, which says whether it is being recorded."""
    return [{key: value for key, value in message.items() if key != "notice"} for message in told(lines)]


def test_the_stream_of_a_replay_is_the_recorded_one_also_once_more(run, tmp_path, tiny_world, monkeypatch):  # noqa: F811
    command = [each for each in make_short_demo(tmp_path) if not each.endswith(("--transcript", ".vtt"))]
    with monkeypatch.context() as patched:
        patched.setattr(engines, "open_transcriber", lambda *_: Recogniser())
        code, first, err = run(*command, "--speed", "max", "--record", tmp_path / "one", *options(tiny_world))
    assert code == 0, err
    replay = ("--speed", "max", *options(tiny_world))
    code, again, err = run("replay", tmp_path / "one", "--record", tmp_path / "two", *replay)
    assert code == 0, err
    assert told(again) == told(first)
    events = [event for event in told(again) if event["type"] == "EmotionEvent"]
    assert {event["engine"]["name"] for event in events} == {"faster-whisper base.en int8 on cpu"}
    assert {tuple(event["engine"]["languages"]) for event in events if event["words"]} == {(), ("de",)}
    assert any(not event["text"] for event in events)
    assert any(word["confidence"] == pytest.approx(1 / 3) for event in events for word in event["words"])
    code, once_more, err = run("replay", tmp_path / "two", *replay)
    assert code == 0, err
    assert unnoticed(once_more) == unnoticed(first)
