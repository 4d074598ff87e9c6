"""What the server takes from devices and from its admin's files, and what it refuses."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdv.devices import Device, DeviceStore, check_account
from rdv.facts import Facts
from rdv.manager.registry import Connection, Registry
from rdv.sessions import addresses
from rdv.shell.lines import Lines
from vtunlib.errors import (
    AlreadyExists,
    ConfigError,
    NotAllowed,
    NotFound,
    NotOnline,
    SessionFailed,
    UsageError,
)
from vtunlib.tunnel import Role
from vtunlib.words import LINE_LIMIT


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        ("lan", "192.168.1.2"),
        ("lan", "192.168.1.0/24"),
        ("lan", "192.168.1.255/24"),
        ("lan", "127.0.0.1/8"),
        ("lan", "224.0.0.1/24"),
        ("lan", "0.0.0.0/0"),
        ("lan", "fe80::1/64"),
        ("lan", "192.168.1.2/24; reboot"),
        ("dns", "192.168.1.1 resolver"),
        ("dns", "0.0.0.0"),
        ("dns", " ".join(["10.0.0.1"] * 9)),
        ("hostname", "a\x1b[2J"),
        ("hostname", "a\nb"),
        ("hostname", "x" * 201),
        ("version", "1\x1b[31m"),
        ("uplink", "LAN"),
        ("location", "a\u202eb\u0007"),
        ("mode", "L3"),
        ("account", "rpi1"),
    ],
)
def test_a_fact_that_is_not_of_its_form_is_refused(fact: str, text: str) -> None:
    with pytest.raises(UsageError):
        Facts().told(Role.ONSITE, fact, text)


def test_facts_are_told_one_by_one() -> None:
    told = Facts().told(Role.ONSITE, "lan", "192.168.1.2/24").told(Role.ONSITE, "dns", "192.168.1.1 8.8.8.8")
    assert str(told.lan) == "192.168.1.2/24"
    assert [str(server) for server in told.dns] == ["192.168.1.1", "8.8.8.8"]


@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)).map(
            lambda pair: ipaddress.IPv4Network(pair, strict=False)
        ),
        max_size=3,
    )
)
def test_legs_never_clash_with_the_devices_networks(taken: list[ipaddress.IPv4Network]) -> None:
    try:
        legs = addresses.choose(taken)
    except SessionFailed:
        return
    for leg in legs:
        assert {leg.rdv, leg.device} <= set(leg.network.hosts())
        assert not any(leg.network.overlaps(network) for network in taken)
    assert not legs[0].network.overlaps(legs[1].network)


def test_without_room_for_legs_there_is_no_session() -> None:
    with pytest.raises(SessionFailed):
        addresses.choose([ipaddress.IPv4Network("0.0.0.0/0")])


@pytest.mark.parametrize("name", ["", "Root", "1abc", "a_b", "a" * 32, "a;b", "../x", "a.b"])
def test_what_cannot_be_a_device_s_name(name: str) -> None:
    with pytest.raises(UsageError):
        check_account(name)


def test_a_device_s_file_is_written_and_read_back(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path)
    device = Device("rpi1100", Role.ONSITE, "Acme", 'the "Königs" boiler room')
    store.add(device)
    assert store.read("rpi1100") == device
    with pytest.raises(AlreadyExists):
        store.add(device)
    assert store.remove("rpi1100") and not store.remove("rpi1100")
    with pytest.raises(NotFound):
        store.read("rpi1100")


def test_a_device_is_disabled_and_enabled_and_its_file_is_else_as_the_admin_wrote_it(tmp_path: Path) -> None:
    store, file = DeviceStore(tmp_path), tmp_path / "rpi1100.toml"
    text = '# bought in May\nrole = "onsite"\n\nlabel = "not disabled = true"  # Acme\ngroups = ["a"]\n'
    file.write_text(text)
    file.chmod(0o640)
    assert not store.set_disabled("rpi1100", False)
    assert store.set_disabled("rpi1100", True) and not store.set_disabled("rpi1100", True)
    assert store.read("rpi1100") == Device("rpi1100", Role.ONSITE, "not disabled = true", "", ("a",), True)
    assert file.stat().st_mode & 0o777 == 0o640
    assert store.set_disabled("rpi1100", False)
    assert file.read_text() == text
    file.write_text(f"{text}disabled = false # for now\n")
    assert store.set_disabled("rpi1100", True)
    assert store.read("rpi1100").disabled
    assert store.names() == ["rpi1100"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('role = "both"\n', "1: role"),
        ('role = "onsite"\nlabel = 3\n', "2: label"),
        ('role = "onsite"\ncolor = "red"\n', "2: color"),
        ('role = "onsite"\ndisabled = "yes"\n', "2: disabled"),
        ('role = "onsite"\nlocation = "a\\u0007"\n', "2: location"),
        ("role = onsite\n", "rpi1.toml"),
    ],
)
def test_a_fault_in_a_device_s_file_names_line_and_key(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rpi1.toml").write_text(text)
    with pytest.raises(ConfigError, match="expected") as raised:
        DeviceStore(tmp_path).read("rpi1")
    assert told in str(raised.value)


def connection(account: str, role: Role = Role.ONSITE, sender: str = ":1.5") -> Connection:
    return Connection(Device(account, role), os.getuid(), sender, cookie=0)


def test_a_newer_connection_of_an_account_takes_over() -> None:
    registry, old, new = Registry(), connection("rpi1"), connection("rpi1")
    assert registry.attach(old) is None
    assert registry.attach(new) is old
    assert registry.online("rpi1") is new
    registry.remove(old)
    assert registry.online("rpi1") is new
    with pytest.raises(NotAllowed):
        registry.get(old.handle, old.sender)


def test_a_handle_is_worth_nothing_to_another_bus_connection() -> None:
    registry, known = Registry(), connection("rpi1")
    registry.attach(known)
    with pytest.raises(NotAllowed):
        registry.get(known.handle, ":1.6")
    with pytest.raises(NotAllowed):
        registry.get(known.handle, known.sender, Role.MASTER)
    with pytest.raises(NotOnline):
        registry.need_online("rpi1", Role.MASTER)


def read(data: bytes, count: int) -> list[str]:
    """The lines that a connection gets from these bytes; a refusal as its text."""

    async def run() -> list[str]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(data)
            ours.shutdown(socket.SHUT_WR)
            lines, found = Lines(theirs), []
            for _ in range(count):
                await lines.arrived()
                try:
                    found.append(lines.take())
                except UsageError as error:
                    found.append(f"refused: {error}")
            await lines.arrived()
            with pytest.raises(EOFError):
                lines.take()
            return found

    return asyncio.run(run())


def test_a_line_that_cannot_be_taken_is_refused_whole_and_the_next_is_read() -> None:
    data = b"one\n" + b"x" * (3 * LINE_LIMIT) + b"\n\xff\xfe\nlast\npartial"
    first, long, binary, last = read(data, 4)
    assert (first, last) == ("one", "last")
    assert "longer than 4096 bytes" in long
    assert "not UTF-8" in binary
