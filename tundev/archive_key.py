"""The public key that an apt repository is signed with, as `gpg --export --armor` writes it (RFC 9580, 6).

Nothing is verified with it here: gpgv does that for apt. This only tells a key from what was
copied by halves, or is the private one.
"""

from __future__ import annotations

import base64
import binascii
import re

_BEGIN, _END = (f"-----{word} PGP PUBLIC KEY BLOCK-----" for word in ("BEGIN", "END"))
_ARMOUR = re.compile(
    rf"\s*{_BEGIN}[ \t]*\n(?P<headers>(?:[A-Za-z]+: .*\n)*)[ \t]*\n"
    rf"(?P<body>[A-Za-z0-9+/=\s]+?)(?:\n=(?P<sum>[A-Za-z0-9+/]{{4}})\s*)?\n{_END}\s*"
)
_PUBLIC_KEY = 6
"""The tag of the packet that such a block begins with (RFC 9580, 5)."""
_CRC_START, _CRC_POLYNOMIAL = 0xB704CE, 0x1864CFB
"""Of the checksum, as RFC 9580, 6.1 has it."""


def parse(text: str) -> str | None:
    """The key alone, for apt's Signed-By; None where it is none, or damaged."""
    found = _ARMOUR.fullmatch(text.replace("\r\n", "\n"))
    if found is None:
        return None
    try:
        packets = base64.b64decode("".join(found["body"].split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not packets or _tag(packets[0]) != _PUBLIC_KEY:
        return None
    check = base64.b64encode(_crc24(packets).to_bytes(3, "big")).decode()
    if found["sum"] not in (None, check):
        return None
    body = base64.b64encode(packets).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([_BEGIN, "", *lines, f"={check}", _END, ""])


def _tag(first: int) -> int | None:
    """Of a packet, by its first byte: of the present form, or of the one before."""
    if not first & 0x80:
        return None
    return first & 0x3F if first & 0x40 else first >> 2 & 0x0F


def _crc24(data: bytes) -> int:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc
