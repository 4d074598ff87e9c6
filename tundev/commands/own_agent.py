"""An agent that a command brings with it: for the account and server given, where no service has these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tundev import client, settings
from tundev.client import AgentClient
from tundev.contract import Key
from tundev.masterdev import MasterAgent
from tundev.settings import Settings
from tundev.states import State
from tundev.transport import Route
from vtunlib.errors import (
    AuthenticationRefused,
    CaptivePortal,
    CertificateRefused,
    HostKeyMismatch,
    MissingProgram,
    NotRunning,
    ProxyRefused,
    Timeout,
    TlsIntercepted,
    UsageError,
)

ONLINE_SECONDS = 45.0
"""How long a command waits for an agent of its own to be online."""
_LASTING = (
    *(AuthenticationRefused, HostKeyMismatch, MissingProgram),
    *(CaptivePortal, CertificateRefused, ProxyRefused, TlsIntercepted),
)
"""What does not become better by trying again, while a person waits."""


async def serve(account: str | None, server: str | None, tls: bool) -> int:
    """What masterdev.service does: the agent, until a signal."""
    agent = MasterAgent(settings.load(account=account, server=server, tls=tls))
    await client.run_agent(agent, client.until_signal())
    return 0


@asynccontextmanager
async def of(
    agent: AgentClient, account: str | None, server: str | None, *, tls: bool
) -> AsyncIterator[None]:
    """Inside, `agent` is of this account and server: the service, or one that ends with this.

    Raises UsageError where the service is another, RdvError where no agent comes online.
    """
    wanted = settings.load(account=account, server=server)
    try:
        status = await agent.status()
    except NotRunning:
        async with _alone(settings.load(account=account, server=server, tls=tls)):
            yield
        return
    running = (status.get(Key.ACCOUNT), status.get(Key.SERVER))
    if running != (wanted.account, str(wanted.server)):
        raise UsageError(
            f"masterdev.service is {running[0]} at {running[1]}, not {wanted.account} at {wanted.server}",
            "leave -u and -R out, or 'systemctl stop masterdev' first",
        )
    if tls and status.get(Key.TRANSPORT) == Route.SSH:
        raise UsageError(
            "masterdev.service goes by direct SSH, not by TLS",
            'leave -T out, or set transport = "tls" in tundev.toml and restart it',
        )
    yield


@asynccontextmanager
async def _alone(wanted: Settings) -> AsyncIterator[None]:
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
        yield
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
