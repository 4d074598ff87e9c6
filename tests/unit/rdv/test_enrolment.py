"""Enrolment: one key for one use, and what is refused."""

from __future__ import annotations

import datetime
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdv.enrolment import keys
from rdv.enrolment import service as enrolment
from rdv.enrolment.keys import Keys, OneTime
from rdv.enrolment.service import pending, read_line, take_over
from vtunlib.errors import NotAllowed, ProtocolError, RdvError, Timeout, UsageError

OWN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFPyhpCMiTo5eYVSRAtQ9ZxxhGBkXNEHcfTD0Hm5PN0k"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
ONE_TIME = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDnhBi3jZyN1bLCQhIbfDp9cMcmQ4vDDGAHBVgxVN4eQ"
NOW = datetime.datetime(2026, 12, 2, tzinfo=datetime.UTC)
LATER = OneTime(ONE_TIME, NOW + datetime.timedelta(days=7))


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, device = socket.socketpair()
    with server, device:
        yield server, device


def test_a_line_is_read_to_its_end(connection: tuple[socket.socket, socket.socket]) -> None:
    server, device = connection
    device.sendall(OWN[:20].encode())
    threading.Timer(0.05, device.sendall, [OWN[20:].encode() + b" rpi1\n"]).start()
    assert read_line(server) == f"{OWN} rpi1"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"x" * 2000, ProtocolError),
        (b"one\ntwo\n", ProtocolError),
        (b"\xff\xfe\n", ProtocolError),
    ],
)
def test_what_is_no_single_line_is_refused(
    connection: tuple[socket.socket, socket.socket], said: bytes, kind: type[RdvError]
) -> None:
    server, device = connection
    device.sendall(said)
    with pytest.raises(kind):
        read_line(server)


def test_who_says_nothing_is_not_waited_for(connection: tuple[socket.socket, socket.socket]) -> None:
    server, device = connection
    device.sendall(b"ssh-ed")
    with pytest.raises(Timeout):
        read_line(server, seconds=0.05)


def test_who_hangs_up_is_told_from_who_says_something(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    server, device = connection
    device.close()
    with pytest.raises(ProtocolError, match="ended before"):
        read_line(server)


def test_a_device_s_own_key_takes_the_place_of_all_others(tmp_path: Path) -> None:
    before = Keys(OTHER, LATER)
    keys.write("rpi1", before, tmp_path)
    assert take_over("rpi1", LATER, f"{OWN} rpi1", tmp_path) == before
    assert keys.read("rpi1", tmp_path) == Keys(OWN)


def test_of_two_that_come_at_once_one_wins(tmp_path: Path) -> None:
    keys.write("rpi1", Keys("", LATER), tmp_path)
    start = threading.Barrier(8)
    won: list[str] = []

    def come(public: str) -> None:
        start.wait(10)
        try:
            take_over("rpi1", LATER, public, tmp_path)
        except NotAllowed:
            return
        won.append(public)

    threads = [threading.Thread(target=come, args=[key]) for key in (OWN, OTHER) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1
    assert keys.read("rpi1", tmp_path) == Keys(won[0])


@pytest.mark.parametrize(
    ("public", "kind"),
    [
        (ONE_TIME, UsageError),
        ("", UsageError),
        (f'command="sh" {OWN}', UsageError),
        (f"{OWN}\n{OTHER}", UsageError),
        ("ssh-rsa AAAA", UsageError),
    ],
)
def test_what_is_no_key_of_its_own_is_refused_and_the_one_time_key_stays(
    tmp_path: Path, public: str, kind: type[RdvError]
) -> None:
    keys.write("rpi1", Keys("", LATER), tmp_path)
    with pytest.raises(kind):
        take_over("rpi1", LATER, public, tmp_path)
    assert keys.read("rpi1", tmp_path) == Keys("", LATER)


def test_who_came_with_a_key_that_was_replaced_meanwhile_is_refused(tmp_path: Path) -> None:
    newer = Keys("", OneTime(OTHER, LATER.until))
    keys.write("rpi1", newer, tmp_path)
    with pytest.raises(NotAllowed, match=r"used or replaced meanwhile; .*re-enrol rpi1"):
        take_over("rpi1", LATER, OWN, tmp_path)
    assert keys.read("rpi1", tmp_path) == newer


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Keys(OWN), "was used or replaced"),
        (Keys(), "was used or replaced"),
        (Keys("", OneTime(ONE_TIME, NOW)), "has expired"),
    ],
)
def test_without_a_one_time_key_that_is_good_there_is_no_enrolment(found: Keys, told: str) -> None:
    with pytest.raises(NotAllowed, match=f"{told}; .*re-enrol rpi1"):
        pending(found, "rpi1", NOW)


def test_a_good_one_time_key_is_pending() -> None:
    assert pending(Keys(OTHER, LATER), "rpi1", NOW) == LATER


def test_who_is_no_device_is_refused(connection: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    from rdv.audit.events import forget
    from rdv.devices import DeviceStore

    server, device = connection
    device.sendall(f"{OWN}\n".encode())
    with pytest.raises(NotAllowed, match="is no device"):
        enrolment.enrol(server, DeviceStore(tmp_path), tmp_path, forget)
