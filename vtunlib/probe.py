"""Reachability, asked on the wire: an ICMP echo, or an ARP probe where there is no address to ask from.

The sockets are raw, opened inside the namespace (CAP_NET_RAW) and used from the
running loop. Nobody answering is an answer, None, not an error.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import struct
import time
from typing import Any

from vtunlib.errors import RdvError
from vtunlib.namespace import inside

_ECHO_REPLY = 0
_ECHO_REQUEST = 8
_SOL_RAW = 255
_ICMP_FILTER = 1  # linux/icmp.h
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3  # linux/in.h
_ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_RECEIVE = 65536


async def ping(
    address: ipaddress.IPv4Address,
    *,
    namespace: str | None = None,
    link: str | None = None,
    deadline: float = 1.0,
    payload: int = 16,
    whole: bool = False,
) -> float | None:
    """Seconds until `address` answered one ICMP echo, None if it did not within `deadline` seconds.

    link: send through this one, whatever the routes say. payload: bytes of data; whole: the packet
    may not be fragmented, whatever size the kernel believes to pass. No route, a link
    that is down or gone or carries less is None too. Raises RdvError without CAP_NET_RAW, and
    NotFound without the namespace.
    """
    try:
        sock = inside(namespace, _open_icmp, link, whole)
    except OSError:
        return None
    with sock:
        echo = struct.pack("!HH", secrets.randbits(16), 1) + secrets.token_bytes(payload)
        try:
            async with asyncio.timeout(deadline):
                started = time.perf_counter()
                await _send(sock, _icmp(_ECHO_REQUEST, echo), (str(address), 0))
                while True:
                    packet, (source, _) = await _receive(sock)
                    if source == str(address) and _icmp_payload(packet) == (_ECHO_REPLY, echo):
                        return time.perf_counter() - started
        except (TimeoutError, OSError):
            return None


async def arp_probe(
    address: ipaddress.IPv4Address,
    link: str,
    *,
    namespace: str | None = None,
    mac: str | None = None,
    deadline: float = 1.0,
) -> tuple[float, str] | None:
    """Seconds until `address` answered an ARP probe on `link`, and its MAC address; None without.

    The probe has no sender address (RFC 5227), so it needs none on the link and
    touches nobody's ARP cache. mac: ask only this station instead of all. A link
    that is down or gone is None too. Raises RdvError without CAP_NET_RAW, and
    NotFound without the namespace.
    """
    try:
        sock = inside(namespace, _open_arp, link)
    except OSError:
        return None
    with sock:
        own: bytes = sock.getsockname()[4]
        request = _arp_request(own, _mac(mac) if mac else _BROADCAST, address)
        try:
            async with asyncio.timeout(deadline):
                started = time.perf_counter()
                await _send(sock, request)
                while True:
                    frame, _ = await _receive(sock)
                    answer = _arp_answer(frame, own, address)
                    if answer is not None:
                        return time.perf_counter() - started, answer
        except (TimeoutError, OSError):
            return None


async def _send(sock: socket.socket, data: bytes, to: tuple[str, int] | None = None) -> None:
    loop = asyncio.get_running_loop()
    if to is None:
        await loop.sock_sendall(sock, data)
    else:
        await loop.sock_sendto(sock, data, to)


async def _receive(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    received: Any = await asyncio.get_running_loop().sock_recvfrom(sock, _RECEIVE)
    packet, source = received
    return packet, source


def _open_icmp(link: str | None, whole: bool) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except PermissionError:
        raise RdvError("an ICMP echo needs CAP_NET_RAW") from None
    try:
        sock.setblocking(False)
        # Only echo replies reach us.
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
        if whole:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
        if link is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    except BaseException:
        sock.close()
        raise
    return sock


def _icmp(kind: int, rest: bytes) -> bytes:
    message = struct.pack("!BBH", kind, 0, 0) + rest
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _icmp_payload(packet: bytes) -> tuple[int, bytes] | None:
    """Type and what follows the checksum, of an IPv4 packet with ICMP in it."""
    if not packet:
        return None
    message = packet[(packet[0] & 0x0F) * 4 :]
    return (message[0], message[4:]) if len(message) >= 8 else None


def _open_arp(link: str) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP))
    except PermissionError:
        raise RdvError("an ARP probe needs CAP_NET_RAW") from None
    try:
        sock.setblocking(False)
        sock.bind((link, _ETH_P_ARP))
    except BaseException:
        sock.close()
        raise
    return sock


def _mac(text: str) -> bytes:
    try:
        mac = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise RdvError(f"{text!r} is no MAC address")
    return mac


def _arp_request(own: bytes, to: bytes, address: ipaddress.IPv4Address) -> bytes:
    ethernet = to + own + struct.pack("!H", _ETH_P_ARP)
    header = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    frame = ethernet + header + own + bytes(4) + bytes(6) + address.packed
    return frame.ljust(60, b"\0")  # the least that Ethernet carries


def _arp_answer(frame: bytes, own: bytes, address: ipaddress.IPv4Address) -> str | None:
    """The MAC address of who says, to us, that `address` is there."""
    if len(frame) < 42 or frame[12:14] != struct.pack("!H", _ETH_P_ARP):
        return None
    if frame[14:22] != struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) or frame[32:38] != own:
        return None
    if frame[28:32] != address.packed:
        return None
    return frame[22:28].hex(":")
