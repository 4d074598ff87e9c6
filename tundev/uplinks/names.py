"""The address of a name, as the DNS servers of one uplink tell it, asked over that uplink.

The system's resolver asks the servers of the uplink in use, and would say nothing
about another one. It is asked only where they do not know the name: it may be in a
file of this device. An answer is worth no more than what is then found at the address.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
from collections.abc import Sequence

from tundev.uplinks import bound
from vtunlib.errors import NameNotResolved

SECONDS = 2.0
"""For each server, which is asked twice: a datagram may be lost."""
TIMES = 2
PORT = 53

_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_ANSWER_LIMIT = 4096
_RECURSION_DESIRED, _IS_ANSWER, _RCODE = 0x0100, 0x8000, 0x000F
_NO_SUCH_NAME = 3
_A, _IN = 1, 1
_POINTER = 0xC0


def addresses(name: str, servers: Sequence[str], link: str, port: int = PORT) -> list[str]:
    """IPv4 addresses, or the name itself where it is an address. Blocks for some seconds.

    Raises NameNotResolved.
    """
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        pass
    for server in servers:
        for _ in range(TIMES):
            try:
                found = _ask(name, server, link, port)
            except (OSError, ValueError):
                continue
            return found or _by_the_system(name)
    if servers:
        raise NameNotResolved(f"no DNS server of {link} answers")
    return _by_the_system(name)


def _by_the_system(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        raise NameNotResolved(f"the name {name} cannot be resolved") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _ask(name: str, server: str, link: str, port: int) -> list[str]:
    question = _question(name)
    with bound.exchange(server, port, SECONDS, link) as sock:
        sock.send(question)
        return told(sock.recv(_ANSWER_LIMIT), question)


def _question(name: str) -> bytes:
    """A query for the A records of a name; its number is a random one. RFC 1035, 4.1."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    number = secrets.randbelow(1 << 16)
    return _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, _A, _IN)


def told(answer: bytes, question: bytes) -> list[str]:
    """The addresses in an answer to that question, none where there is no such name.

    Raises ValueError where it is no answer to it, or none that can be used.
    """
    try:
        number, flags, questions, records, _, _ = _HEADER.unpack_from(answer)
        asked = question[_HEADER.size :]
        start = _HEADER.size + len(asked)
        if (
            answer[:2] != question[:2]
            or not flags & _IS_ANSWER
            or questions != 1
            or answer[_HEADER.size : start].lower() != asked.lower()
        ):
            raise ValueError(f"message {number} is no answer to the question")
        if flags & _RCODE not in (0, _NO_SUCH_NAME):
            raise ValueError(f"the server cannot tell: {flags & _RCODE}")
        found = []
        for _ in range(records):
            start = _after_name(answer, start)
            kind, family, _, length = _RECORD.unpack_from(answer, start)
            start += _RECORD.size
            if (kind, family, length) == (_A, _IN, 4):
                found.append(str(ipaddress.IPv4Address(answer[start : start + 4])))
            start += length
    except (struct.error, IndexError) as error:
        raise ValueError(f"cut off: {error}") from None
    return list(dict.fromkeys(found))


def _after_name(message: bytes, start: int) -> int:
    """Where the name that begins at `start` ends; a pointer ends it. RFC 1035, 4.1.4."""
    while (length := message[start]) != 0:
        if length & _POINTER:
            return start + 2
        start += 1 + length
    return start + 1
