"""What a shell service leaves to the next one, through a small systemd that keeps what it is given."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdv import peer
from rdv.shell import descriptor_store, handover
from rdv.shell.handover import Standing
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role


class Store:
    """Takes what is sent to NOTIFY_SOCKET and keeps its descriptors by name (sd_notify(3))."""

    def __init__(self, path: Path) -> None:
        self.kept: dict[str, list[int]] = {}
        self.messages = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 253)
            words = dict(line.split("=", 1) for line in data.decode().splitlines())
            name = words.get("FDNAME", "")
            self.messages += 1
            if "END" in words:
                return
            if "FDSTORE" in words:
                self.kept.setdefault(name, []).extend(descriptors)
                continue
            for number in descriptors:  # a barrier's
                os.close(number)
            if "FDSTOREREMOVE" in words:
                for number in self.kept.pop(name, []):
                    os.close(number)

    def passed(self) -> dict[str, list[int]]:
        """As the next process gets them: copies."""
        return {name: [os.dup(number) for number in numbers] for name, numbers in self.kept.items()}

    def end(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(b"END=1", str(path))
        self._thread.join(10)
        self._socket.close()
        for numbers in self.kept.values():
            for number in numbers:
                os.close(number)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    path = tmp_path / "notify"
    made = Store(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    yield made
    made.end(path)


def connections(count: int) -> list[tuple[socket.socket, socket.socket, Standing]]:
    """The device's end, the server's end, and how it stands."""
    made = []
    for number in range(count):
        ours, theirs = socket.socketpair()
        standing = Standing(peer.cookie(theirs), Role.ONSITE, since=1_700_000_000 + number)
        made.append((ours, theirs, standing))
    return made


def test_connections_and_how_they_stand_come_out_as_they_went_in(store: Store) -> None:
    made = connections(450)  # more than go into one message
    first = made[0][2]
    first.facts, first.wait, first.ends = {"location": "Straße 3"}, ["wait_change"], 123.5
    first.unread, first.unsent, first.greeted, first.told = b"ech\xff", "ü$ ".encode(), True, "11111111"
    handover.leave([(theirs, standing) for _, theirs, standing in made])
    for _, theirs, _ in made:
        theirs.close()
    taken = handover.take(store.passed())
    assert [standing for _, standing in taken] == [standing for _, _, standing in made]
    assert store.kept == {}  # or what is closed here would stay open there
    for (ours, _, _), (connection, _) in zip(made, taken, strict=True):
        with ours, connection:
            connection.send(b"hello")
            assert ours.recv(5) == b"hello"


def test_what_nothing_was_told_of_is_closed_and_what_is_gone_is_passed_over(store: Store) -> None:
    known, unknown, gone = connections(3)
    handover.leave([known[1:], gone[1:]])
    descriptor_store.put("c", [unknown[1].fileno()])
    descriptor_store.settle()
    passed = store.passed()
    os.close(passed["c"].pop(1))  # systemd drops what the other end has closed
    for _, theirs, _ in (known, unknown, gone):
        theirs.close()
    ((connection, standing),) = handover.take(passed)
    assert standing == known[2]
    assert unknown[0].recv(1) == b""
    for one in (connection, known[0], unknown[0], gone[0]):
        one.close()


def test_what_an_older_version_did_not_tell_is_as_of_a_new_connection() -> None:
    told = [{"cookie": 7, "role": "onsite", "since": 1, "greeted": True, "unread": "\xe4"}]
    (standing,) = handover.decode(json.dumps(told).encode())
    assert standing == Standing(7, Role.ONSITE, since=1, greeted=True, unread=b"\xe4")


@pytest.mark.parametrize(
    "told", [b"", b"[{}]", b"[[]]", b'{"a": 1}', b"[5]", b"\xff", json.dumps([{"cookie": 1}]).encode()]
)
def test_what_another_version_told_ends_the_connections_and_nothing_else(store: Store, told: bytes) -> None:
    ((ours, theirs, _),) = connections(1)
    file = os.memfd_create("test")
    os.write(file, told)
    descriptor_store.put("standings", [file])
    descriptor_store.put("c", [theirs.fileno()])
    descriptor_store.settle()
    os.close(file)
    theirs.close()
    assert handover.take(store.passed()) == []
    assert ours.recv(1) == b"" and store.kept == {}
    ours.close()


def test_more_than_can_be_kept_have_to_dial_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "KEPT_LIMIT", 2)
    made = connections(3)
    handover.leave([(theirs, standing) for _, theirs, standing in made])
    assert made[2][0].recv(1) == b""
    assert len(store.kept["c"]) == 2
    for ours, theirs, _ in made:
        ours.close()
        theirs.close()


def test_the_first_process_finds_nothing_left() -> None:
    assert handover.take({"onsite": [3], "master": [4]}) == []


def test_without_systemd_nothing_is_stored_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with pytest.raises(RdvError, match="NOTIFY_SOCKET"):
        handover.leave([])
