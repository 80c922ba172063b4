"""A process of another machine that scores: the same life as of one of this machine, in the place of its pipe a call.

It looks before anything is scored whether the machine is like the one that asks: the same recordings, weights and
version. Otherwise the events of a recording would depend on who scored it, or a machine that sees no recordings would
soon have failed with all of them.
The rule of this file: no Ray in it.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from erc_live.live.config import Config
from erc_live.live.errors import EngineError
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.live.scoring.score_work import Answer, Load, Score, load_here, work


class ScoreActor:
    """One `answer` after the other. Not safe for threads."""

    def __init__(self, config: Config, load: Load) -> None:
        self._tasks, self._answers = SimpleQueue[ScoreTask](), SimpleQueue[Answer]()
        arguments = (self._tasks.get, self._answers.put, config, load)
        Thread(target=work, args=arguments, daemon=True, name="erc-live score").start()

    def answer(self, task: ScoreTask | None = None) -> Answer:
        """The next; about this recording, if it is a new one."""
        if task:
            self._tasks.put(task)
        return self._answers.get()


@dataclass(frozen=True)
class LoadElsewhere:
    """Called on another machine, `load_here` there. `folder`: of the recordings; `working`: where relative paths begin;
    `settings`: as of `settings_of`, of the machine that asks.
    """

    folder: Path
    working: Path
    settings: Mapping[str, object]

    def __call__(self, config: Config) -> Score:
        """Raises EngineError where the machine is another kind of machine."""
        from erc_live.live.scoring.score_settings import settings_of
        from erc_live.live.session.heap import bound_kernel_caches
        from erc_live.models import card

        bound_kernel_caches()
        machine = socket.gethostname()
        try:
            os.chdir(self.working)
            os.scandir(self.folder).close()
        except OSError as error:
            raise EngineError(
                f"{machine}: {error.filename}: {error.strerror}: every machine must see the recordings, and the folder "
                "in which the command is given, at the same place"
            ) from error
        here = settings_of(config, card.read(config.tracker.weights))
        for name, wanted in self.settings.items():
            if here.get(name) != wanted:
                raise EngineError(
                    f"{machine}: {name} is {here.get(name)}, and {wanted} on the machine that asks: install the same "
                    "version, weights and recogniser on all of them"
                )
        return load_here(config)
