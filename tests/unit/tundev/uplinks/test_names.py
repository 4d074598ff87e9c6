"""What a DNS server's answer is worth, whoever sent it."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest

from tundev.uplinks import names

QUESTION = names._question("rdv.example.com")
ASKED = QUESTION[12:]
ALIAS = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 6) + b"\x03www\xc0\x0c"


def record(address: str = "192.0.2.1", *, name: bytes = b"\xc0\x0c", kind: int = 1) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 60, 4) + bytes(map(int, address.split(".")))


def answer(*records: bytes, flags: int = 0x8180, number: bytes = QUESTION[:2], asked: bytes = ASKED) -> bytes:
    return number + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + asked + b"".join(records)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (answer(record()), ["192.0.2.1"]),
        (answer(record(), record("192.0.2.2"), record()), ["192.0.2.1", "192.0.2.2"]),
        (answer(ALIAS, record(name=b"\x03www\xc0\x0c")), ["192.0.2.1"]),
        (answer(record(kind=99)), []),
        (answer(flags=0x8183), []),
        (answer(record(), asked=ASKED.replace(b"rdv", b"RDV")), ["192.0.2.1"]),
    ],
    ids=["one", "several", "alias", "of-another-type", "no-such-name", "in-capitals"],
)
def test_the_addresses_are_found(message: bytes, found: list[str]) -> None:
    assert names.told(message, QUESTION) == found


@pytest.mark.parametrize(
    "message",
    [
        b"",
        QUESTION,
        answer(record(), number=bytes(byte ^ 1 for byte in QUESTION[:2])),
        answer(record(), asked=names._question("bank.example.com")[12:]),
        answer(flags=0x8182),
        answer(record())[:-1],
        answer(record(), record())[: -len(record())],
        answer(b"\x3f"),
    ],
    ids=["nothing", "a-question", "another-number", "another-name", "failure", "cut", "one-short", "no-end"],
)
def test_what_is_no_answer_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError):
        names.told(message, QUESTION)


def test_no_message_does_more_than_be_refused() -> None:
    chance = random.Random(5)  # noqa: S311  # the same in each run
    message = answer(ALIAS, record(), record("192.0.2.2"))
    for _ in range(5000):
        spoiled = bytearray(message[: chance.randrange(len(message) + 1)])
        for _ in range(chance.randrange(4)):
            if spoiled:
                spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        with suppress(ValueError):
            names.told(bytes(spoiled), QUESTION)
