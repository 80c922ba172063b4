"""Fixtures of the tests of recognisers."""

import socket

import pytest


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the network fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("a recogniser opened the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
