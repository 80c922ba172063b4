"""The server around a shard, in a thread: senders that go, clocks that jump, a full disk, weights that change."""

import errno
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from erc_live.live import config as configuration
from erc_live.live.errors import exit_code
from erc_live.live.serving.log_place import log_place
from erc_live.live.serving.serve_loop import Serving, serve
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.session.feeding import DialogueReader
from erc_live.live.session.server_events import ServerEvents
from erc_live.models import checkpoint
from erc_live.models.checkpoint import Checkpoint
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureSender, Receipt
from erc_live.streams.messages import EmotionEvent, Relabel, SessionEnd
from erc_live.streams.subscribe import subscribe

WAIT_S = 120.0

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def loaded(tiny_world) -> Checkpoint:
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield Path(place)


class Server:
    """`serve` in a thread: `error` is what it ended with."""

    def __init__(self, folder: Path, weights: str, drain: bool = False) -> None:
        keys = [f"tracker.weights={weights}", f"events.endpoint=ipc://{folder}/e"]
        config = configuration.load(None, keys, {}).config
        place = log_place(str(folder / "log"))
        self.serving = Serving(config, f"ipc://{folder}/f", place, 4, drain=drain)
        self.error: Exception | None = None
        self.opened, self.stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.opened.wait(WAIT_S)

    def _run(self) -> None:
        try:
            serve(self.serving, lambda: None, lambda opened: self.opened.set(), self.stopping.is_set)
        except SessionError as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.stopping.set()
        self.join()


def receipts(sender: FeatureSender, count: int = 1) -> list[Receipt]:
    got: list[Receipt] = []
    deadline_s = time.monotonic() + WAIT_S
    while len(got) < count:
        assert time.monotonic() < deadline_s
        got += sender.poll(0.05)
    return got


def test_who_follows_a_dialogue_is_told_that_it_goes_back(loaded, folder, tiny_world):
    utterances = [generated(loaded, "a", number) for number in range(3)]
    relabel = Relabel(t_ns=1, dialogue="a", moved=("u1",), voice="mic#1", speaker_name="Ben", cause="correction")
    with closing(Server(folder, tiny_world["tracker.weights"])), closing(FeatureSender(f"ipc://{folder}/f")) as sender:
        for utterance in utterances:
            sender.send(utterance)
        receipts(sender, 3)
        messages = []
        for message in subscribe(f"ipc://{folder}/e", timeout_s=WAIT_S, dialogue="a"):
            messages.append(message)
            if isinstance(message, EmotionEvent) and message.seq == 2:
                sender.relabel(relabel)
                for utterance in utterances[1:]:
                    sender.send(structs.replace(utterance, revision=1, speaker_name="Ben"))
                assert [r.verdict for r in receipts(sender, 3)] == ["stored"] * 3
                sender.end("a", 0)
                receipts(sender)
    told = [m for m in messages if isinstance(m, EmotionEvent)]
    assert [(m.seq, m.utterance, m.revision, m.index) for m in told] == [
        (0, "u0", 0, 0),
        (1, "u1", 0, 1),
        (2, "u2", 0, 2),
        (3, "u1", 1, 1),
        (4, "u2", 1, 2),
    ]
    assert messages.index(relabel) == messages.index(told[3]) - 1
    assert isinstance(messages[-1], SessionEnd)


def test_who_feeds_a_dialogue_learns_from_its_receipts_where_to_read_what_is_decided(loaded, folder, tiny_world):
    utterances = [generated(loaded, "a", number) for number in range(3)]
    core = ServerEvents(loaded.card.labels, time.monotonic)
    with (
        closing(Server(folder, tiny_world["tracker.weights"])),
        closing(FeatureSender(f"ipc://{folder}/f")) as sender,
        closing(DialogueReader("a", keyless=False)) as reader,
    ):
        assert reader.read("", core) == []
        for utterance in utterances[:2]:
            sender.send(utterance)
        (place,) = {receipt.events for receipt in receipts(sender, 2)}
        read: list[EmotionEvent] = []
        going_on = structs.replace(utterances[2], final=False)
        for count, following in ((2, going_on), (3, structs.replace(utterances[2], revision=1)), (4, None)):
            deadline_s = time.monotonic() + WAIT_S
            while len(read) < count:  # the past, then what comes
                assert time.monotonic() < deadline_s
                sender.poll(0.02)
                read += reader.read(place, core)
            if following:
                sender.send(following)
    assert [(e.utterance, e.final) for e in read] == [("u0", True), ("u1", True), ("u2", False), ("u2", True)]
    assert core.lines == []


def test_a_sender_that_disappears_costs_the_others_nothing(loaded, folder, tiny_world):
    with closing(Server(folder, tiny_world["tracker.weights"])) as server:
        with closing(FeatureSender(f"ipc://{folder}/f")) as gone:
            gone.send(generated(loaded, "a", 0))
            receipts(gone)
            gone.send(generated(loaded, "a", 1))  # its receipt finds nobody
        with closing(FeatureSender(f"ipc://{folder}/f")) as other:
            for number in range(3):
                other.send(generated(loaded, "b", number))
            assert [r.verdict for r in receipts(other, 3)] == ["stored"] * 3
            other.send(generated(loaded, "a", 1))  # somebody goes on in its place
            assert [r.verdict for r in receipts(other)] == ["stored"]
    assert server.error is None


def test_a_system_clock_that_jumps_ends_no_dialogue_and_stamps_go_on(loaded, folder, tiny_world, monkeypatch):
    day_s, turn = 86_400.0, itertools.count()
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + day_s * 30 * (-1) ** next(turn))  # a month ahead, then behind
        patch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
        with (
            closing(Server(folder, tiny_world["tracker.weights"])),
            closing(FeatureSender(f"ipc://{folder}/f")) as sender,
        ):
            for number in range(6):
                sender.send(generated(loaded, "a", number))
                assert [r.verdict for r in receipts(sender)] == ["stored"]
            stream = subscribe(f"ipc://{folder}/e", timeout_s=WAIT_S, dialogue="a")
            events = [m for m in itertools.islice(stream, 7) if isinstance(m, EmotionEvent)]
    assert [event.index for event in events] == list(range(6))
    stamps = [stamp for event in events for stamp in (event.t_logits_ns, event.t_published_ns)]
    assert stamps == sorted(stamps)


def test_where_the_disk_is_full_the_server_ends_and_what_it_acknowledged_is_there(
    loaded, folder, tiny_world, monkeypatch
):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    weights = tiny_world["tracker.weights"]
    with closing(FeatureSender(f"ipc://{folder}/f")) as sender:
        server = Server(folder, weights)
        sender.send(generated(loaded, "a", 0))
        receipts(sender)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            sender.send(generated(loaded, "a", 1))
            server.join()
        assert exit_code(server.error) == 4
        assert "make room" in str(server.error)
        assert sender.waiting == 1
        with closing(Server(folder, weights)):  # there is room again
            assert [r.utterance for r in receipts(sender)] == ["u1"]


def test_a_server_that_drains_takes_no_new_dialogue_and_ends_with_the_last(loaded, folder, tiny_world):
    weights = tiny_world["tracker.weights"]
    with closing(FeatureSender(f"ipc://{folder}/f")) as sender:
        with closing(Server(folder, weights)):
            sender.send(generated(loaded, "a", 0))
            receipts(sender)
        server = Server(folder, weights, drain=True)
        sender.send(generated(loaded, "b", 0))
        (full,) = receipts(sender)
        assert (full.verdict, "--drain" in full.why) == ("full", True)
        sender.send(generated(loaded, "a", 1))
        sender.end("a", 0)
        assert [r.verdict for r in receipts(sender, 2)] == ["stored", "stored"]
        server.join()
        assert server.error is None
