"""The recorder of a session is killed, and another one takes its place."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from examples import event, hello, same
from fakes import chunks

from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.session.recording import recorder
from erc_live.live.session.recording_registry import recordings
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import SourceEnd
from erc_live.streams.recovery import recover, verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import open_session

SECOND = 1_000_000_000
LENGTH_S = 20

PROGRAM = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
import msgspec
from test_recording import SessionSpec, recorder, script
with recorder(msgspec.json.decode(sys.argv[1], type=SessionSpec), 0) as bundle:
    for message in script()[:500]:
        bundle.write(message)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def spec(folder: Path, session: str = "s1") -> SessionSpec:
    mic = SourceSpec(kind="mic", medium="file", name="mic-0", target="x.flac", speaker="Ann")
    return SessionSpec(session=session, config=Config(), sources=(mic,), record=str(folder))


def script() -> list[object]:
    out: list[object] = [hello()]
    pcm = np.random.default_rng(0).integers(-9_000, 9_000, LENGTH_S * 16_000).astype(np.int16)
    for number, chunk in enumerate(chunks("mic-0", pcm)):
        out += [chunk, event(number)] if number % 30 == 0 else [chunk]
    return [*out, SourceEnd(source="mic-0", t_ns=30 * SECOND, reason="stopped")]


def killed(session: SessionSpec) -> None:
    here = Path(__file__).parent
    paths = [str(here), str(here.parent.parent)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, msgspec.json.encode(session).decode(), *paths], check=False)
    assert done.returncode == -9


def test_another_recorder_goes_on_where_the_dead_one_was(tmp_path):
    session = spec(tmp_path / "kept")
    killed(session)
    with recorder(session, 0) as bundle:
        assert bundle is not None
        assert bundle.stored.until_ns["mic-0"] > 7 * SECOND
        assert bundle.stored.lines["events.jsonl"] > 10
        for message in script():
            bundle.write(message)
    assert verify(tmp_path / "kept") == []
    with recorder(spec(tmp_path / "whole"), 0) as bundle:
        assert bundle is not None
        for message in script():
            bundle.write(message)
    assert open_session(tmp_path / "kept").events == open_session(tmp_path / "whole").events
    media = [[*bundle_messages(tmp_path / name, 0)] for name in ("kept", "whole")]
    assert len(media[0]) == len(media[1]) == round(LENGTH_S * 31.25) + 1
    assert all(map(same, *media))
    assert tmp_path / "whole" in recordings()


def test_another_session_does_not_go_on_with_it_and_it_can_be_recovered(tmp_path):
    killed(spec(tmp_path / "kept"))
    with pytest.raises(SessionError, match="is not empty"), recorder(spec(tmp_path / "kept", "s2"), 0):
        pass
    assert "closed" in recover(tmp_path / "kept")
    with pytest.raises(SessionError, match="is not empty"), recorder(spec(tmp_path / "kept"), 0):
        pass
    assert verify(tmp_path / "kept") == []
