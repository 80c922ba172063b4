"""From a row of a corpus to the folder of its run there is one way, and it is short.

A stay is a maximal visit to one file of `models/training`: the files whose functions are called, in the order of the
calls (`sys.setprofile`), the same file twice in a row being one stay. What is done again and again, for each dialogue,
text or step, is one visit: a sequence of files that comes again right after itself counts once.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

from worlds import CONFIG, bert, dataset

from erc_live.models.encoders.text import TextEncoder
from erc_live.models.training import trainer
from erc_live.models.training.graph_config import Report, Run
from erc_live.models.training.graph_training import train_graph

ROOM = Path(trainer.__file__).parent
MOST = 26  # one of them keeps text vectors, one says which dimensions are learnt


def stays(work: Callable[[], object], until: Callable[[], bool]) -> list[str]:
    """The files of the room that are visited by `work`, until something is so for the first time."""
    visited: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.parent == ROOM:
            if until():
                sys.setprofile(None)
            else:
                visited.append(file.name)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return collapsed(visited)


def collapsed(visited: list[str]) -> list[str]:
    """Without a sequence that comes again right after itself; the shortest sequences first."""
    size = 1
    while size <= len(visited) // 2:
        left: list[str] = []
        for name in visited:
            left.append(name)
            if left[-size:] == left[-2 * size : -size]:
                del left[-size:]
        if len(left) < len(visited):
            visited, size = left, 1
        else:
            size += 1
    return visited


def test_repetitions_are_one_visit() -> None:
    assert collapsed(list("aabababbc")) == list("abc")
    assert collapsed(list("abcabcd")) == list("abcd")
    assert collapsed(list("aba")) == list("aba")


def test_a_row_reaches_the_folder_of_its_run_in_few_stays(tmp_path: Path) -> None:
    """One epoch of one batch, text vectors made before; up to the first file in the run's folder."""
    encoder, config = tmp_path / "encoder", replace(CONFIG, epochs=1, batch_utterances=1_000)
    TextEncoder.load(bert(tmp_path / "bert")).save(encoder)
    train_graph(dataset(6, 3), encoder, config, Run(tmp_path / "before", tmp_path / "cache"))
    reports: list[Report] = []
    run = Run(tmp_path / "run", tmp_path / "cache", watch=reports.append)
    resume = run.out / "seed-0" / trainer.RESUME
    found = stays(lambda: train_graph(dataset(6, 3), encoder, config, run), resume.is_file)
    assert len(found) < MOST, " ".join(found)
