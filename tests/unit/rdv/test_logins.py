"""From where a device is logged in: sshd's word, and behind stunnel what the two say together."""

from __future__ import annotations

import asyncio

import pytest

from rdv.logins.login_lines import Accepted, Line, Refused, Stranger, TlsCame, TlsWentOn
from rdv.logins.origins import Logins, Origin, Remembered, Transport

KEY = "SHA256:CEPTrbn+nbCiTUTkvCr2a7tyrk3L5bCq0YZw8LC1iAg"
DIRECT = Accepted(70, "rpi1100", "203.0.113.21", 40112, KEY)
BEHIND = Accepted(70, "rpi1100", "127.0.0.1", 46420, KEY)
CAME = TlsCame(5, "203.0.113.21")
WENT_ON = TlsWentOn(5, 46420)


def origin(before: list[Line], after: list[Line], account: str = "rpi1100") -> Origin | None:
    """Of the relay with the parents 71 and 70; `after` is heard once it is waited for."""

    async def asked() -> Origin | None:
        logins = Logins(wait=0.3)
        for line in before:
            logins.hear(line)
        asking = asyncio.create_task(logins.of([72, 71, 70], account))
        await asyncio.sleep(0)
        for line in after:
            logins.hear(line)
            await asyncio.sleep(0)
        return await asking

    return asyncio.run(asked())


@pytest.mark.parametrize("known", range(3))
def test_the_lines_may_come_before_or_after_the_device(known: int) -> None:
    lines: list[Line] = [CAME, WENT_ON, BEHIND]
    assert origin(lines[:known], lines[known:]) == Origin("203.0.113.21", Transport.TLS)


def test_sshd_s_own_word_may_come_before_stunnel_s() -> None:
    assert origin([BEHIND], [CAME, WENT_ON]) == Origin("203.0.113.21", Transport.TLS)


def test_without_stunnel_it_is_what_sshd_sees() -> None:
    assert origin([DIRECT], []) == Origin("203.0.113.21", Transport.SSH)


def test_who_dials_from_this_very_host_is_not_waited_for_longer_than_it_takes() -> None:
    assert origin([BEHIND], []) == Origin("127.0.0.1", Transport.SSH)


def test_a_login_of_another_account_or_process_is_not_this_device_s() -> None:
    assert origin([DIRECT], [], account="rpi1101") is None
    assert origin([Accepted(99, "rpi1100", "192.0.2.1", 1, KEY)], []) is None


def test_a_port_that_is_used_again_is_of_the_newest_connection() -> None:
    lines: list[Line] = [TlsCame(4, "192.0.2.9"), TlsWentOn(4, 46420), CAME, WENT_ON, BEHIND]
    assert origin(lines, []) == Origin("203.0.113.21", Transport.TLS)


def test_who_is_refused_is_told() -> None:
    told: list[Line] = []
    logins = Logins()
    lines: list[Line] = [Refused("rpi1100", "203.0.113.21", 40112, KEY), Stranger(), DIRECT]
    logins.hear(lines[0])  # nobody listens yet
    logins.refused = told.append
    for line in lines:
        logins.hear(line)
    assert told == lines[:2]


def test_only_so_much_is_remembered_and_nobody_who_waited_is() -> None:
    async def waited() -> None:
        some: Remembered[int, int] = Remembered(room=3)
        assert await some.wait([1, 2], 0.01) is None
        assert not some._waiting
        for number in range(10):
            some.put(number, number)
        assert [number for number in range(10) if some.get(number) is not None] == [7, 8, 9]

    asyncio.run(waited())
