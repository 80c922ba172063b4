"""Endpoints: on this machine only, private to the user, never taken from somebody else."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from erc_live.streams.address import BusAddresses, check_endpoint, check_unused
from erc_live.streams.errors import AddressError

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


@pytest.mark.parametrize("why", ["no ipc", "long path"])
def test_without_a_usable_folder_workers_meet_at_free_ports(
    why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if why == "no ipc":
        monkeypatch.setattr("erc_live.streams.address._HAS_IPC", False)
    else:
        deep = tmp_path / ("x" * 100)
        deep.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(deep))
    with closing(BusAddresses()) as addresses:
        endpoint = addresses.endpoint("mic")
        assert addresses.endpoint("mic") == endpoint
    check_endpoint(endpoint)
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(endpoint.removeprefix("tcp://127.0.0.1:"))))


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
