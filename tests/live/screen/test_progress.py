"""How far something is, where nobody sees a bar: a line now and then, and none of what is soon done."""

import io

import pytest

from erc_live.live.screen import progress
from erc_live.live.screen.console import PlainConsole


class Pipe(PlainConsole):
    """Standard error that is no terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.file = io.StringIO()

    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()  # type: ignore[attr-defined]


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    console = Pipe()
    monkeypatch.setattr(progress, "err", console)
    return console


def test_a_pipe_gets_a_line_now_and_then(pipe: Pipe) -> None:
    clock = Seconds()
    with progress.counting() as bars:
        bars.get_time, bars._last_s = clock, 0.0  # type: ignore[attr-defined]
        task = bars.add_task("encoding texts", total=9000)
        for clock.now, done in ((1, 512), (19.9, 1024), (20, 1536), (39, 2048), (41, 2560), (60, 9000)):
            bars.update(task, completed=done)
    assert pipe.lines() == ["encoding texts: 1,536 of 9,000", "encoding texts: 2,560 of 9,000"]


def test_what_is_soon_done_is_not_told(pipe: Pipe) -> None:
    with progress.counting() as bars:
        assert list(bars.track(range(3), description="clips")) == [0, 1, 2]
    assert pipe.lines() == []
