"""What a device may do with its one-time key: hand over the public key that it made for itself. Once.

sshd has let it in by the one-time key's line (rdv.enrolment.keys), its login shell has joined its
channel to the socket that this serves (rdv-enrol@.service, one process per connection),
and who it is comes from the kernel. It says one line, its public key, and is told
`enrolled` or why not. The new key stands on the disk before it is told so; what was
good before, the one-time key and a former key of its own, is not from then on.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from rdv import accounts, contract, journal, peer
from rdv.audit import store
from rdv.audit.events import Event, Kind, Record
from rdv.audit.forms import to_json
from rdv.audit.store import StoreFailed
from rdv.devices import DeviceStore
from rdv.enrolment import keys
from rdv.enrolment.keys import Keys, OneTime
from rdv.logins.login_journal import following
from rdv.logins.origins import Logins, Origin
from vtunlib import files
from vtunlib.errors import NotAllowed, ProtocolError, RdvError, Timeout, UsageError

LINE_LIMIT = 1024
"""Bytes; a public Ed25519 key with a long comment has 300."""
LINE_SECONDS = 10.0
"""From the connection to the end of the line. The device has its key ready when it dials."""
ORIGIN_SECONDS = 1.0
"""How long the journal may take to have the line of this login."""
LOGIN_SECONDS = 60.0
"""How old that line may be: the login shell is started right after it."""
ENROLLED = "enrolled"

log = logging.getLogger(__name__)


def pending(found: Keys, account: str, now: datetime.datetime) -> OneTime:
    """The one-time key that is good at present. Raises NotAllowed."""
    if found.one_time is None or found.one_time.expired(now):
        how = "has expired" if found.one_time else "was used or replaced"
        raise NotAllowed(
            f"the one-time key of {account} {how}",
            f"the RDV's admin makes a new one with 'rdv-admin device re-enrol {account}'",
        )
    return found.one_time


def read_line(connection: socket.socket, *, seconds: float = LINE_SECONDS, limit: int = LINE_LIMIT) -> str:
    """The one line that the device says. Raises Timeout, ProtocolError."""
    deadline = time.monotonic() + seconds
    said = b""
    while b"\n" not in said:
        try:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            more = connection.recv(limit)
        except TimeoutError:
            raise Timeout(f"no public key came within {seconds:g} s") from None
        except OSError as error:
            raise ProtocolError(f"the connection broke: {error.strerror}") from None
        said += more
        if len(said) > limit:
            raise ProtocolError(f"expected one line of at most {limit} bytes, the public key")
        if not more:
            raise ProtocolError("the connection ended before the end of the line")
    line, _, rest = said.partition(b"\n")
    if rest:
        raise ProtocolError("expected one line, the public key, and nothing after it")
    try:
        return line.decode("ascii")
    except UnicodeDecodeError:
        raise ProtocolError("the public key's line is not ASCII") from None


def take_over(account: str, issued: OneTime, public_key: str, directory: Path = keys.DIRECTORY) -> Keys:
    """Make `public_key` the account's only key if `issued` is still good; returns what stood before.

    Of two that come with the same one-time key one wins. Raises NotAllowed, UsageError, RdvError.
    """
    own = keys.parse_key(public_key)
    if own == issued.public:
        raise UsageError("that is the one-time key itself", "expected the key that the device made")
    with files.locked(directory):
        former = keys.read(account, directory)
        if former.one_time != issued:
            raise NotAllowed(
                f"the one-time key of {account} was used or replaced meanwhile",
                f"the RDV's admin makes a new one with 'rdv-admin device re-enrol {account}'",
            )
        try:
            keys.write(account, Keys(own), directory)
        except OSError as error:
            raise RdvError(f"the RDV cannot keep the key: {error.strerror}", "tell its admin") from None
    return former


def enrol(
    connection: socket.socket,
    devices: DeviceStore,
    directory: Path,
    record: Record,
    origin: Origin | None = None,
) -> None:
    """Serve one connection. origin: from where it comes. Raises RdvError, and nothing changed."""
    device, _uid = peer.device(connection, devices)
    # Read before the line is waited for: who came with a key that is replaced meanwhile is refused.
    issued = pending(keys.read(device.account, directory), device.account, _now())
    own = read_line(connection)
    former = take_over(device.account, issued, own, directory)
    more = {
        "fingerprint": keys.fingerprint(keys.parse_key(own)),
        "one_time": keys.fingerprint(issued.public),
    }
    if origin is not None:
        more |= {"address": origin.address, "transport": str(origin.transport)}
    log.info("%s is enrolled: %s", device.account, more["fingerprint"])
    record(Event(Kind.ENROLLED, device.account, more=more))
    if former.own:
        _end_former(device.account, connection)


def _end_former(account: str, connection: socket.socket) -> None:
    """Who is logged in with the former key is so no more; this very login is with the other."""
    try:
        accounts.end_processes(account, spare=peer.pids(connection))
    except RdvError as error:
        log.error("a connection with the former key of %s goes on: %s", account, error)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class _Done:
    """What was recorded here, for the manager to tell who listens."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        try:
            store.keep(event)
        except StoreFailed as error:
            log.error("this is not in the audit: %s", error)
        self.events.append(event)

    async def tell(self) -> None:
        # Here, for it is much to import, and the device has its answer by now.
        from rdv.admin.link import manager

        with suppress(RdvError):
            for event in self.events:
                await manager(contract.RECORDED, to_json(event))


async def _origin(connection: socket.socket) -> Origin | None:
    """From where the device has logged in; the journal's line of it is older than this process."""
    logins = Logins(wait=ORIGIN_SECONDS)
    with following(logins.hear, back=LOGIN_SECONDS):
        return await logins.of(peer.pids(connection), peer.account(connection).account)


def main() -> int:
    """Entry of rdv-enrol@.service: standard input is the connection."""
    journal.set_up("rdv-enrol")
    done = _Done()
    with socket.socket(fileno=sys.stdin.fileno()) as connection:
        try:
            origin = asyncio.run(_origin(connection))
            enrol(connection, DeviceStore(), keys.DIRECTORY, done.record, origin)
            answer = ENROLLED
        except RdvError as error:
            log.warning("%s", error)
            answer = error.shell_line()
        try:
            connection.settimeout(LINE_SECONDS)
            connection.sendall(f"{answer}\n".encode())
        except OSError as error:
            # It has its key and tries it first, so a lost answer is no second use.
            log.info("the answer was lost: %s", error.strerror)
    asyncio.run(done.tell())
    return 0
