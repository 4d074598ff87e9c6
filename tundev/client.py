"""What the commands share: calling an agent on the bus, running one in the foreground, telling errors."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from dbus_fast.aio.message_bus import MessageBus

from tundev import config, paths
from tundev.contract import BUS_NAMES, GET_INTERFACE, STATUS, WATCHER, BusName
from vtunlib import bus as buses
from vtunlib.errors import AlreadyExists, ConfigError, NotAllowed, NotRunning, RdvError
from vtunlib.tunnel import Role
from vtunlib.version import VERSION

if TYPE_CHECKING:
    from tundev.agent import Agent  # all that an agent needs would make each command slow

_GROUP_HINT = f"run it as root, or as a member of the group {paths.USER}"


class ServiceClient:
    """A service of this device, on the bus."""

    def __init__(self, bus: MessageBus, contract: BusName) -> None:
        self.bus = bus
        self.contract = contract

    async def call(
        self, member: str, signature: str = "", *arguments: Any, deadline: float = buses.CALL_SECONDS
    ) -> Any:
        """What the method answers, in plain types.

        Raises the service's errors; ConfigError or NotRunning where it does not run.
        """
        contract = self.contract
        try:
            answer = await buses.call(
                self.bus,
                contract.name,
                contract.path,
                contract.interface,
                member,
                signature,
                *arguments,
                deadline=deadline,
            )
        except NotRunning:
            if await buses.owner(self.bus, contract.name):
                raise  # it speaks of another service, which it needs
            _check_config()
            raise NotRunning(
                f"{contract.unit} does not run", f"'systemctl status {contract.unit}' says why"
            ) from None
        except NotAllowed as error:
            if os.geteuid() and "system bus refused" in error.message:
                raise NotAllowed("you may not ask the agent", _GROUP_HINT) from None
            raise
        return buses.plain(answer)

    async def on(self, member: str, handler: Callable[..., None]) -> buses.Stop:
        """Call `handler` at each such signal of the service."""
        contract = self.contract
        return await buses.on_signal(
            self.bus, contract.name, contract.path, contract.interface, member, handler
        )

    async def on_end(self, handler: Callable[[], None]) -> None:
        """Call `handler` when the service ends, also by being killed, and at once where it does not run."""
        await buses.on_owner(self.bus, self.contract.name, lambda owner: None if owner else handler())
        if not await buses.owner(self.bus, self.contract.name):
            handler()


class AgentClient(ServiceClient):
    """The agent of a role."""

    def __init__(self, bus: MessageBus, role: Role) -> None:
        super().__init__(bus, BUS_NAMES[role])
        self.role = role

    async def status(self) -> dict[str, Any]:
        """The agent's status, by contract.Key."""
        status: dict[str, Any] = await self.call(STATUS)
        return status


class PortClient(ServiceClient):
    """The watcher of the technician's port."""

    def __init__(self, bus: MessageBus) -> None:
        super().__init__(bus, WATCHER)

    async def port(self) -> dict[str, Any] | None:
        """The port, by contract.PortKey; None where no watcher answers."""
        try:
            port: dict[str, Any] = await self.call(GET_INTERFACE)
        except (ConfigError, NotRunning):
            return None
        return port


def _check_config() -> None:
    """Raises ConfigError where the file is what keeps an agent from running."""
    if os.access(paths.CONFIG, os.R_OK) or not paths.CONFIG.exists():
        config.load()


def until_signal() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM and, unless nohup(1) wishes otherwise, the end of the terminal; from now on."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, event.set)
    return event


async def run_agent(agent: Agent, told: asyncio.Event) -> None:
    """Run an agent until `told`. Raises RdvError where it cannot run."""
    running = asyncio.create_task(agent.run())
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            try:
                await running
            except AlreadyExists:
                unit = BUS_NAMES[agent.role].unit
                raise AlreadyExists(f"{unit} runs already", f"'systemctl stop {unit}' first") from None
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)


def set_up_logging(debug: bool) -> None:
    """To standard error; the journal adds time and name."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, format="%(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def command(name: str, work: Callable[[], Awaitable[int]]) -> int:
    """Run a command's work; an error is one line on standard error and its exit code."""
    try:
        return asyncio.run(_run(work))
    except RdvError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


async def _run(work: Callable[[], Awaitable[int]]) -> int:
    return await work()


def parser(name: str, about: str, examples: str) -> argparse.ArgumentParser:
    """A parser that knows --version and whose --help ends with examples."""
    made = argparse.ArgumentParser(
        prog=name,
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"{name} {VERSION}")
    return made


def seconds(text: str) -> int:
    """A time limit from the command line: whole seconds from 1 to a week."""
    if not text.isdecimal() or not 1 <= int(text) <= 604800:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds from 1 to 604800")
    return int(text)
