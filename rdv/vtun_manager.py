"""The manager's service: it brings the parts together and runs until it is told to end.

Ending it ends no session: what is up lives in units and namespaces, and the
next manager finds it again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from dbus_fast.aio.message_bus import MessageBus

from rdv import contract, devices, journal, peer, settings
from rdv.access import in_force
from rdv.access.groups import Groups
from rdv.access.in_force import AccessList
from rdv.access.watch import Watch
from rdv.audit.writer import Recorder
from rdv.devices import DeviceStore
from rdv.logins.login_journal import following
from rdv.logins.origins import Logins
from rdv.logins.refusals import Refusals
from rdv.manager.bus_service import BusService
from rdv.manager.warnings import Warnings
from vtunlib import bus as buses
from vtunlib import units
from vtunlib.errors import RdvError
from vtunlib.service import Readiness, exit_code, until_told

UNIT = "vtun-manager.service"

log = logging.getLogger(__name__)


async def serve() -> None:
    """Run the manager. Raises RdvError where it cannot start or loses the bus."""
    bus = await buses.connect(negotiate_unix_fd=True)
    disconnected: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    warnings = Warnings()
    loaded = _settings(warnings)
    audit = Recorder(loaded.audit, warnings)
    audit.start()
    try:
        await _serve(bus, disconnected, audit, warnings, loaded.metrics.listen)
    finally:
        await audit.close()


async def _serve(
    bus: MessageBus, disconnected: asyncio.Future[None], audit: Recorder, warnings: Warnings, metrics: str
) -> None:
    store = DeviceStore()
    access = AccessList(Groups(store))
    logins = Logins()
    refusals = Refusals(logins.origin, audit.ask, audit.record)
    logins.refused = refusals.hear
    identify = partial(peer.device, store=store)
    service = BusService(bus, identify, access, audit, warnings, logins)
    readiness = Readiness()
    # Before anybody can call: who asks finds the kept sessions.
    await service.recover()
    watch = Watch(service.look_again, [in_force.FILE.parent, devices.DIRECTORY])
    async with AsyncExitStack() as stack:
        stack.enter_context(following(logins.hear, unheard=await asyncio.to_thread(_unheard)))
        stack.callback(refusals.close)
        stack.callback(service.finish)
        await stack.enter_async_context(_metrics(metrics, service, audit, refusals))
        watch.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.again)
        await buses.own(bus, contract.BUS_NAME)
        readiness.ready("serving")
        try:
            await until_told(disconnected)
        finally:
            watch.stop()
            readiness.stopping()
    await service.conductor.finish()


def _unheard() -> float:
    """Since when no manager has listened to who is refused; seconds since the epoch."""
    try:
        former = units.last_active(UNIT)
    except RdvError as error:
        log.warning("%s", error)
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) if former is None else former


@asynccontextmanager
async def _metrics(
    listen: str, service: BusService, audit: Recorder, refusals: Refusals
) -> AsyncIterator[None]:
    """Serve metrics meanwhile where the admin wants them; that they cannot be keeps nobody from working."""
    if listen == "off":
        yield
        return
    # Here, for it is much to import for who does not want it.
    from rdv.metrics.collector import Metrics
    from rdv.metrics.metrics_http import serving

    metrics = Metrics(
        service.registry, service.conductor, service.warnings, strangers=lambda: refusals.strangers
    )
    await metrics.start()
    audit.listen(metrics.hear)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serving(listen, metrics.text))
        except RdvError as error:
            service.warnings.set("metrics", str(error))
        yield


def _settings(warnings: Warnings) -> settings.Settings:
    """As the admin wrote them; the defaults where they cannot be taken, for sessions must go on."""
    try:
        return settings.load()
    except RdvError as error:
        warnings.set("settings", f"{error}; until then all settings are the defaults")
        return settings.Settings()


def main() -> int:
    """Entry point of vtun-manager.service."""
    journal.set_up("vtun-manager")
    return exit_code(serve)


if __name__ == "__main__":
    sys.exit(main())
