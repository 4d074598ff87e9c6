"""The command `masterdev`: what a technician types, and what masterdev.service runs (--agent)."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from typing import Any

from tundev import client, settings
from tundev.client import AgentClient
from tundev.contract import CONNECT, CONNECT_SECONDS, DISCONNECT, LIST_ONSITES, STATUS_CHANGED, STEP, Key
from tundev.masterdev import MasterAgent
from tundev.states import State
from tundev.transport import Route
from vtunlib import bus as buses
from vtunlib.errors import (
    AuthenticationRefused,
    CertificateRefused,
    HostKeyMismatch,
    MissingProgram,
    NoSession,
    NotRunning,
    ProxyRefused,
    SessionFailed,
    Timeout,
    TlsIntercepted,
    UsageError,
)
from vtunlib.table import table
from vtunlib.tunnel import Role, TunnelMode

ONLINE_SECONDS = 45.0
"""How long a command waits for an agent of its own to be online."""
_LASTING = (
    *(AuthenticationRefused, HostKeyMismatch, MissingProgram),
    *(CertificateRefused, ProxyRefused, TlsIntercepted),
)
"""What does not become better by trying again, while a person waits."""

_EXAMPLES = """\
  masterdev list
  masterdev connect rpi1100 --reason "ticket 4711"
  masterdev connect rpi1100 -m L2 -t 3600 --detach
  masterdev disconnect
  masterdev -u rpi1101 -R rdv.example.com -o rpi1100 -m L3    first generation's form
"""


def _parser() -> argparse.ArgumentParser:
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
    parser.set_defaults(command=None, json=False, reason="", detach=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    lister = commands.add_parser("list", help="the onsites that are online")
    connect = commands.add_parser("connect", help="open a session with an onsite and stay until Ctrl-C")
    connect.add_argument("onsite", metavar="ONSITE")
    connect.add_argument("-m", dest="mode", choices=list(TunnelMode), default=argparse.SUPPRESS)
    connect.add_argument("--reason", default="", metavar="TEXT", help="kept with the session")
    connect.add_argument(
        "-t", dest="seconds", type=client.seconds, default=argparse.SUPPRESS, help="end it after SECONDS"
    )
    connect.add_argument("--detach", action="store_true", help="return at once and leave the session up")
    commands.add_parser("disconnect", help="end the session")
    status = commands.add_parser("status", help="how far the agent is, and the session")
    for chosen in (lister, status):
        chosen.add_argument("--json", action="store_true", help="for programs")
    return parser


async def _work(arguments: argparse.Namespace) -> int:
    account = arguments.account or os.environ.get("MASTERDEV_USERNAME")
    server = arguments.server or os.environ.get("RDV_SERVER_HOSTNAME")
    if arguments.agent:
        agent = MasterAgent(settings.load(account=account, server=server, tls=arguments.tls))
        await client.run_agent(agent, client.until_signal())
        return 0
    bus = await buses.connect()
    try:
        agent_client = AgentClient(bus, Role.MASTER)
        if not account and not server and not arguments.tls:
            return await _serve(agent_client, arguments)
        return await _serve_named(agent_client, arguments, account, server)
    finally:
        bus.disconnect()


async def _serve_named(
    agent: AgentClient, arguments: argparse.Namespace, account: str | None, server: str | None
) -> int:
    """For the account and server given: by the service where it has these, else by an agent of our own."""
    wanted = settings.load(account=account, server=server)
    try:
        status = await agent.status()
    except NotRunning:
        return await _serve_alone(
            agent, arguments, settings.load(account=account, server=server, tls=arguments.tls)
        )
    running = (status.get(Key.ACCOUNT), status.get(Key.SERVER))
    if running != (wanted.account, str(wanted.server)):
        raise UsageError(
            f"masterdev.service is {running[0]} at {running[1]}, not {wanted.account} at {wanted.server}",
            "leave -u and -R out, or 'systemctl stop masterdev' first",
        )
    if arguments.tls and status.get(Key.TRANSPORT) == Route.SSH:
        raise UsageError(
            "masterdev.service goes by direct SSH, not by TLS",
            'leave -T out, or set transport = "tls" in tundev.toml and restart it',
        )
    return await _serve(agent, arguments)


async def _serve_alone(agent: AgentClient, arguments: argparse.Namespace, wanted: settings.Settings) -> int:
    online, settled = asyncio.Event(), asyncio.Event()
    own = MasterAgent(wanted)

    def noticed(status: dict[str, Any]) -> None:
        if status[Key.STATE] == State.SSH_CONNECTION_OK:
            online.set()
        if online.is_set() or isinstance(own.failure, _LASTING):
            settled.set()

    own.observe(noticed)
    running = asyncio.create_task(own.run())
    waiting = asyncio.create_task(settled.wait())
    try:
        await asyncio.wait({running, waiting}, timeout=ONLINE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        if not online.is_set():
            raise own.failure or Timeout(f"not online within {ONLINE_SECONDS:.0f} s: {own.state}")
        return await _serve(agent, arguments)
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)


async def _serve(agent: AgentClient, arguments: argparse.Namespace) -> int:
    if arguments.command == "list" or arguments.list:
        return await _list(agent, arguments.json)
    if arguments.command == "connect" or arguments.onsite:
        return await _connect(agent, arguments)
    if arguments.command == "disconnect":
        await agent.call(DISCONNECT, deadline=CONNECT_SECONDS)
        print("disconnected")
        return 0
    if arguments.command == "status":
        return await _status(agent, arguments.json)
    raise UsageError("nothing to do", "'masterdev --help' shows what there is")


async def _list(agent: AgentClient, as_json: bool) -> int:
    rows: list[dict[str, Any]] = await agent.call(LIST_ONSITES)
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print("no onsite is online")
        return 0
    columns = ("id", "label", "location", "lan", "uplink", "since", "in_session")
    titles = ("ONSITE", "LABEL", "LOCATION", "LAN", "UPLINK", "ONLINE SINCE", "IN SESSION WITH")
    print(table(titles, [[str(row.get(column) or "-") for column in columns] for row in rows]))
    return 0


async def _status(agent: AgentClient, as_json: bool) -> int:
    status = await agent.status()
    print(json.dumps(status, indent=2) if as_json else status_text(status))
    return 0


def status_text(status: dict[str, Any]) -> str:
    """A status as a person reads it; all of it is printable already."""
    rows = []
    for key, value in status.items():
        if key in (Key.FAILURE_CLASS, Key.ENDED_AS_WISHED):
            continue
        if isinstance(value, bool):
            shown = "yes" if value else "no"
        else:
            shown = " ".join(value) if isinstance(value, list) else str(value)
        rows.append(f"{key.replace('_', ' '):<10} {shown}")
    return "\n".join(rows)


async def _connect(agent: AgentClient, arguments: argparse.Namespace) -> int:
    stop = client.until_signal()
    ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    up = False

    def changed(values: dict[str, Any]) -> None:
        status = buses.plain(values)
        if up and not status.get(Key.SESSION) and not ended.done():
            ended.set_result(status)

    await agent.on(STEP, lambda text: print(f"- {text}", flush=True))
    await agent.on(STATUS_CHANGED, changed)
    await agent.on_end(lambda: changed({Key.ENDED: "the agent ended"}))
    asking = asyncio.create_task(
        agent.call(
            CONNECT,
            "sssu",
            arguments.onsite,
            arguments.mode,
            arguments.reason,
            arguments.seconds,
            deadline=CONNECT_SECONDS,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not asking.done():
        await _disconnect(agent)
        await asyncio.gather(asking, return_exceptions=True)
        print("interrupted; the session was given up")
        return 130
    status = await asking
    up = True
    changed(await agent.status())  # for it may be over already
    print(f"connected to {arguments.onsite} in {arguments.mode}")
    print(f"  LAN address of the onsite  {status[Key.LAN]}")
    print(f"  DNS servers there          {' '.join(status.get(Key.DNS, [])) or '-'}")
    print(f"  what may be reached        {_reach(status.get(Key.REACH, ''))}")
    print(f"  round-trip time            {status.get(Key.RTT_MS, '-')} ms", flush=True)
    if arguments.detach:
        return 0
    print("Ctrl-C ends the session", flush=True)
    waiting: set[asyncio.Future[Any]] = {ended, stopping}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        await _disconnect(agent)
        print("disconnected")
        return 0
    last = ended.result()
    print(f"the session is over: {last.get(Key.ENDED, 'for an unknown reason')}", flush=True)
    return 0 if last.get(Key.ENDED_AS_WISHED) else SessionFailed.exit_code


def _reach(told: str) -> str:
    """In words; a list of destinations is that already, and an older RDV tells nothing."""
    return {"lan": "the LAN there", "all": "all that the onsite can reach", "": "-"}.get(told, told)


async def _disconnect(agent: AgentClient) -> None:
    with suppress(NoSession):
        await agent.call(DISCONNECT, deadline=CONNECT_SECONDS)


def main() -> int:
    """Entry of /usr/bin/masterdev."""
    arguments = _parser().parse_args()
    if not arguments.agent and not arguments.command and not arguments.list and not arguments.onsite:
        _parser().print_help()
        return UsageError.exit_code
    if arguments.agent or arguments.debug:
        client.set_up_logging(arguments.debug)
    else:  # what an agent of its own warns of is told once, as the command's error
        logging.getLogger().addHandler(logging.NullHandler())
    return client.command("masterdev", lambda: _work(arguments))


if __name__ == "__main__":
    sys.exit(main())
