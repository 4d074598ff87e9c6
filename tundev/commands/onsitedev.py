"""The command `onsitedev`: the agent in the foreground, as onsitedev.service runs it; with a word, a look."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping

from tundev import client
from tundev.client import AgentClient
from vtunlib import bus as buses
from vtunlib.tunnel import Role, UplinkType

WORDS: Mapping[str, str] = {"diagnose": "diagnosing", "bundle": "bundling"}
"""By word, the module here that adds it; without a word the agent runs."""

_EXAMPLES = """\
  onsitedev                                          with what /etc/tundev/tundev.toml says
  onsitedev diagnose
  onsitedev bundle
  onsitedev -u rpi1100 -R rdv.example.com -i eth0    first generation's form
  onsitedev -U 3g                                    by the modem, whatever else there is
"""


def _parser() -> argparse.ArgumentParser:
    about = "Dial the RDV server, wait to be picked by a master, give this network to the session; for ever."
    parser = client.parser("onsitedev", about, _EXAMPLES)
    parser.add_argument("-u", dest="account", metavar="ACCOUNT", help="account on the RDV server")
    parser.add_argument("-R", dest="server", metavar="SERVER", help="the RDV server")
    parser.add_argument("-T", dest="tls", action="store_true", help="inside TLS on port 443")
    parser.add_argument("-i", dest="interface", metavar="IFACE", help="the uplink; else the default route's")
    parser.add_argument("-U", dest="uplink", choices=list(UplinkType), help="use this type of uplink alone")
    parser.add_argument(
        "-t", dest="seconds", type=client.seconds, default=0, help="end sessions after SECONDS"
    )
    parser.add_argument("-d", dest="debug", action="store_true", help="say more")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(dest="command", metavar="[COMMAND]")
    for name in dict.fromkeys(WORDS.values()):
        importlib.import_module(f"tundev.commands.{name}").add_parser(commands)
    return parser


async def _look(arguments: argparse.Namespace) -> int:
    """What the word asks for, of the service that runs."""
    bus = await buses.connect()
    try:
        result: int = await arguments.work(AgentClient(bus, Role.ONSITE), arguments)
        return result
    finally:
        bus.disconnect()


async def _run(arguments: argparse.Namespace) -> int:
    from tundev import settings
    from tundev.onsitedev import OnsiteAgent

    loaded = settings.load(
        account=arguments.account or os.environ.get("ONSITEDEV_USERNAME"),
        server=arguments.server or os.environ.get("RDV_SERVER_HOSTNAME"),
        interface=arguments.interface,
        uplink_type=arguments.uplink,
        time_limit=arguments.seconds,
        tls=arguments.tls,
    )
    await client.run_agent(OnsiteAgent(loaded), client.until_signal())
    return 0


def main() -> int:
    """Entry of /usr/bin/onsitedev."""
    arguments = _parser().parse_args()
    if arguments.debug or not arguments.command:
        client.set_up_logging(arguments.debug)
    return client.command("onsitedev", lambda: _look(arguments) if arguments.command else _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
