"""The manager's service: it brings the parts together and runs until it is told to end.

Ending it ends no session: what is up lives in units and namespaces, and the
next manager finds it again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial

from rdv import contract, journal, peer
from rdv.acl import AccessList
from rdv.bus_service import BusService
from rdv.devices import DeviceStore
from rdv.warnings import Warnings
from vtunlib import bus as buses
from vtunlib.errors import RdvError
from vtunlib.service import Readiness, until_told

log = logging.getLogger(__name__)


async def serve() -> None:
    """Run the manager. Raises RdvError where it cannot start or loses the bus."""
    bus = await buses.connect(negotiate_unix_fd=True)
    disconnected: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    warnings = Warnings()
    service = BusService(bus, partial(peer.device, store=DeviceStore()), AccessList(), warnings)
    readiness = Readiness()
    # Before anybody can call: who asks finds the kept sessions.
    await service.conductor.recover()
    await buses.own(bus, contract.BUS_NAME)
    readiness.ready("serving")
    try:
        await until_told(disconnected)
    finally:
        readiness.stopping()
    await service.conductor.finish()


def main() -> int:
    """Entry point of vtun-manager.service."""
    journal.set_up("vtun-manager")
    try:
        asyncio.run(serve())
    except RdvError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
