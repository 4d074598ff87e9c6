"""A function runs inside a namespace; its process stays outside."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.netns.conftest import ip, open_descriptors
from vtunlib import namespace as namespaces
from vtunlib.errors import NotFound, RdvError
from vtunlib.namespace import inside


def link_names() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def test_the_function_sees_only_the_namespace_and_the_process_never_does(namespace: str) -> None:
    before = link_names()
    ip("link", "add", "inner", "type", "bridge", namespace=namespace)
    assert inside(namespace, link_names) == ["lo", "inner"]
    assert link_names() == before


def test_a_socket_stays_where_it_was_opened(namespace: str) -> None:
    ip("link", "set", "lo", "up", namespace=namespace)
    with inside(namespace, socket.create_server, ("127.0.0.1", 5001)) as server:
        server.setblocking(False)
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", 5001)):
            pass
        inside(namespace, socket.create_connection, ("127.0.0.1", 5001)).close()
        server.accept()[0].close()


def test_what_it_raises_is_raised_outside(namespace: str) -> None:
    def fail() -> None:
        raise RdvError("inner")

    with pytest.raises(RdvError, match="inner"):
        inside(namespace, fail)


def test_none_is_our_own_namespace() -> None:
    assert inside(None, link_names) == link_names()
    assert namespaces.exists(None)


def test_a_namespace_that_is_not_there_is_told(namespace: str) -> None:
    assert namespaces.exists(namespace)
    ip("netns", "delete", namespace)
    assert not namespaces.exists(namespace)
    with pytest.raises(NotFound, match=namespace):
        inside(namespace, link_names)


def test_a_file_that_is_no_namespace_is_told(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "DIRECTORY", tmp_path)
    (namespaces.DIRECTORY / "stale").touch()  # as a crashed `ip netns add` leaves it
    assert not namespaces.exists("stale")
    with pytest.raises(NotFound):
        inside("stale", link_names)


@pytest.mark.parametrize("name", ["", "../net", "a/b", "-x", ".."])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RdvError):
        inside(name, link_names)


def test_nothing_is_left_open(namespace: str) -> None:
    inside(namespace, link_names)
    descriptors, threads = open_descriptors(), threading.active_count()
    for _ in range(20):
        inside(namespace, link_names)
    assert open_descriptors() == descriptors
    assert threading.active_count() == threads
