"""What NetworkManager is asked about an uplink, and told: which one is used, and to ask for an address anew.

The uplink that is held has the lowest metric of all, so routes and resolver follow it,
and another one that comes up takes nothing away from it. It is a change of the running
connection alone (`Reapply`): with the connection or the boot it is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from dbus_fast import Variant
from dbus_fast.aio.message_bus import MessageBus

from tundev.uplinks.profiles import FOREVER
from tundev.uplinks.wanted import METRIC_STEP
from vtunlib import bus as buses
from vtunlib.errors import NotFound, NotRunning, RdvError

HELD_METRIC = METRIC_STEP // 2
"""Better than that of any uplink by its own connection."""
HELD_DNS_PRIORITY = HELD_METRIC
"""Before all others, and not instead of them: that would be a negative one."""

SETTLED_SECONDS = 3.0
"""How old a lease is before its connection is changed.

Each change has DHCP asked anew. A lease that is the same as the former one, and of the same second,
NetworkManager takes for no news, though it has dropped the former one's DNS servers (seen with 1.42).
Of the three seconds, one is what is lost by a time in whole seconds.
"""

NAME = "org.freedesktop.NetworkManager"
_PATH = "/org/freedesktop/NetworkManager"
_DEVICE = f"{NAME}.Device"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_NO_OBJECT = "/"
_BY_ITSELF = -1
"""A route-metric that NetworkManager chooses."""
_FAMILIES = ("ipv4", "ipv6")
_DHCP_SECONDS = "dhcp-timeout"
WIFI_DEVICE = 2
"""NMDeviceType."""


class NetworkManager:
    """On the bus. Each method raises NotFound where it does not have the interface, RdvError."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    async def on_change(self, changed: Callable[[], None], came: Callable[[], None]) -> None:
        """Call `changed` when it comes or goes, and when its connections do; `came` before, when it comes.

        After a restart it has an interface before it has a connection on it again, and leaves the
        kernel's routes as they were: nobody else would tell.
        """

        def owned(owner: str) -> None:
            if owner:
                came()
            changed()

        await buses.on_owner(self._bus, NAME, owned)
        await buses.on_signal(self._bus, NAME, _PATH, _PROPERTIES, "PropertiesChanged", lambda *_: changed())

    async def dns_servers(self, link: str) -> tuple[str, ...]:
        """The IPv4 DNS servers of the uplink's network; may be none."""
        found = await self._get(await self._device(link), _DEVICE, "Ip4Config")
        if found == _NO_OBJECT:
            return ()
        servers = await self._get(found, f"{NAME}.IP4Config", "NameserverData")
        return tuple(str(server["address"]) for server in servers if "address" in server)

    async def own_metric(self, link: str) -> int | None:
        """The metric that its connection asks for; None where that leaves it to NetworkManager."""
        active = await self._get(await self._device(link), _DEVICE, "ActiveConnection")
        if active == _NO_OBJECT:
            raise NotFound(f"NetworkManager has no connection on {link}")
        connection = await self._get(active, f"{NAME}.Connection.Active", "Connection")
        settings = buses.plain(await self._call(connection, f"{NAME}.Settings.Connection", "GetSettings"))
        metric = int(settings.get("ipv4", {}).get("route-metric", _BY_ITSELF))
        return None if metric == _BY_ITSELF else metric

    async def hold(self, link: str) -> None:
        """Make it the one that is used; waits up to SETTLED_SECONDS."""
        held = {"route-metric": Variant("x", HELD_METRIC), "dns-priority": Variant("i", HELD_DNS_PRIORITY)}

        def change(settings: dict[str, Any]) -> None:
            for family in _FAMILIES:
                settings.setdefault(family, {}).update(held)

        await self._change(link, change)

    async def release(self, link: str) -> None:
        """Make it what its connection says; waits up to SETTLED_SECONDS."""
        await self._call(await self._settled(link), _DEVICE, "Reapply", "a{sa{sv}}tu", {}, 0, 0)

    async def ask_anew(self, link: str) -> None:
        """Have its network asked for an address anew; what it has stays until there is an answer.

        Waits up to SETTLED_SECONDS. `Reapply` asks where a setting is another one, and only then. The one
        that changes is how long DHCP may take: for ever, or a second less.
        """

        def change(settings: dict[str, Any]) -> None:
            ipv4 = settings.setdefault("ipv4", {})
            forever = buses.plain(ipv4.get(_DHCP_SECONDS)) == FOREVER
            ipv4[_DHCP_SECONDS] = Variant("i", FOREVER - 1 if forever else FOREVER)

        await self._change(link, change)

    async def is_wifi(self, device: str) -> bool:
        """Whether the object of that path is a radio. Raises RdvError."""
        return bool(await self._get(device, _DEVICE, "DeviceType") == WIFI_DEVICE)

    async def _change(self, link: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Make its running connection what `change` makes of the settings."""
        device = await self._settled(link)
        settings, version = await self._call(device, _DEVICE, "GetAppliedConnection", "u", 0)
        change(settings)
        await self._call(device, _DEVICE, "Reapply", "a{sa{sv}}tu", settings, version, 0)

    async def _settled(self, link: str) -> str:
        """Its device, when the lease is old enough; one without an end does not tell since when it is."""
        device = await self._device(link)
        if lease := await self._lease(device):
            await asyncio.sleep(max(0.0, SETTLED_SECONDS - (lease_age(lease) or 0.0)))
        return device

    async def _lease(self, device: str) -> dict[str, Any]:
        """What DHCP answered; empty while it has not, and for an address that is none of its."""
        found = await self._get(device, _DEVICE, "Dhcp4Config")
        return {} if found == _NO_OBJECT else dict(await self._get(found, f"{NAME}.DHCP4Config", "Options"))

    async def _device(self, link: str) -> str:
        try:
            return str(await self._call(_PATH, NAME, "GetDeviceByIpIface", "s", link))
        except NotRunning:
            raise
        except RdvError:
            raise NotFound(f"NetworkManager does not have {link}") from None

    async def _get(self, path: str, interface: str, name: str) -> Any:
        return buses.plain(await self._call(path, _PROPERTIES, "Get", "ss", interface, name))

    async def _call(self, path: str, interface: str, member: str, signature: str = "", *words: Any) -> Any:
        return await buses.call(self._bus, NAME, path, interface, member, signature, *words)


def lease_age(options: Mapping[str, Any]) -> float | None:
    """Since when the lease holds, in seconds, by NetworkManager's options of it.

    None where they do not tell: it has no end, or the clock was put back.
    """
    try:
        age = time.time() - (int(options["expiry"]) - int(options["dhcp_lease_time"]))
    except (KeyError, ValueError):
        return None
    return age if age >= 0 else None
