"""What is to be known about a device is said once, where no dashboard shows it."""

import pytest

from erc_live.live.capture.source_spec import parse_mic
from erc_live.live.config import Config
from erc_live.live.session.spec import SessionSpec
from erc_live.live.session.supervisor import Supervisor
from erc_live.streams.messages import WorkerStatus


def status(worker, note):
    return WorkerStatus(worker=worker, pid=1, t_ns=0, phase="running", note=note)


@pytest.mark.parametrize("jsonl", [True, False])
def test_a_note_is_told_once_and_numbers_that_move_are_no_news(jsonl, tmp_path, capsys):
    session = SessionSpec(session="s", config=Config(), sources=(parse_mic("default", 0),), jsonl=jsonl)
    supervisor = Supervisor(session, "log")
    for worker, note in (
        ("mic-0", ""),
        ("mic-0", "clock +85 ppm"),
        ("mic-0", "clock +86.5 ppm"),
        ("mic-0", "sound is clipping"),
        ("perception", "faster-whisper base.en"),
        ("mic-0", "sound is clipping"),
    ):
        supervisor._print_notes(status(worker, note))
    told = ["mic-0: clock +85 ppm", "mic-0: sound is clipping"] if jsonl else []
    assert capsys.readouterr().err.splitlines() == told


class LoadingCrew:
    """Loads for ever."""

    def waiting(self):
        return ["perception (the encoders)", "tracker"]


class QuietBroker:
    """Nobody says anything."""

    def receive(self, timeout_s):
        pass


@pytest.mark.parametrize("jsonl", [True, False])
def test_a_session_that_is_stopped_while_it_loads_says_so_where_no_dashboard_does(jsonl, capsys):
    session = SessionSpec(session="s", config=Config(), sources=(parse_mic("default", 0),), jsonl=jsonl)
    supervisor = Supervisor(session, "log")
    supervisor._crew, supervisor._broker = LoadingCrew(), QuietBroker()
    supervisor._stop.set()
    assert not supervisor._begin()
    text = "The session ended before it began: still loading perception (the encoders), tracker.\n"
    assert capsys.readouterr().err.replace("\n", "") == (text.strip() if jsonl else "")
