"""What a person hears of the interfaces beside the technician's port."""

from __future__ import annotations

import logging

import pytest

from tests.unit.tundev.port.replay import Replay, plugged, properties, unplugged
from tundev.port import others

MODEM = "eth1 (Gemalto GTO) is a modem"
SECOND = "enx00e04c680001 (Realtek Semiconductor Corp. RTL8153 Gigabit Ethernet Adapter)"


def test_who_waits_and_what_is_left_alone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    replay = Replay()
    for name in ("pi3b-onboard", "ax88179", "cdc-ether-modem", "r8152"):
        former = replay.choice
        replay.happen(plugged(properties(name), "eth1"))
        others.tell(former, replay.choice)
        others.tell(replay.choice, replay.choice)
    assert others.waiting(replay.choice) == [SECOND]
    assert others.left_alone(replay.choice) == [MODEM]
    port = "enx0050b6152e37 (ASIX Electronics Corp. AX88179 Gigabit Ethernet)"
    assert caplog.messages == [f"left alone: {MODEM}", f"{SECOND} waits: the technician's port is {port}"]


def test_an_adapter_that_takes_over_waits_no_longer() -> None:
    first, replay = properties("ax88179"), Replay()
    replay.happen([*plugged(first, "eth1"), *plugged(properties("r8152"), "eth1"), *unplugged(first)])
    assert others.waiting(replay.choice) == []
