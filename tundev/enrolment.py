"""A device's first login: with the one-time key of its bundle it hands the RDV the key that it made itself.

Its own key is on the disk before, and is tried first at each attempt: where the RDV's
answer was lost on the way it works already, and the one-time key is not used again.
Once it has worked, the one-time key is erased from the configuration file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from tundev import paths, settings, toml_lines
from tundev.ssh_link import Endpoint, SshLink
from vtunlib import files
from vtunlib.errors import (
    AuthenticationRefused,
    ProtocolError,
    RdvError,
    from_shell,
)

ANSWER_SECONDS = 45.0
"""From the start of ssh to the RDV's answer: the login on a slow link, and a write to the RDV's disk."""
ANSWER_LIMIT = 4096
"""Bytes of the one line that the RDV answers."""
ENROLLED = "enrolled"
_LOST = "whether it was enrolled shows at the next try"

log = logging.getLogger(__name__)


class OneTimeKey:
    """The one-time key that the configuration has, until the device's own key has worked."""

    def __init__(
        self,
        private: str | None,
        *,
        program: Sequence[str] = ("ssh",),
        user: str | None = paths.USER,
        run: Path = paths.RUN,
        key: Path = paths.KEY,
        config: Path = paths.CONFIG,
    ) -> None:
        """private: OpenSSH's PEM, None where there is none. key: the device's own. The rest: see SshLink."""
        self._private = private
        self._program = program
        self._user = user
        self._run = run
        self._key = key
        self._config = config

    async def enrol(self, endpoint: Endpoint, refusal: AuthenticationRefused) -> None:
        """Hand over this device's own key; `refusal` of that key is raised where there is no other way.

        Raises RdvError: the RDV's, or why it was not reached.
        """
        if self._private is None:
            raise refusal
        log.info("the RDV does not know this device's key yet; enrolling")
        public = await asyncio.to_thread(settings.read_public_key, self._key)
        file = self._run / paths.ENROL_KEY.name
        await asyncio.to_thread(_place, file, self._private, self._user)
        try:
            async with SshLink(
                endpoint, program=self._program, user=self._user, run=self._run, key=file
            ) as link:
                try:
                    await hand_over(link.sock, public)
                except RdvError as error:
                    raise await link.verdict(error) from None
        except AuthenticationRefused:
            raise AuthenticationRefused(
                "the one-time key of this device was used, replaced or has expired",
                f"ask the RDV's admin for 'rdv-admin device re-enrol {endpoint.account}'",
            ) from None
        finally:
            file.unlink(missing_ok=True)
        log.info("enrolled; from now on only this device's own key opens its account")

    async def used(self) -> None:
        """This device's own key has worked: erase the one-time key. Not to be able to is told, no more."""
        if self._private is None:
            return
        self._private = None
        try:
            await asyncio.to_thread(erase, self._config)
        except (RdvError, OSError) as error:
            log.warning("enrol_key is of no use any more, but stays in %s: %s", self._config, error)


async def hand_over(sock: socket.socket, public: str) -> None:
    """Say the public key's line. Raises what the RDV answered, and RdvError where it did not.

    Not RdvUnreachable, after which another way to the server would be tried: this one was good.
    """
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    answer = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await loop.sock_sendall(sock, f"{public.strip()}\n".encode("ascii"))
            while b"\n" not in answer and len(answer) < ANSWER_LIMIT:
                more = await loop.sock_recv(sock, ANSWER_LIMIT)
                if not more:
                    break
                answer += more
    except TimeoutError:
        raise RdvError("the RDV server does not answer the enrolment", _LOST) from None
    except OSError:
        pass  # ssh has ended; it knows why
    if b"\n" not in answer:
        raise RdvError("the RDV server closed the connection during the enrolment", _LOST)
    line = answer.split(b"\n")[0].decode(errors="replace").strip()
    if error := from_shell(line):
        raise error
    if line != ENROLLED:
        raise ProtocolError(f"the RDV answered the enrolment with {line[:80]!r}")


def _place(file: Path, private: str, user: str | None) -> None:
    """The key as a file that the ssh of `user` takes, and nobody else may read."""
    owner = None if user is None else (os.geteuid(), settings.group_of_ssh(user))
    try:
        files.replace(file, private.encode("ascii"), mode=0o640 if owner else 0o600, owner=owner)
    except OSError as error:
        raise RdvError(f"cannot write {file}: {error.strerror}", "run it as root") from None


def erase(path: Path) -> None:
    """Take enrol_key out of the configuration file, all else kept, mode and owner too.

    Raises OSError, and ConfigError where it is not to be found in it.
    """
    data = path.read_bytes()
    text = without_enrol_key(data.decode())
    held = path.stat()
    owner = (held.st_uid, held.st_gid) if os.geteuid() == 0 else None
    files.replace(path, text.encode(), mode=held.st_mode & 0o7777, owner=owner)


def without_enrol_key(text: str) -> str:
    """`text` without the lines of [rdv] enrol_key, all others byte for byte.

    Raises ConfigError where its lines cannot be told.
    """
    return toml_lines.without(text, ("rdv", "enrol_key"), paths.CONFIG.name)
