"""What NetworkManager is asked about an uplink, and the one thing it is told: which one is to be used.

The uplink that is held has the lowest metric of all, so routes and resolver follow it,
and another one that comes up takes nothing away from it. It is a change of the running
connection alone (`Reapply`): with the connection or the boot it is gone.
"""

from __future__ import annotations

from collections.abc import Callable
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
        """Make it the one that is used."""
        device = await self._device(link)
        settings, version = await self._call(device, _DEVICE, "GetAppliedConnection", "u", 0)
        for family in _FAMILIES:
            settings.setdefault(family, {}).update(
                {
                    "route-metric": Variant("x", HELD_METRIC),
                    "dns-priority": Variant("i", HELD_DNS_PRIORITY),
                }
            )
        await self._call(device, _DEVICE, "Reapply", "a{sa{sv}}tu", settings, version, 0)

    async def release(self, link: str) -> None:
        """Make it what its connection says."""
        device = await self._device(link)
        await self._call(device, _DEVICE, "Reapply", "a{sa{sv}}tu", {}, 0, 0)

    async def ask_anew(self, link: str) -> None:
        """Have its network asked for an address anew; what it has stays until there is an answer.

        `Reapply` does so where a setting is another one, and only then. The one that changes is how long
        DHCP may take: for ever, or a second less.
        """
        device = await self._device(link)
        settings, version = await self._call(device, _DEVICE, "GetAppliedConnection", "u", 0)
        ipv4 = settings.setdefault("ipv4", {})
        forever = buses.plain(ipv4.get(_DHCP_SECONDS)) == FOREVER
        ipv4[_DHCP_SECONDS] = Variant("i", FOREVER - 1 if forever else FOREVER)
        await self._call(device, _DEVICE, "Reapply", "a{sa{sv}}tu", settings, version, 0)

    async def is_wifi(self, device: str) -> bool:
        """Whether the object of that path is a radio. Raises RdvError."""
        return bool(await self._get(device, _DEVICE, "DeviceType") == WIFI_DEVICE)

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
