"""A recogniser of a pool in a process of this machine."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from erc_live.live.asr_pool.recogniser_pool import LoadedRecogniser, RecogniserLost
from erc_live.live.asr_pool.recogniser_work import work
from erc_live.live.config import ModelsSection, TranscriberSection
from erc_live.live.piped_process import PipedProcess


class RecogniserProcess:
    """A `PoolWorker`. `wake` is called, in some thread, when one of its futures is done.

    One thread waits for its answers, and for its end, so that who serves many sessions never waits.
    """

    def __init__(self, choice: TranscriberSection, models: ModelsSection, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._process = PipedProcess("erc-live recognise", RecogniserLost, work, choice, models)
        self._thread = ThreadPoolExecutor(1, "erc-live recognise")
        self.loaded: Future[LoadedRecogniser] = self._answer()

    @property
    def alive(self) -> bool:
        return self._process.alive

    def transcribe(self, sound: bytes, partial: bool) -> Future[bytes]:
        self._process.send((sound, partial))
        return self._answer()

    def end(self) -> None:
        self._leave(self._process.end)

    def kill(self) -> None:
        self._process.kill()
        self._leave(self._process.close)

    def _leave(self, close: Callable[[], None]) -> None:
        self._thread.submit(close)
        self._thread.shutdown(wait=False)

    def _answer(self) -> "Future[Any]":
        future = self._thread.submit(self._received)
        future.add_done_callback(lambda _: self._wake())
        return future

    def _received(self) -> Any:
        answer = self._process.receive()
        if isinstance(answer, Exception):
            raise answer
        return answer
