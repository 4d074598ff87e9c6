"""The command `masterdev`: what a technician types, and what masterdev.service runs (--agent)."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tundev import client
from tundev.client import AgentClient
from vtunlib import bus as buses
from vtunlib.errors import UsageError
from vtunlib.tunnel import Role, TunnelMode

WORDS: Mapping[str, str] = {
    "list": "listing",
    "connect": "connecting",
    "disconnect": "connecting",
    "status": "status",
    "diagnose": "diagnosing",
    "bundle": "bundling",
}
"""By first word, the module here that adds it, with `work` set to what it does."""

_OF_THE_DEVICE = ("diagnose", "bundle")
"""They look at this device as it is: no other account or server can be meant."""

Work = Callable[[AgentClient, argparse.Namespace], Awaitable[int]]

_EXAMPLES = """\
  masterdev list
  masterdev connect rpi1100 --reason "ticket 4711"
  masterdev connect rpi1100 -m L2 -t 3600 --detach
  masterdev connect rpi1100 --wait 3600
  masterdev status --watch
  masterdev disconnect
  masterdev diagnose
  masterdev bundle -o ticket-4711.tar.gz
  masterdev -u rpi1101 -R rdv.example.com -o rpi1100 -m L3    first generation's form
"""


def _parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """words: of the command line. Only the module that the first of them names is loaded."""
    parser = client.parser(
        "masterdev", "List the onsites that are online; open a session with one.", _EXAMPLES
    )
    parser.add_argument("-u", dest="account", metavar="ACCOUNT", help="account on the RDV server")
    parser.add_argument("-R", dest="server", metavar="SERVER", help="the RDV server")
    parser.add_argument("-T", dest="tls", action="store_true", help="inside TLS on port 443")
    parser.add_argument("-l", dest="list", action="store_true", help="list the onsites, as 'list'")
    parser.add_argument("-o", dest="onsite", metavar="ONSITE", help="connect to it, as 'connect'")
    parser.add_argument("-m", dest="mode", choices=list(TunnelMode), default="L3", help="tunnel mode")
    parser.add_argument("-t", dest="seconds", type=client.seconds, default=0, help="end it after SECONDS")
    parser.add_argument("-d", dest="debug", action="store_true", help="say more")
    parser.add_argument("--agent", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    asked = [WORDS[word] for word in words[:1] if word in WORDS]
    for name in asked or dict.fromkeys(WORDS.values()):
        importlib.import_module(f"tundev.commands.{name}").add_parser(commands)
    return parser


def _work(arguments: argparse.Namespace) -> Work:
    """What the words ask for, or the flags that stand for a word in the first generation's form."""
    from tundev.commands import connecting, listing

    if arguments.command:
        work: Work = arguments.work
        return work
    arguments.json = arguments.names = False
    if arguments.list:
        return listing.show
    arguments.reason, arguments.detach, arguments.wait = "", False, 0
    return connecting.connect


async def _serve(arguments: argparse.Namespace) -> int:
    account = arguments.account or os.environ.get("MASTERDEV_USERNAME")
    server = arguments.server or os.environ.get("RDV_SERVER_HOSTNAME")
    if arguments.agent:
        from tundev.commands import own_agent

        return await own_agent.serve(account, server, arguments.tls)
    work = _work(arguments)
    bus = await buses.connect()
    try:
        agent = AgentClient(bus, Role.MASTER)
        own = account or server or arguments.tls
        if not own or arguments.command in _OF_THE_DEVICE:
            return await work(agent, arguments)
        from tundev.commands import own_agent

        async with own_agent.of(agent, account, server, tls=arguments.tls):
            return await work(agent, arguments)
    finally:
        bus.disconnect()


def main() -> int:
    """Entry of /usr/bin/masterdev."""
    arguments = _parser(sys.argv[1:]).parse_args()
    if not arguments.agent and not arguments.command and not arguments.list and not arguments.onsite:
        _parser().print_help()
        return UsageError.exit_code
    if arguments.agent or arguments.debug:
        client.set_up_logging(arguments.debug)
    else:  # what an agent of its own warns of is told once, as the command's error
        logging.getLogger().addHandler(logging.NullHandler())
    return client.command("masterdev", lambda: _serve(arguments))


if __name__ == "__main__":
    sys.exit(main())
