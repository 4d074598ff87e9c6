"""The tundev shell from end to end: a device's bytes on a real socket, the real session behind it.

The manager keeps the contract and remembers what it was asked. Not a mock of the
manager's code: the facts and reasons that it is told go through the manager's own parsers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rdv import contract
from rdv.contract import Method
from rdv.facts import Facts, short_text
from rdv.masterdev_shell import MasterShell
from rdv.onsitedev_shell import OnsiteShell
from rdv.shell.conversation import LINES_AT_ONCE
from rdv.shell.handover import Standing
from rdv.shell.manager_link import ManagerLink
from rdv.shell.shell_session import ShellSession
from vtunlib.errors import NoSession, NotOnline, UsageError
from vtunlib.words import LINE_LIMIT, Word, parse, prompt

ACCOUNT = "\x01"
"""No answer can hold it, so the prompt tells the answers apart whatever is echoed."""
PROMPT = prompt(ACCOUNT)
ONSITE = "o1"
SHELLS: tuple[type[ShellSession], ...] = (OnsiteShell, MasterShell)
DEADLINE = 20.0


class Manager(ManagerLink):
    """Answers as the contract says; one onsite is online."""

    def __init__(self, kind: type[ShellSession]) -> None:
        self.role = kind.role
        self.facts = Facts()
        self.session = ""
        self.asked: list[str] = []

    async def call(self, method: Method, *arguments: Any, fds: Sequence[int] = ()) -> Any:
        self.asked.append(method.member)
        # What the bus would refuse to carry must not get as far as here.
        for argument in arguments:
            assert not isinstance(argument, str) or "\0" not in argument
        match method:
            case contract.ATTACH:
                assert fds
                return "handle", ACCOUNT, str(self.role), 1
            case contract.SET_FACT:
                _, fact, text = arguments
                self.facts = self.facts.told(self.role, fact, text)
            case contract.LOOK:
                return self.session, len(self.asked)
            case contract.GET_TUNNEL_MODE:
                return str(self.facts.mode or "(unknown)")
            case contract.LIST_ONSITES:
                return [f'{{"id": "{ONSITE}", "hostname": "Straße \\u202e"}}']
            case contract.CONNECT:
                return self._connect(*arguments[1:3])
            case contract.SESSION_STATUS:
                return {"state": "up" if self.session else "none"}
            case contract.DETACH:
                pass
            case _:
                return self._of_session(method, *arguments)
        return None

    def _of_session(self, method: Method, *arguments: Any) -> Any:
        assert method in contract.METHODS
        if not self.session:
            raise NoSession("there is none")
        if method is contract.DROP:
            short_text(arguments[1], "reason")
            self.session = ""
        answers = {
            contract.GET_VTUN_PARAMETERS: ["tunnel_mtu: 1500"],
            contract.REMOTE_IP_CONFIG: ("192.168.1.2/24", ["192.168.1.1"]),
        }
        return answers.get(method)

    def _connect(self, onsite: str, reason: str) -> str:
        short_text(reason, "reason")
        if onsite != ONSITE:
            raise NotOnline(f"{onsite} is not online")
        self.session = "1"
        return self.session


def refused(line: bytes) -> bool:
    """Whether the line cannot even be taken apart; written once more, by the contract alone."""
    if len(line) >= LINE_LIMIT:
        return True
    try:
        parse(line.decode())
    except (UnicodeDecodeError, UsageError):
        return True
    return False


def is_logout(line: bytes) -> bool:
    return not refused(line) and parse(line.decode()) in ([Word.EXIT], [Word.LOGOUT])


async def talk(kind: type[ShellSession], data: bytes) -> tuple[str, Manager]:
    """All that the shell answers to the data and the end of file after it."""
    ours, theirs = socket.socketpair()
    manager = Manager(kind)
    session = kind(manager, asyncio.Lock(), ACCOUNT, theirs, Standing(0, kind.role, since=0))
    with ours:
        ours.setblocking(False)
        async with asyncio.timeout(DEADLINE):
            serving = session.start()
            said = await _said(ours, data)
            await serving
    return said.decode(), manager


async def _said(device: socket.socket, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(_send(device, data))
    said = b""
    # A shell that was told to end resets a connection that holds more; what it said before is there.
    with suppress(ConnectionError):
        while more := await loop.sock_recv(device, 1 << 16):
            said += more
    await sending
    return said


async def _send(device: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(device, data)
        device.shutdown(socket.SHUT_WR)


def check(kind: type[ShellSession], data: bytes) -> None:
    """One answer and one prompt for each line, and nothing done for a line that was refused."""
    data = b"\n".join(data.split(b"\n")[: LINES_AT_ONCE // 2])  # those are free (rdv.shell.conversation)
    said, manager = asyncio.run(talk(kind, data))
    lines = data.split(b"\n")[:-1]
    ends = next((number for number, line in enumerate(lines) if is_logout(line)), None)
    if ends is not None:
        lines = lines[: ends + 1]
    first, *answers = said.split(PROMPT)
    assert first == ""
    if ends is None:
        assert answers.pop() == ""
    assert len(answers) == len(lines)
    for line, answer in zip(lines, answers, strict=True):
        assert answer == "" or answer.endswith("\n")
        rows = answer.split("\n")[:-1]
        assert all(row.isprintable() for row in rows)
        assert not answer.startswith("*** RdvError: internal"), line
        if refused(line):
            assert len(rows) == 1 and rows[0].startswith("*** UsageError: ")
    asked = [member for member in manager.asked if member not in ("Attach", "Detach", "Look")]
    assert len(asked) <= sum(not refused(line) for line in lines)
    assert manager.asked[0] == "Attach" and manager.asked[-1] == "Detach"


def shell(data: bytes) -> None:
    """The first byte chooses the role."""
    check(SHELLS[data[0] % 2 if data else 0], data[1:])
