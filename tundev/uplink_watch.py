"""tundev-uplink-watch: which of this device's uplinks is used, by whether it reaches the RDV server.

It answers on the bus (tundev.contract). What it does is tundev.uplinks.watch.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from dbus_fast import Message
from dbus_fast.service import ServiceInterface

from tundev import config
from tundev.contract import GET_UPLINKS, PICK, UPLINK_WATCH, UPLINKS_CHANGED, UplinkKey
from tundev.uplinks import passphrase
from tundev.uplinks.standing import Standing
from tundev.uplinks.watch import Watch
from vtunlib import bus as buses
from vtunlib.errors import UsageError
from vtunlib.service import Readiness, exit_code, until_one_ends, until_told
from vtunlib.tunnel import UplinkType


class _Interface(ServiceInterface):
    """org.rdv.TundevUplinks1."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        super().__init__(UPLINK_WATCH.interface)

    @buses.answers(GET_UPLINKS)
    @buses.annotated("aa{sv}")
    async def get_uplinks(self):  # type: ignore[no-untyped-def]
        await self._watch.seen.wait()
        return [buses.variants(uplink) for uplink in self._watch.uplinks()]

    @buses.answers(PICK)
    @buses.annotated("", kind="s")
    async def pick(self, kind):  # type: ignore[no-untyped-def]
        if kind not in list(UplinkType):
            raise UsageError(f"uplink {kind!r} is unknown", f"expected {', '.join(UplinkType)}")
        await self._watch.pick.take(UplinkType(kind), buses.sender())


def _status(uplinks: list[dict[str, Any]]) -> str:
    used = [uplink[UplinkKey.LINK] for uplink in uplinks if uplink[UplinkKey.STANDING] == Standing.IN_USE]
    return f"{used[0]} of {len(uplinks)}" if used else "no uplink"


async def serve() -> None:
    """Until told to end. Raises RdvError where it cannot even start."""
    settings = config.load()
    bus = await buses.connect()
    readiness = Readiness()

    def tell(uplinks: list[dict[str, Any]]) -> None:
        told = [buses.variants(uplink) for uplink in uplinks]
        contract = UPLINK_WATCH
        bus.send(Message.new_signal(contract.path, contract.interface, UPLINKS_CHANGED, "aa{sv}", [told]))
        readiness.status(_status(uplinks))

    watch = Watch(settings.rdv, bus, tell)
    try:
        bus.export(UPLINK_WATCH.path, _Interface(watch))
        await buses.own(bus, UPLINK_WATCH.name)
        lost = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        await passphrase.insist(bus, settings.uplink.wifi)
        readiness.ready(_status(watch.uplinks()))
        await until_one_ends(watch.run(), until_told(lost))
    finally:
        readiness.stopping()
        bus.disconnect()


def main() -> int:
    """Entry of /usr/lib/tundev/uplink-watch."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_code(serve)


if __name__ == "__main__":
    sys.exit(main())
