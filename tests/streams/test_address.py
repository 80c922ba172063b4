"""Endpoints: on this machine only, private to the user, never taken from somebody else."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
import zmq

from erc_live.streams.address import BusAddresses, check_endpoint, check_unused, is_used, public_endpoint
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.runtime_folder import runtime_folder
from erc_live.streams.sockets import guard

needs_ipc = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no ipc://")


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://127.0.0.1:5577", "tcp://127.8.8.8:1", "tcp://[::1]:5577", "tcp://localhost:*", "inproc://x"],
)
def test_this_machine_is_allowed(endpoint: str) -> None:
    check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://*:5577", "tcp://0.0.0.0:5577", "tcp://192.168.1.4:5577", "tcp://[::]:5577", "tcp://eth0:1", "tcp://host:1"],
)
def test_other_machines_need_encryption(endpoint: str) -> None:
    with pytest.raises(AddressError, match="CURVE") as caught:
        check_endpoint(endpoint)
    assert endpoint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        *["", "5577", "127.0.0.1:5577", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:70000"],
        *["tcp://127.0.0.1:0", "tcp://127.0.0.1:x", "tcp://:1", "udp://127.0.0.1:1", "ipc://", "inproc://"],
    ],
)
def test_malformed_endpoints_are_answered_with_the_right_form(endpoint: str) -> None:
    with pytest.raises(AddressError, match=r"tcp://127\.0\.0\.1:PORT"):
        check_endpoint(endpoint)


@needs_ipc
def test_a_path_longer_than_a_socket_may_have_is_refused() -> None:
    with pytest.raises(AddressError, match="longer than"):
        check_endpoint("ipc:///" + "x" * 110)


@needs_ipc
def test_workers_meet_in_a_private_folder_that_goes_away() -> None:
    addresses = BusAddresses()
    endpoints = [addresses.endpoint(worker) for worker in ("mic", "a/../b" * 40)]
    folder = Path(endpoints[0].removeprefix("ipc://")).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(set(endpoints)) == 2
    assert addresses.endpoint("mic") == endpoints[0]
    for endpoint in endpoints:
        check_endpoint(endpoint)
        assert Path(endpoint.removeprefix("ipc://")).parent == folder
    (folder / "0").touch()  # what a killed worker leaves
    addresses.close()
    assert not folder.exists()


def test_where_only_tcp_exists_workers_meet_at_free_ports_with_keys_of_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("erc_live.streams.address._HAS_IPC", False)
    with closing(BusAddresses()) as addresses, closing(BusAddresses()) as others:
        endpoint = addresses.endpoint("mic")
        assert addresses.endpoint("mic") == endpoint
        assert addresses.pair
        assert addresses.pair != others.pair
        check_endpoint(endpoint)
        with (
            zmq.Context() as context,
            closing(context.socket(zmq.XPUB)) as outlet,
            closing(context.socket(zmq.SUB)) as worker,
            closing(context.socket(zmq.SUB)) as stranger,
            closing(context.socket(zmq.SUB)) as of_another_session,
        ):
            guard(outlet, addresses.pair, server=True)
            outlet.bind(endpoint)
            guard(worker, addresses.pair, server=False)
            assert others.pair
            guard(of_another_session, others.pair, server=False)
            for reader in (stranger, of_another_session, worker):
                reader.connect(endpoint)
                reader.subscribe("")
            assert outlet.recv() == b"\x01"  # the worker's
            outlet.send_multipart([b"audio", b"hush"])
            assert worker.recv_multipart() == [b"audio", b"hush"]
            assert not stranger.poll(50)
            assert not of_another_session.poll(0)


@needs_ipc
def test_a_long_temporary_folder_makes_no_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 105)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with closing(BusAddresses()) as addresses:
        assert addresses.pair is None
        endpoint = addresses.endpoint("mic")
        assert endpoint.startswith("ipc:///")
        assert "xxx" not in endpoint
        check_endpoint(endpoint)


@needs_ipc
@pytest.mark.parametrize("why", ["others may enter", "a link", "a file", "long"])
def test_a_folder_that_is_not_ours_alone_is_not_used(
    why: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    place = home / ("x" * 100 if why == "long" else "erc-live")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place if why == "long" else home))
    match why:
        case "others may enter":
            place.mkdir(mode=0o700)
            place.chmod(0o750)
        case "a link":
            place.symlink_to(tmp_path_factory.mktemp("elsewhere"))
        case "a file":
            place.touch()
        case "long":
            place.mkdir()
    found = runtime_folder()
    assert home not in found.parents
    assert found.lstat().st_mode & 0o777 == 0o700
    shutil.rmtree(home)


@needs_ipc
def test_without_a_folder_of_ones_own_it_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erc_live.streams.runtime_folder._is_ours", lambda place, user: False)
    for call in (BusAddresses, runtime_folder, lambda: public_endpoint("auto")):
        with pytest.raises(AddressError, match="set XDG_RUNTIME_DIR to a folder of your own") as caught:
            call()
        assert "\n" not in str(caught.value)


@needs_ipc
def test_the_default_is_a_socket_of_this_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        monkeypatch.setenv("XDG_RUNTIME_DIR", home)
        assert public_endpoint("auto") == f"ipc://{home}/erc-live/events"
        assert public_endpoint("tcp://127.0.0.1:1") == "tcp://127.0.0.1:1"
        with closing(EventPublisher("auto", history=1)) as publisher:
            path = Path(publisher.endpoint.removeprefix("ipc://"))
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(AddressError, match="in use"):
                EventPublisher("auto", history=1)
        assert not path.exists()


HOLD = """
import sys
from erc_live.streams.address import BusAddresses
addresses = BusAddresses()
sys.stdout.write(addresses.endpoint("mic") + "\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@needs_ipc
def test_what_a_killed_session_left_is_swept_and_what_lives_is_not() -> None:
    sessions = [
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    with sessions[0] as killed, sessions[1] as alive:
        assert killed.stdout
        assert alive.stdout
        folders = [Path(s.stdout.readline().strip().removeprefix("ipc://")).parent for s in (killed, alive)]
        killed.kill()
        killed.wait()
        assert folders[0].exists()
        (folders[0] / "0").touch()
        with closing(BusAddresses()):
            assert not folders[0].exists()
            assert folders[1].exists()
        alive.kill()
    with closing(BusAddresses()):
        assert not folders[1].exists()


@needs_ipc
def test_a_session_that_just_starts_is_not_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the folder and its lock is a moment."""
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        monkeypatch.setenv("XDG_RUNTIME_DIR", home)
        fresh, old = (runtime_folder() / name for name in ("s-fresh", "s-old"))
        fresh.mkdir()
        old.mkdir()
        os.utime(old, (0, 0))
        with closing(BusAddresses()):
            assert fresh.exists()
            assert not old.exists()


@needs_ipc
def test_a_path_in_use_is_not_taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # short paths
    check_unused("ipc://nobody")
    Path("notes.txt").write_text("mine")
    with pytest.raises(AddressError, match="not a socket"):
        check_unused("ipc://notes.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("live")
        server.listen()
        with pytest.raises(AddressError, match="in use"):
            check_unused("ipc://live")
    check_unused("ipc://live")  # the file is still there, and nobody listens
    assert Path("live").exists()


@pytest.mark.parametrize(
    "endpoint",
    [
        f"ipc:///{'x' * 200}",
        "ipc:///nowhere",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:*",
        "tcp://elsewhere.invalid:1",
        "",
    ],
)
def test_nobody_listens_where_nobody_can(endpoint):
    assert is_used(endpoint) is False


def test_who_listens_is_known_of_both_kinds():
    with closing(BusAddresses()) as addresses:
        endpoint = addresses.endpoint("events")
        assert not is_used(endpoint)
        with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
            publisher.bind(endpoint)
            assert is_used(endpoint)
            port = publisher.bind_to_random_port("tcp://127.0.0.1")
            assert is_used(f"tcp://127.0.0.1:{port}")
