"""`masterdev connect` and `masterdev disconnect`: a session, from its first step to its end."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from typing import Any

from tundev import client
from tundev.client import AgentClient
from tundev.contract import CONNECT, CONNECT_SECONDS, DISCONNECT, STATUS_CHANGED, STEP, Key
from vtunlib import bus as buses
from vtunlib.errors import NoSession, SessionFailed
from vtunlib.tunnel import TunnelMode

WAIT_SECONDS = 600
"""How long --wait waits by itself."""


def add_parser(commands: Any) -> None:
    """The words `masterdev connect` and `masterdev disconnect`."""
    parser = commands.add_parser("connect", help="open a session with an onsite and stay until Ctrl-C")
    parser.add_argument("onsite", metavar="ONSITE")
    parser.add_argument("-m", dest="mode", choices=list(TunnelMode), default=argparse.SUPPRESS)
    parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the session")
    parser.add_argument(
        "-t", dest="seconds", type=client.seconds, default=argparse.SUPPRESS, help="end it after SECONDS"
    )
    parser.add_argument(
        "--wait",
        nargs="?",
        const=WAIT_SECONDS,
        default=0,
        type=_wait_seconds,
        metavar="SECONDS",
        help=f"wait for the adapter where it is not plugged in, {WAIT_SECONDS} s where no number is given",
    )
    parser.add_argument("--detach", action="store_true", help="return at once and leave the session up")
    parser.set_defaults(work=connect)
    commands.add_parser("disconnect", help="end the session").set_defaults(work=disconnect)


def _wait_seconds(text: str) -> int:
    try:
        return client.seconds(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; ONSITE comes before --wait") from None


async def disconnect(agent: AgentClient, _arguments: argparse.Namespace) -> int:
    """End the session."""
    await agent.call(DISCONNECT, deadline=CONNECT_SECONDS)
    print("disconnected")
    return 0


async def connect(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Open a session; stay until it ends or Ctrl-C ends it."""
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
            "sssuu",
            arguments.onsite,
            arguments.mode,
            arguments.reason,
            arguments.seconds,
            arguments.wait,
            deadline=CONNECT_SECONDS + arguments.wait,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not asking.done():
        await _give_up(agent)
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
        await _give_up(agent)
        print("disconnected")
        return 0
    last = ended.result()
    print(f"the session is over: {last.get(Key.ENDED, 'for an unknown reason')}", flush=True)
    return 0 if last.get(Key.ENDED_AS_WISHED) else SessionFailed.exit_code


def _reach(told: str) -> str:
    """In words; a list of destinations is that already, and an older RDV tells nothing."""
    return {"lan": "the LAN there", "all": "all that the onsite can reach", "": "-"}.get(told, told)


async def _give_up(agent: AgentClient) -> None:
    with suppress(NoSession):
        await agent.call(DISCONNECT, deadline=CONNECT_SECONDS)
