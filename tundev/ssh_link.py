"""The one SSH connection of a device: an `ssh` child that is the control master.

Its own channel is the tundev shell; the leg of a session is one more channel of
it (tundev-leg@.service). It runs as the user `tundev`, reads no configuration
but what is given here, and takes no host key but the pinned one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tundev import paths
from tundev.config_values import Server
from tundev.tls_dial import RELAY_SAYS
from vtunlib.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    MissingProgram,
    RdvError,
    RdvUnreachable,
    printable,
)

log = logging.getLogger(__name__)

CONNECT_SECONDS = 15
"""TCP and key exchange."""
ALIVE_SECONDS = 15
ALIVE_COUNT = 3
"""A silent server counts as gone after both, multiplied."""
EXIT_SECONDS = 3.0
"""How long an ssh that was told to end may take before it is killed."""
STDERR_LINES = 20

_KILL = "import os, sys; os.kill(int(sys.argv[1]), int(sys.argv[2]))"
"""kill(1) for an appliance without procps."""

_ALIAS = "rdv"
"""The name of the server in the known hosts file, whatever its address is today."""

_HOST_KEY = re.compile(
    r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"
    r"|No \S+ host key is known|no matching host key type",
    re.IGNORECASE,
)
_AUTHENTICATION = re.compile(
    r"Permission denied|Too many authentication failures|no mutual signature|Load key", re.IGNORECASE
)


@dataclass(frozen=True)
class Endpoint:
    """What ssh must know of server and account; address is the one that took a TCP connection.

    proxy_command: what carries the connection instead of TCP, a constant; empty for nothing.
    """

    server: Server
    address: str
    account: str
    host_key: str
    proxy_command: str = ""


def arguments(endpoint: Endpoint, *, control: Path, known_hosts: Path, key: Path) -> list[str]:
    """The command line of the control master, without the program."""
    options = {
        "ControlMaster": "yes",
        "ControlPath": str(control),
        "ControlPersist": "no",
        "HostKeyAlias": _ALIAS,
        "CheckHostIP": "no",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "VerifyHostKeyDNS": "no",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "PasswordAuthentication": "no",
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": str(ALIVE_SECONDS),
        "ServerAliveCountMax": str(ALIVE_COUNT),
        "ClearAllForwardings": "yes",
    }
    if endpoint.proxy_command:
        options["ProxyCommand"] = endpoint.proxy_command
    words = ["-F", "none", "-T", "-e", "none", "-p", str(endpoint.server.port), "-l", endpoint.account]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "--", endpoint.address]


class SshLink:
    """The child, from start to end. An async context manager.

    `sock` is connected to its standard input and output; who takes it closes it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        program: Sequence[str] = ("ssh",),
        user: str | None = paths.USER,
        run: Path = paths.RUN,
        key: Path = paths.KEY,
    ) -> None:
        """program: ssh, or what stands for it in a test; user: None keeps the caller's."""
        self._endpoint = endpoint
        self._program = list(program)
        self._user = user
        self._control = run / paths.SSH.name / paths.CONTROL.name
        self._known_hosts = run / paths.KNOWN_HOSTS.name
        self._key = key
        self._said: deque[str] = deque(maxlen=STDERR_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self.sock: socket.socket

    async def __aenter__(self) -> SshLink:
        self._control.unlink(missing_ok=True)  # a dead master's: ssh would not multiplex
        self._known_hosts.write_text(f"{_ALIAS} {self._endpoint.host_key}\n")
        self._known_hosts.chmod(0o644)
        self.sock, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await self._start(theirs)
        except BaseException:
            self.sock.close()
            raise
        self._listener = asyncio.create_task(self._listen(self._process))
        return self

    async def _start(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        argv = self._program + arguments(
            self._endpoint, control=self._control, known_hosts=self._known_hosts, key=self._key
        )
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                start_new_session=True,  # Ctrl-C is for the command, which ends this in order
                **self._identity(),
            )
        except FileNotFoundError:
            raise MissingProgram("ssh is not installed", "apt install openssh-client") from None
        except LookupError:
            raise RdvError(f"there is no user {self._user}", "reinstall tundev-common") from None
        except OSError as error:
            raise RdvError(f"cannot start ssh: {error.strerror}", "run it as root") from None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:
                continue  # a line over the reader's limit: dropped by it
            if not line:
                return
            text = printable(line.decode(errors="replace").strip())
            if text:
                self._said.append(text)
                log.debug("ssh: %s", text)

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None and self._listener is not None
        self.sock.close()
        if self._process.returncode is None:
            await self._signal(self._process, signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), EXIT_SECONDS)
            except TimeoutError:
                await self._signal(self._process, signal.SIGKILL)
                await self._process.wait()
        await asyncio.wait([self._listener], timeout=EXIT_SECONDS)
        self._listener.cancel()
        self._control.unlink(missing_ok=True)

    async def _signal(self, process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        """As ssh's own user: the agent has no CAP_KILL. The pid is ours until it is waited for."""
        if self._user is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)
            return
        kill = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _KILL, str(process.pid), str(int(number))),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,  # gone already is no error
            **self._identity(),
        )
        await kill.wait()

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": self._user, "extra_groups": []}

    async def ended(self) -> None:
        """Returns when ssh has ended."""
        assert self._process is not None
        await self._process.wait()

    async def verdict(self, error: RdvError) -> RdvError:
        """Why the connection failed: `error`, or what ssh said about it if it has ended."""
        assert self._process is not None and self._listener is not None
        try:
            await asyncio.wait_for(self._process.wait(), EXIT_SECONDS)
        except TimeoutError:
            return error
        await asyncio.wait([self._listener], timeout=EXIT_SECONDS)
        return classify(list(self._said), self._endpoint, error)


def classify(said: Sequence[str], endpoint: Endpoint, error: RdvError) -> RdvError:
    """The error that ssh's last lines stand for; `error` where it said nothing."""
    # Not of the relay's lines: an issuer's name, a proxy's reason could say anything.
    text = "\n".join(line for line in said if not line.startswith(RELAY_SAYS))
    server = endpoint.server
    if _HOST_KEY.search(text):
        return HostKeyMismatch(
            f"the server that answers as {server} does not hold the pinned host key",
            f"compare host_key in {paths.CONFIG} with the RDV's; another machine may be answering",
        )
    if _AUTHENTICATION.search(text):
        return AuthenticationRefused(
            f"the RDV server {server} does not take account {endpoint.account} with this device's key",
            "compare 'tundev-status --key' with 'rdv-admin device show' on the RDV",
        )
    if type(error) is RdvUnreachable and said:
        # The relay's own word, where there is one; what ssh says after it is only that it is gone.
        carried = [line for line in said if line.startswith(RELAY_SAYS)]
        return RdvUnreachable(f"{server}: {(carried or said)[-1].removeprefix(RELAY_SAYS)}")
    return error
