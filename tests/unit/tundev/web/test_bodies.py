"""What the page may send, and how it is told what is wrong with it."""

from __future__ import annotations

import json

import pytest

from tundev.web import bodies
from tundev.web.bodies import Wish
from vtunlib.errors import UsageError
from vtunlib.tunnel import TunnelMode


def test_a_wish_is_parsed_to_types() -> None:
    values = {"onsite": "rpi1100", "mode": "L2", "reason": "Störung 4711", "seconds": 3600, "patience": 60}
    body = json.dumps(values).encode()
    assert bodies.wish(body) == Wish("rpi1100", TunnelMode.L2, "Störung 4711", 3600, 60)
    assert bodies.wish(b'{"onsite": "rpi1100"}') == Wish("rpi1100")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "onsite is missing"),
        ("{}", "onsite is missing"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ("[" * 4000, "not JSON"),
        ('{"onsite": "rpi1100", "root": true}', "'root' is unknown"),
        ('{"onsite": 5}', "onsite: expected a string"),
        ('{"onsite": ""}', "onsite: expected a string of 1"),
        ('{"onsite": "rpi1100\\n"}', "printable"),
        ('{"onsite": "rpi1100", "mode": "L4"}', "mode: expected L2 or L3"),
        ('{"onsite": "rpi1100", "mode": ["L3"]}', "mode: expected"),
        ('{"onsite": "rpi1100", "reason": "\\u001b[2J"}', "printable"),
        ('{"onsite": "rpi1100", "reason": "\\ud800"}', "printable"),
        ('{"onsite": "rpi1100", "seconds": -1}', "seconds: expected whole seconds"),
        ('{"onsite": "rpi1100", "seconds": true}', "seconds: expected whole seconds"),
        ('{"onsite": "rpi1100", "seconds": 1e3}', "seconds: expected whole seconds"),
        ('{"onsite": "rpi1100", "seconds": NaN}', "seconds: expected whole seconds"),
        ('{"onsite": "rpi1100", "seconds": 604801}', "from 0 to 604800"),
        ('{"onsite": "rpi1100", "patience": 601}', "from 0 to 600"),
        (json.dumps({"onsite": "rpi1100", "reason": "x" * 201}), "0 to 200"),
    ],
)
def test_what_is_not_of_its_form_is_refused_with_the_form(body: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        bodies.wish(body.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UsageError, match="not JSON"):
        bodies.wish(b"\xff\xfe{")


def test_a_login_is_a_pin_and_nothing_else() -> None:
    assert bodies.pin(b'{"pin": "4711"}') == "4711"
    for body in (
        b"{}",
        b'{"pin": 4711}',
        b'{"pin": "4711", "user": "root"}',
        b'{"pin": "' + b"1" * 65 + b'"}',
    ):
        with pytest.raises(UsageError):
            bodies.pin(body)


def test_a_pin_is_not_repeated_in_what_is_wrong_with_it() -> None:
    with pytest.raises(UsageError) as error:
        bodies.pin(b'{"pin": "47\\n11"}')
    assert "47" not in str(error.value)


def test_a_disconnect_says_nothing() -> None:
    bodies.nothing(b"{}")
    bodies.nothing(b"")
    with pytest.raises(UsageError, match="known are: none"):
        bodies.nothing(b'{"force": true}')
