"""What is asked and heard on the wire of the technician's port: frames made, and frames read.

Pure. What is read came from whoever is plugged in: it is looked at as far as it is what was
expected, within its length, and nothing of it is kept but an address.
"""

from __future__ import annotations

import ipaddress
import struct

from vtunlib.probe import checksum

ETH_P_ALL = 0x0003
ETH_P_LOOP_TEST = 0x88B5
"""IEEE 802's local experimental EtherType 1: no protocol of anybody else has it."""

NONCE_LENGTH = 16
SNAP_LENGTH = 2048
"""Bytes of a frame that are read, more than one of Ethernet has."""

_ETH_P_IP = 0x0800
_BROADCAST = b"\xff" * 6
BRIDGES = bytes.fromhex("0180c2000000")
"""IEEE 802.1D: the address that bridges talk to each other by. No bridge forwards it."""
_LLC_SPANNING_TREE = bytes.fromhex("424203")
_SHORTEST = 60
_LOOP_WORDS = b"tundev-port loop test"

_UDP = 17
_SERVER_PORT, _CLIENT_PORT = 67, 68

# RFC 2131 and 2132
_BOOTREQUEST, _BOOTREPLY = 1, 2
_BROADCAST_FLAG = 0x8000
_COOKIE = bytes.fromhex("63825363")
_BOOTP_LENGTH = 236
_PAD, _END = 0, 255
_REQUESTED_ADDRESS, _MESSAGE_TYPE, _SERVER_ID, _PARAMETERS = 50, 53, 54, 55
_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK = 1, 2, 3, 5, 6
_NOWHERE = ipaddress.IPv4Address("192.0.2.1")
"""An address of no network (RFC 5737)."""


def discover(mac: bytes, transaction: bytes) -> bytes:
    """DHCPDISCOVER: who gives out addresses here? Nothing is taken up that is offered."""
    return _question(mac, transaction, bytes([_MESSAGE_TYPE, 1, _DISCOVER, _PARAMETERS, 2, 1, 3]))


def reboot(mac: bytes, transaction: bytes) -> bytes:
    """DHCPREQUEST of a client that was elsewhere before: may I keep an address of no network?

    A server refuses at once, where before an offer many first ping the address for seconds.
    """
    wish = bytes([_MESSAGE_TYPE, 1, _REQUEST, _REQUESTED_ADDRESS, 4]) + _NOWHERE.packed
    return _question(mac, transaction, wish)


def _question(mac: bytes, transaction: bytes, options: bytes) -> bytes:
    bootp = struct.pack("!BBBB4sHH16s", _BOOTREQUEST, 1, 6, 0, transaction, 0, _BROADCAST_FLAG, bytes(16))
    bootp += mac.ljust(16, b"\0") + bytes(192) + _COOKIE + options + bytes([_END])
    bootp = bootp.ljust(300, b"\0")  # RFC 1542, 2.1: some relays drop what is shorter
    udp = struct.pack("!HHHH", _CLIENT_PORT, _SERVER_PORT, 8 + len(bootp), 0) + bootp
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, _UDP, 0, bytes(4), b"\xff\xff\xff\xff"
    )
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return _BROADCAST + mac + struct.pack("!H", _ETH_P_IP) + header + udp


def loop_test(mac: bytes, nonce: bytes) -> bytes:
    """A broadcast that nobody answers, and that comes back where the wire leads back to this device."""
    frame = _BROADCAST + mac + struct.pack("!H", ETH_P_LOOP_TEST) + _LOOP_WORDS + nonce
    return frame.ljust(_SHORTEST, b"\0")


def loop_nonce(frame: bytes) -> bytes | None:
    """The nonce of a loop_test; None where the frame is something else."""
    words = struct.pack("!H", ETH_P_LOOP_TEST) + _LOOP_WORDS
    nonce = frame[12 + len(words) :][:NONCE_LENGTH]
    return nonce if frame[12:].startswith(words) and len(nonce) == NONCE_LENGTH else None


def is_spanning_tree(frame: bytes) -> bool:
    """Whether it is a BPDU: a switch says how it is connected."""
    return frame.startswith(BRIDGES) and frame[14:17] == _LLC_SPANNING_TREE


def dhcp_server(frame: bytes) -> ipaddress.IPv4Address | None:
    """Who sent it, where it is a DHCP server's answer, to whomever; None where it is something else."""
    message = _from_server(frame)
    if message is None or message[0] != _BOOTREPLY or message[_BOOTP_LENGTH:][:4] != _COOKIE:
        return None
    options = _options(message[_BOOTP_LENGTH + 4 :])
    if options.get(_MESSAGE_TYPE) not in (bytes([_OFFER]), bytes([_ACK]), bytes([_NAK])):
        return None
    named = options.get(_SERVER_ID, b"")
    return ipaddress.IPv4Address(named if len(named) == 4 else frame[26:30])


def _from_server(frame: bytes) -> bytes | None:
    """What a UDP datagram from a DHCP server to a client carries."""
    if len(frame) < 34 or frame[12:14] != struct.pack("!H", _ETH_P_IP) or frame[14] >> 4 != 4:
        return None
    header, length = (frame[14] & 0x0F) * 4, int.from_bytes(frame[16:18], "big")
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    if frame[23] != _UDP or fragment or header < 20 or length > len(frame) - 14:
        return None
    datagram = frame[14 + header : 14 + length]
    if len(datagram) < 8 + _BOOTP_LENGTH or datagram[:4] != struct.pack("!HH", _SERVER_PORT, _CLIENT_PORT):
        return None
    return datagram[8:]


def _options(field: bytes) -> dict[int, bytes]:
    """The options of a DHCP message, each as it comes first, up to what is cut off or ends them."""
    found: dict[int, bytes] = {}
    place = 0
    while place < len(field) and field[place] != _END:
        if field[place] == _PAD:
            place += 1
            continue
        value = field[place + 2 :][: field[place + 1]] if place + 1 < len(field) else b""
        if place + 1 >= len(field) or len(value) < field[place + 1]:
            break
        found.setdefault(field[place], value)
        place += 2 + len(value)
    return found


def kernel_filter() -> bytes:
    """A classic BPF program (linux/filter.h) that lets through what came in and may be one of the above.

    So that the traffic of a session costs nothing: struct sock_filter, one after the other.
    """
    load_byte, load_half, load_word = 0x30, 0x28, 0x20  # BPF_LD | BPF_ABS | size
    load_half_there, header_length = 0x48, 0xB1  # BPF_LD | BPF_IND | BPF_H; BPF_LDX | BPF_MSH | BPF_B
    equals, any_bit, answer = 0x15, 0x45, 0x06  # BPF_JMP | BPF_JEQ, BPF_JMP | BPF_JSET, BPF_RET
    packet_type, outgoing = 0xFFFFF004, 4  # SKF_AD_OFF + SKF_AD_PKTTYPE, linux/if_packet.h
    take, drop = 15, 16
    steps = [
        (load_byte, None, None, packet_type),
        (equals, drop, None, outgoing),
        (load_word, None, None, 0),
        (equals, None, 6, int.from_bytes(BRIDGES[:4], "big")),
        (load_half, None, None, 4),
        (equals, take, drop, int.from_bytes(BRIDGES[4:], "big")),
        (load_half, None, None, 12),
        (equals, None, drop, _ETH_P_IP),
        (load_byte, None, None, 23),
        (equals, None, drop, _UDP),
        (load_half, None, None, 20),
        (any_bit, drop, None, 0x1FFF),
        (header_length, None, None, 14),
        (load_half_there, None, None, 14),
        (equals, None, drop, _SERVER_PORT),
        (answer, None, None, SNAP_LENGTH),
        (answer, None, None, 0),
    ]
    return b"".join(
        struct.pack(
            "=HBBI",
            code,
            0 if then is None else then - place - 1,
            0 if otherwise is None else otherwise - place - 1,
            value,
        )
        for place, (code, then, otherwise, value) in enumerate(steps)
    )
