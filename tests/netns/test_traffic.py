"""The bytes of a session are those that its tunnel device has counted."""

from __future__ import annotations

import os

import pytest

from rdv.sessions import traffic
from rdv.sessions.traffic import Traffic
from tests.netns.attach import attach
from tests.netns.conftest import ip
from vtunlib.namespace import inside
from vtunlib.network import Network, Tun
from vtunlib.tunnel import TunnelMode

SIZE = 1000
"""Bytes of a packet, or of a frame."""


@pytest.mark.parametrize("mode", list(TunnelMode))
def test_what_the_onsite_sends_is_counted_as_coming_from_it(namespace: str, mode: TunnelMode) -> None:
    Network(namespace).set([Tun("onsite", mode)])
    vtund = inside(namespace, attach, "onsite", mode)
    try:
        packet = b"\x45\x00" + SIZE.to_bytes(2, "big") + bytes(4) + b"\x40\x11" + bytes(SIZE - 10)
        before = traffic.read(namespace)
        os.write(vtund.fileno(), packet)
        after = traffic.read(namespace)
    finally:
        vtund.close()
    assert before is not None and after is not None
    assert after.from_onsite - before.from_onsite == SIZE
    assert (
        after.to_onsite - before.to_onsite < SIZE
    )  # what the kernel itself sends, such as its router search


def test_where_there_is_no_session_nothing_is_known(namespace: str) -> None:
    assert traffic.read(namespace) is None
    assert traffic.read("rdv-ffffffff") is None
    Network(namespace).set([Tun("onsite", TunnelMode.L3)])
    assert traffic.read(namespace) == Traffic(0, 0)
    ip("link", "delete", "onsite", namespace=namespace)
    assert traffic.known(namespace) is None
