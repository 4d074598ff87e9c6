"""What a device tells the RDV when its shell answers, and again when its network has changed."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence

from tundev.lan import Uplink
from tundev.shell_client import Command, Shell
from vtunlib.errors import ProtocolError
from vtunlib.tunnel import Role
from vtunlib.version import VERSION
from vtunlib.words import Word


async def introduce(
    shell: Shell, account: str, role: Role, network: Sequence[Command], more: Sequence[Command]
) -> None:
    """Tell the RDV who and where this device is; more: what its role adds. Raises RdvError."""
    who = (Word.SET_HOSTNAME, (os.uname().nodename,))
    # Its answer is not awaited: a server of an earlier version does not know the word.
    version = (Word.SET_VERSION, (VERSION,))
    *told, _version = shell.send([(Word.GET_ROLE, ()), *network, who, *more, version])
    answers = [await answer for answer in told]
    if answers[0] != [str(role)]:
        raise ProtocolError(
            f"the RDV has {account} as {' '.join(answers[0])}, this device is {role}",
            "add it anew with rdv-admin, with this role",
        )


def of_network(network: Uplink | None, servers: Iterable[ipaddress.IPv4Address]) -> list[Command]:
    """What tells the RDV of the network that a session is given; servers: all DNS servers of this device."""
    commands: list[Command] = []
    servers = list(servers)
    if network is not None:
        commands.append((Word.SET_LAN_IP_ADDRESS, (str(network.interface),)))
        # Who is on the network itself knows the names there; the others are perhaps a modem's.
        here = network.interface.network
        servers.sort(key=lambda server: server not in here)
    commands.append((Word.SET_DNS_SERVER_LIST, tuple(str(server) for server in servers)))
    return commands
