"""The log of a session: whole lines that a program can read, of bounded size, on the disk only where that may be."""

import json
import logging
from pathlib import Path

import pytest

from erc_live.live.session import log_file
from erc_live.live.session.log_file import session_log

log = logging.getLogger("erc_live.live.session.supervisor")


def entries(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_when_how_grave_and_of_which_process(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    with session_log(path) as opened:
        assert opened.place == str(path)
        log.info("begun: %s", "über")
        log.warning("two\nlines", extra={"worker": "mic-0"})
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            log.exception("wrong")
        logging.getLogger("others").info("not of ours")
        logging.getLogger("others").warning("of others")
        assert not opened.tail
    log.warning("after the end")
    first, second, third, fourth = entries(path.read_text(encoding="utf-8"))
    assert (first["message"], first["level"], first["worker"]) == ("begun: über", "info", "supervisor")
    assert first["time"].endswith("+00:00")
    assert (second["message"], second["worker"]) == ("two\nlines", "mic-0")
    assert "ZeroDivisionError" in third["traceback"]
    assert fourth["message"] == "of others"
    assert path.stat().st_mode & 0o077 == 0


def test_it_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST_BYTES", 2_000)
    with session_log(tmp_path / "s.log"):
        for number in range(500):
            log.warning("line %d", number)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["s.log", "s.log.1", "s.log.2"]
    assert all(path.stat().st_size <= 2_000 for path in files)
    lines = [entry["message"] for path in reversed(files) for entry in entries(path.read_text())]
    assert lines == [f"line {number}" for number in range(500 - len(lines), 500)], "the newest, whole and in order"


def test_without_a_file_the_last_lines_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with session_log(None) as opened:
        for number in range(2 * log_file.TAIL):
            log.warning("line %d", number)
        assert len(opened.tail) == log_file.TAIL
        assert json.loads(opened.tail[-1])["message"] == f"line {2 * log_file.TAIL - 1}"
        assert "printed" in opened.place
    assert not [*tmp_path.iterdir()]
