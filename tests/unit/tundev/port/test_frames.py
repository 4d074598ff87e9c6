"""What goes out on the technician's port and what is understood of what comes in."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from tests.fuzz.targets import through_the_kernel
from tests.unit.test_fuzz_targets import seeds
from tundev.port import frames

MAC, NONCE, TRANSACTION = bytes.fromhex("020000000001"), bytes(range(16)), b"abcd"
OFFER, SPANNING_TREE = seeds("frames")
SERVER = ipaddress.IPv4Address("192.168.77.1")


def test_a_loop_test_comes_back_as_it_went() -> None:
    frame = frames.loop_test(MAC, NONCE)
    assert frames.loop_nonce(frame) == NONCE
    assert frames.loop_nonce(frame[:40]) is None
    assert frames.loop_nonce(OFFER) is None


def test_a_server_is_known_by_what_it_calls_itself() -> None:
    assert frames.dhcp_server(OFFER) == SERVER
    unnamed = OFFER.replace(b"\x36\x04" + SERVER.packed, b"\x0c\x04abcd")
    assert frames.dhcp_server(unnamed) == SERVER  # by its packet


@pytest.mark.parametrize("frame", [frames.discover(MAC, TRANSACTION), frames.reboot(MAC, TRANSACTION)])
def test_a_question_is_whole_and_no_servers(frame: bytes) -> None:
    assert frames.dhcp_server(frame) is None
    words = struct.unpack("!10H", frame[14:34])
    assert sum(words) % 0xFFFF == 0  # RFC 1071, with the checksum in it
    assert int.from_bytes(frame[16:18], "big") == len(frame) - 14
    assert frame[:12] == b"\xff" * 6 + MAC


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(13, 0xDD, id="IPv6"),
        pytest.param(14, 0x44, id="a header too short"),
        pytest.param(14, 0x65, id="another version"),
        pytest.param(17, 0xFF, id="longer than the frame"),
        pytest.param(20, 0x20, id="a fragment"),
        pytest.param(23, 6, id="TCP"),
        pytest.param(35, 53, id="another port"),
        pytest.param(42, 1, id="a client's"),
        pytest.param(278, 0, id="BOOTP"),
        pytest.param(284, 9, id="another message"),
    ],
)
def test_what_is_not_a_servers_answer_is_passed_over(place: int, value: int) -> None:
    changed = bytearray(OFFER)
    changed[place] = value
    assert frames.dhcp_server(bytes(changed)) is None
    assert frames.dhcp_server(OFFER) is not None


def test_options_end_where_they_are_cut_off() -> None:
    assert frames._options(b"\x35\x01\x02\x36\x04\xc0\xa8") == {53: b"\x02"}
    assert frames._options(b"\x35\x01\x02\x36") == {53: b"\x02"}
    assert frames._options(b"\x00\x35\x01\x02\x35\x01\x05\xff\x36\x00") == {53: b"\x02"}


def test_the_kernel_lets_through_what_is_looked_for_and_nothing_else() -> None:
    assert through_the_kernel(OFFER)
    assert through_the_kernel(SPANNING_TREE)
    for frame in (frames.discover(MAC, TRANSACTION), frames.loop_test(MAC, NONCE), OFFER[:30], b""):
        assert not through_the_kernel(frame)
    fragment = bytearray(OFFER)
    fragment[21] = 1
    other_group = bytearray(SPANNING_TREE)
    other_group[5] = 0x0E  # LLDP
    assert not through_the_kernel(bytes(fragment))
    assert not through_the_kernel(bytes(other_group))


def test_the_kernel_lets_through_whatever_is_understood() -> None:
    with_options = bytearray(OFFER)
    with_options[14] = 0x46
    with_options[16:18] = (len(OFFER) - 14 + 4).to_bytes(2, "big")
    with_options[34:34] = bytes(4)
    for frame in (OFFER, SPANNING_TREE, bytes(with_options)):
        assert frames.dhcp_server(frame) == SERVER or frames.is_spanning_tree(frame)
        assert through_the_kernel(frame)
