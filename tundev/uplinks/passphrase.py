"""Keeps NetworkManager at Wi-Fi: says the passphrase again where it was taken for a wrong one.

A handshake that fails, by a weak signal or a router that starts anew, is a wrong passphrase to
NetworkManager: it gives the connection up until a secret agent comes that may know another
(nm-policy.c, secret_agent_registered), or until the next boot. This is such an agent: it comes
anew after a pause, and where it is asked says the one passphrase that there is. It answers for
nothing else, and never for a SIM's PIN: three wrong ones lock it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from dbus_fast import DBusError, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface

from tundev.uplinks.networkmanager import NAME as NETWORKMANAGER
from tundev.uplinks.networkmanager import NetworkManager
from tundev.uplinks.wanted import Kind, Wifi, connection
from vtunlib import bus as buses
from vtunlib.errors import NotRunning, RdvError
from vtunlib.tunnel import Role

PAUSE_SECONDS = 15.0
"""Between two tries with the same passphrase; NetworkManager waits for an answer for two minutes."""
RETRY_SECONDS = 1.0
"""Between two tries to be its agent."""

INTERFACE = f"{NETWORKMANAGER}.SecretAgent"
PATH = "/org/freedesktop/NetworkManager/SecretAgent"
"""Where NetworkManager looks for an agent."""
AGENTS = f"{NETWORKMANAGER}.AgentManager"
AGENTS_PATH = "/org/freedesktop/NetworkManager/AgentManager"
NAME = "org.rdv.tundev"
"""What the agent is called there."""
SECTION = "802-11-wireless-security"

FAILED = (120, 7)
"""A device's new state and its reason (NMDeviceState, NMDeviceStateReason): failed, for want of secrets."""

log = logging.getLogger(__name__)


class SecretAgent(ServiceInterface):
    """As NetworkManager's documentation has it (org.freedesktop.NetworkManager.SecretAgent)."""

    def __init__(self, bus: MessageBus, wifi: Wifi, pause: float) -> None:
        super().__init__(INTERFACE)
        self._bus = bus
        self._wifi = wifi
        self._pause = pause

    @buses.answers("GetSecrets")
    @buses.annotated("a{sa{sv}}", settings="a{sa{sv}}", path="o", section="s", hints="as", flags="u")
    async def get_secrets(self, settings, path, section, hints, flags):  # type: ignore[no-untyped-def]  # noqa: ARG002
        name = buses.plain(settings).get("connection", {}).get("id")
        of_root = await buses.sender_uid(self._bus) == 0
        if not of_root or (name, section) != (connection(Kind.WIFI, Role.ONSITE), SECTION):
            raise DBusError(f"{INTERFACE}.NoSecrets", "not known")
        await asyncio.sleep(self._pause)
        return {SECTION: {"psk": Variant("s", self._wifi.psk)}}

    @buses.answers("CancelGetSecrets")
    @buses.annotated("", path="o", section="s")
    def cancel(self, path, section):  # type: ignore[no-untyped-def]
        """Its answer is of no use any more, and does no harm."""

    @buses.answers("SaveSecrets")
    @buses.annotated("", settings="a{sa{sv}}", path="o")
    def save(self, settings, path):  # type: ignore[no-untyped-def]
        """None are kept here."""

    @buses.answers("DeleteSecrets")
    @buses.annotated("", settings="a{sa{sv}}", path="o")
    def delete(self, settings, path):  # type: ignore[no-untyped-def]
        """As above."""


async def insist(bus: MessageBus, wifi: Wifi | None, pause: float = PAUSE_SECONDS) -> None:
    """Be NetworkManager's agent from now on, for as long as the bus is there; without a passphrase not."""
    if wifi is None or wifi.psk is None:
        return
    bus.export(PATH, SecretAgent(bus, wifi, pause))
    under_way: asyncio.Task[None] | None = None
    judging: set[asyncio.Task[None]] = set()

    def begin(pause: float, *, anew: bool) -> None:
        nonlocal under_way
        if under_way is not None:
            under_way.cancel()
        under_way = asyncio.ensure_future(_register(bus, pause, anew=anew))

    async def failed(device: str) -> None:
        if await _is_wifi(bus, device):  # a port with 802.1X fails for want of secrets too, and a modem
            log.info("Wi-Fi did not take the passphrase, or was too weak to tell: it is tried again")
            begin(pause, anew=True)

    def there(owner: str) -> None:
        if owner:
            begin(0.0, anew=False)

    def changed(device: str, state: int, _former: int, reason: int) -> None:
        if (state, reason) == FAILED:
            task = asyncio.ensure_future(failed(device))
            judging.add(task)
            task.add_done_callback(judging.discard)

    await buses.on_signal(bus, NETWORKMANAGER, None, f"{NETWORKMANAGER}.Device", "StateChanged", changed)
    await buses.on_owner(bus, NETWORKMANAGER, there)
    there(await buses.owner(bus, NETWORKMANAGER))


async def _is_wifi(bus: MessageBus, device: str) -> bool:
    """Not so where the device was pulled, or NetworkManager has gone: to a new one the agent comes anyway."""
    try:
        return await NetworkManager(bus).is_wifi(device)
    except RdvError:
        return False


async def _register(bus: MessageBus, pause: float, *, anew: bool) -> None:
    """Until it is taken, or NetworkManager is gone: its name is on the bus before its objects are."""
    await asyncio.sleep(pause)
    if anew:
        with suppress(RdvError):  # it may have dropped the agent itself
            await buses.call(bus, NETWORKMANAGER, AGENTS_PATH, AGENTS, "Unregister")
    told = ""
    while True:
        try:
            await buses.call(bus, NETWORKMANAGER, AGENTS_PATH, AGENTS, "Register", "s", NAME)
            return
        except NotRunning:
            return
        except RdvError as error:
            if str(error) != told:
                told = str(error)
                log.warning("NetworkManager does not take an agent for Wi-Fi yet: %s", error)
        await asyncio.sleep(RETRY_SECONDS)
