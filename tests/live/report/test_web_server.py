"""The page of a running session on the loopback interface: who is let in, and what a browser is sent."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import recorded_talk as talk

from erc_live.live.report import web_server
from erc_live.live.report.page_state import PageState
from erc_live.live.report.web_server import HOST, WebServer
from erc_live.streams.errors import AddressError


@pytest.fixture
def server() -> Iterator[WebServer]:
    with closing(WebServer(PageState(live=True), 0)) as server:
        yield server


def ask(server: WebServer, path: str, host: str | None = None, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in {"Host": host or f"{HOST}:{server.port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def path(server: WebServer, name: str = "") -> str:
    return "/" + server.address.split("/", 3)[3] + name


def update(reply: http.client.HTTPResponse) -> tuple[str, dict]:
    """The next event: its id and what it says; comments are passed over."""
    last_id = ""
    while line := reply.readline().decode():
        if line.startswith("id: "):
            last_id = line[4:].strip()
        elif line.startswith("data: "):
            return last_id, json.loads(line[6:])
    raise EOFError


def test_only_who_knows_the_secret_and_names_this_server_is_answered(server):
    assert ask(server, path(server)).status == 200
    assert ask(server, path(server), f"localhost:{server.port}").status == 200
    assert ask(server, "/").status == 404
    assert ask(server, "/" + "x" * 22 + "/updates").status == 404
    assert ask(server, path(server, "other")).status == 404
    for host in ("evil.example", f"evil.example:{server.port}", HOST, ""):
        assert ask(server, path(server), host or " ").status == 421


def test_a_page_of_another_origin_is_allowed_nothing(server):
    reply = ask(server, path(server), Origin="http://evil.example")
    headers = {name.lower(): value for name, value in reply.getheaders()}
    assert not [name for name in headers if name.startswith("access-control")]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_it_listens_on_the_loopback_interface_alone(server):
    assert server._server.server_address[0] == "127.0.0.1"


def test_who_comes_late_is_given_all_and_then_what_changes(server):
    for message in talk.events()[:4]:
        server.feed(message)
    updates = ask(server, path(server, "updates"))
    _, first = update(updates)
    assert first["reset"]
    assert set(first["items"]["utterances"]) == {"d/u0", "d/u1"}
    server.feed(talk.said(7, 12.0))
    _, second = update(updates)
    assert not second["reset"]
    assert set(second["items"]["utterances"]) == {"d/u7"}


def test_who_comes_back_is_given_what_it_missed(server):
    server.feed(talk.greeting())
    server.feed(talk.said(0, 1.0))
    last_id, _ = update(ask(server, path(server, "updates")))
    server.feed(talk.said(1, 5.0))
    _, missed = update(ask(server, path(server, "updates"), **{"Last-Event-ID": last_id}))
    assert not missed["reset"]
    assert set(missed["items"]["utterances"]) == {"d/u1"}
    server.feed(talk.greeting())
    server.feed(talk.greeting(session="next"))
    _, anew = update(ask(server, path(server, "updates"), **{"Last-Event-ID": last_id}))
    assert anew["reset"]
    assert "utterances" not in anew["items"]


@pytest.mark.parametrize("last_id", ["-", "x-1", "1", "9-9", "0--1", "\xff"])
def test_a_strange_position_is_the_beginning(server, last_id):
    server.feed(talk.greeting())
    assert update(ask(server, path(server, "updates"), **{"Last-Event-ID": last_id}))[1]["reset"]


def test_one_who_takes_nothing_holds_up_nobody(server):
    server.feed(talk.greeting())
    with socket.create_connection((HOST, server.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.sendall(f"GET {path(server, 'updates')} HTTP/1.0\r\nHost: {HOST}:{server.port}\r\n\r\n".encode())
        updates = ask(server, path(server, "updates"))
        done = set()
        for number in range(300):
            server.feed(talk.said(number, number * 3.0, text="long " * 1000))
        while len(done) < 300:
            done |= set(update(updates)[1]["items"].get("utterances", ()))
    assert len(done) == 300


def test_a_stream_that_is_lost_says_so(server):
    server.feed(talk.greeting())
    server.say("lost", "no sign of life")
    assert update(ask(server, path(server, "updates")))[1]["items"]["status"]["now"]["phase"] == "lost"


def test_a_browser_that_has_gone_leaves_its_place(server, monkeypatch):
    monkeypatch.setattr(web_server, "SIGN_S", 0.05)
    server.feed(talk.greeting())
    threads = threading.active_count()
    for _ in range(5):
        reply = ask(server, path(server, "updates"))
        update(reply)
        reply.close()
    while threading.active_count() > threads:
        server.feed(talk.said(1, 1.0))
    assert update(ask(server, path(server, "updates")))


def test_a_port_that_is_taken_is_one_line(server):
    with pytest.raises(AddressError, match=rf"port {server.port} of 127\.0\.0\.1: .*; name another with --port"):
        WebServer(PageState(live=True), server.port)


def test_the_end_of_the_server_ends_the_streams():
    server = WebServer(PageState(live=True), 0)
    updates = ask(server, path(server, "updates"))
    update(updates)
    server.close()
    with pytest.raises(EOFError):
        update(updates)
