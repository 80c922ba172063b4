"""Who may read the stream beyond a socket of this user: keys that are known, and nobody else."""

import contextlib
import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import examples
import pytest
import zmq
from programs import publishing

from erc_live.streams.curve_keys import KeyFolder, KeyPair, is_key
from erc_live.streams.errors import AddressError, StreamLost
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import EmotionEvent, Hello, PublicEvent, SessionEnd
from erc_live.streams.subscribe import subscribe

DEADLINE_S = 60.0
ANYWHERE = "tcp://127.0.0.1:*"

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of files")


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "publisher")


@pytest.fixture
def other(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "other")


@pytest.fixture
def publisher(keys: KeyFolder) -> Iterator[EventPublisher]:
    """On TCP, with keys, and with somebody who polls it."""
    with closing(EventPublisher(ANYWHERE, history=3, keys=keys)) as publisher:
        publisher.publish(examples.hello())
        publisher.publish(examples.event(0))
        with served(publisher):
            yield publisher


@contextlib.contextmanager
def served(publisher: EventPublisher) -> Iterator[None]:
    over = threading.Event()

    def serve() -> None:
        while not over.wait(0.002):
            publisher.poll()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        over.set()
        server.join()


def first_two(endpoint: str, keys: KeyFolder, server_key: str | None) -> list[PublicEvent]:
    stream = subscribe(endpoint, timeout_s=DEADLINE_S, keys=keys, server_key=server_key)
    with closing(stream):
        return [next(stream), next(stream)]


def test_a_pair_is_made_once_and_is_its_owner_s(keys: KeyFolder) -> None:
    assert not keys.exists
    pair = keys.own()
    assert keys.exists
    assert keys.own() == pair
    assert is_key(pair.public)
    assert pair.public != pair.secret
    (file,) = keys.folder.iterdir()
    assert pair.secret in file.read_text()
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
        assert keys.folder.stat().st_mode & 0o777 == 0o700
    assert keys.renew() != pair
    assert keys.own() != pair


def make_pair(folder: Path) -> KeyPair:
    return KeyFolder(folder).own()


def test_processes_that_make_the_first_pair_at_once_make_the_same(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(make_pair, [tmp_path / "new"] * 16))) == 1


@posix
def test_a_secret_that_others_may_read_is_not_used(keys: KeyFolder) -> None:
    keys.own()
    (keys.folder / "own.key").chmod(0o640)
    with pytest.raises(AddressError, match="others may read this secret key; chmod 600"):
        keys.own()


@pytest.mark.parametrize("text", ["", "short", "\xff" * 40, "x" * 41, "~" * 40])
def test_a_damaged_secret_is_named(text: str, keys: KeyFolder) -> None:
    keys.folder.mkdir()
    path = keys.folder / "own.key"
    path.touch(mode=0o600)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(AddressError, match=r"own\.key") as caught:
        keys.own()
    assert "\n" not in str(caught.value)


def test_keys_are_allowed_by_name_and_revoked(keys: KeyFolder) -> None:
    first, second = KeyPair.new().public, KeyPair.new().public
    assert keys.allowed() == {}
    keys.allow("Ann's laptop", first)
    keys.allow("Ben", second)
    assert keys.allowed() == {"Ann's laptop": first, "Ben": second}
    keys.allow("Ben", first)
    keys.revoke("Ann's laptop")
    assert keys.allowed() == {"Ben": first}
    with pytest.raises(AddressError, match="nobody called 'Eve'"):
        keys.revoke("Eve")
    with pytest.raises(AddressError, match="no public key"):
        keys.allow("Eve", "1234")
    for name in ("", " x", "a\nb"):
        with pytest.raises(AddressError, match="no name"):
            keys.allow(name, first)
    (keys.folder / "allowed").write_text("nonsense\n")
    with pytest.raises(AddressError, match="nonsense is no line KEY NAME"):
        keys.allowed()


def test_a_key_can_stand_on_a_command_line() -> None:
    for _ in range(200):
        public = KeyPair.new().public
        assert not public.startswith("-")
        assert "'" not in public


def test_a_program_of_this_user_needs_to_be_told_of_no_key(publisher: EventPublisher, keys: KeyFolder) -> None:
    hello, event = first_two(publisher.endpoint, keys, None)
    assert isinstance(hello, Hello)
    assert isinstance(event, EmotionEvent)


def test_without_a_key_nothing_can_be_read(publisher: EventPublisher) -> None:
    with zmq.Context() as context, closing(context.socket(zmq.SUB)) as stranger:
        stranger.connect(publisher.endpoint)
        for topic in ("", "snapshot.x"):
            stranger.subscribe(topic)
        for seq in range(1, 20):
            publisher.publish(examples.event(seq))
            assert not stranger.poll(20)


def test_an_unknown_key_is_refused_and_named_until_it_is_allowed(
    publisher: EventPublisher, keys: KeyFolder, other: KeyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with pytest.raises(AddressError, match="does not know the key of this user"):
            first_two(publisher.endpoint, other, keys.own().public)
    (record,) = [record for record in caplog.records if "unknown key" in record.message]  # once, not at each try
    assert other.own().public in record.message
    keys.allow("other", other.own().public)
    assert isinstance(first_two(publisher.endpoint, other, keys.own().public)[1], EmotionEvent)


def test_who_is_revoked_is_cut_off(publisher: EventPublisher, keys: KeyFolder, other: KeyFolder) -> None:
    keys.allow("other", other.own().public)
    stream = subscribe(publisher.endpoint, timeout_s=DEADLINE_S, keys=other, server_key=keys.own().public)
    assert isinstance(next(stream), Hello)
    keys.revoke("other")
    with pytest.raises((AddressError, StreamLost)):
        for _ in stream:
            pass
    assert isinstance(first_two(publisher.endpoint, keys, None)[0], Hello)


def test_a_list_that_is_damaged_ends_no_session(publisher: EventPublisher, keys: KeyFolder, other: KeyFolder) -> None:
    keys.own()
    (keys.folder / "allowed").write_text("nonsense\n")
    with pytest.raises(AddressError, match="does not know the key"):
        first_two(publisher.endpoint, other, keys.own().public)
    assert isinstance(first_two(publisher.endpoint, keys, None)[0], Hello)


def test_a_stream_is_not_taken_from_somebody_else(publisher: EventPublisher, keys: KeyFolder, other: KeyFolder) -> None:
    """Who publishes has a key, too: a program that took the port is not believed."""
    keys.allow("other", other.own().public)
    with pytest.raises(AddressError):
        next(subscribe(publisher.endpoint, timeout_s=0.5, keys=other, server_key=KeyPair.new().public))


def test_with_keyless_whoever_reaches_it_reads(keys: KeyFolder) -> None:
    with closing(EventPublisher(ANYWHERE, history=3, keys=keys, keyless=True)) as publisher:
        publisher.publish(examples.hello())
        publisher.publish(examples.event(0))
        with served(publisher), zmq.Context() as context, closing(context.socket(zmq.SUB)) as stranger:
            stranger.connect(publisher.endpoint)
            stranger.subscribe("snapshot.x")
            assert stranger.poll(DEADLINE_S * 1000)
            assert json.loads(stranger.recv_multipart()[1])["type"] == "Hello"
            assert isinstance(first_two(publisher.endpoint, keys, "none")[1], EmotionEvent)
            with pytest.raises(AddressError, match=r"events\.keyless"):
                first_two(publisher.endpoint, keys, None)


@pytest.mark.parametrize(
    ("endpoint", "keyless", "says"),
    [
        ("tcp://0.0.0.0:5577", True, "keyless cannot be"),
        ("tcp://0.0.0.0:5577", False, "none may read: allow its key first"),
        ("tcp://*:5577", False, "none may read: allow its key first"),
        ("inproc://x", False, "other programs cannot"),
        ("ipc://@abstract", False, "other programs cannot"),
    ],
)
def test_where_nobody_should_publish_is_refused(endpoint: str, keyless: bool, says: str, keys: KeyFolder) -> None:
    with pytest.raises(AddressError, match=says):
        EventPublisher(endpoint, history=3, keys=keys, keyless=keyless)


def test_another_machine_needs_the_key_of_who_publishes(other: KeyFolder) -> None:
    with pytest.raises(AddressError, match="key of who publishes there"):
        next(subscribe("tcp://somewhere.example:5577", keys=other))
    with pytest.raises(AddressError, match="'abc' is no public key"):
        next(subscribe("tcp://somewhere.example:5577", keys=other, server_key="abc"))


READ = """
import sys
from pathlib import Path
from erc_live.streams import subscribe
from erc_live.streams.curve_keys import KeyFolder
endpoint, folder, server_key = sys.argv[1:]
for message in subscribe(endpoint, timeout_s=30, keys=KeyFolder(Path(folder)), server_key=server_key or None):
    sys.stdout.write(type(message).__name__ + "\\n")
"""


@pytest.fixture
def far_machine() -> Iterator[tuple[list[str], str]]:
    """Another machine, as far as the network knows: how a command runs there, and the address of this one from it."""
    name, here = f"erc-live-test-{time.monotonic_ns() % 10**6}", f"el{time.monotonic_ns() % 10**6}"
    commands = [
        f"ip netns add {name}",
        f"ip link add {here} type veth peer name far netns {name}",
        f"ip addr add 10.199.77.1/24 dev {here}",
        f"ip link set {here} up",
        f"ip netns exec {name} ip addr add 10.199.77.2/24 dev far",
        f"ip netns exec {name} ip link set far up",
    ]
    with ExitStack() as undo:
        for command in commands:
            try:
                subprocess.run(command.split(), check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"needs root and two network namespaces: {error}")
            if command == commands[0]:
                undo.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        yield ["ip", "netns", "exec", name], "10.199.77.1"


def test_two_machines_meet_with_keys_that_they_know(
    far_machine: tuple[list[str], str], keys: KeyFolder, other: KeyFolder
) -> None:
    there, address = far_machine
    stranger = KeyFolder(other.folder.parent / "stranger")
    keys.allow("other", other.own().public)
    endpoint = f"tcp://{address}:5577"
    with publishing(endpoint=endpoint, history=1, keys=str(keys.folder)) as publisher:
        assert publisher.stdin
        reads = {}
        for who in (other, stranger):
            call = [*there, sys.executable, "-c", READ, endpoint, str(who.folder), keys.own().public]
            reads[who] = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        refused, complaint = reads[stranger].communicate(timeout=DEADLINE_S)
        assert refused == ""
        assert "does not know the key of this user" in complaint.splitlines()[-1]
        reader = reads[other]
        assert reader.stdout
        assert [reader.stdout.readline() for _ in range(2)] == ["Hello\n", "EmotionEvent\n"]
        publisher.stdin.close()
        rest, _ = reader.communicate(timeout=DEADLINE_S)
    assert rest.splitlines()[-1] == SessionEnd.__name__
