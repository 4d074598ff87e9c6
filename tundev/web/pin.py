"""The page's PIN, of which its process has only what proves one right."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

COST = 2**14
"""scrypt's N, with r = 8 and p = 1: 16 MiB and some 50 ms, 0.3 s on a Pi 3. RFC 7914, section 2."""
_MEMORY = 64 * 1024 * 1024


@dataclass(frozen=True)
class PinHash:
    """A salted scrypt hash; both in hexadecimal."""

    salt: str
    value: str

    @classmethod
    def of(cls, pin: str) -> PinHash:
        """With a salt of its own."""
        salt = secrets.token_bytes(16)
        return cls(salt.hex(), _derive(pin, salt).hex())

    def matches(self, pin: str) -> bool:
        """Whether it is this PIN. It takes as long as COST says, in whatever thread this runs."""
        derived = _derive(pin, bytes.fromhex(self.salt))
        return hmac.compare_digest(derived, bytes.fromhex(self.value))


def _derive(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=COST, r=8, p=1, maxmem=_MEMORY, dklen=32)
