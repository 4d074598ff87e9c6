"""Which keys open a device's account on rdv-sshd: the one file that says so, and its form.

A file holds at most two lines. One is the device's own key, which gives it its shell
and its leg. The other is a one-time key, with which a device may do nothing but hand
over the public key that it has made for itself (rdv.enrolment.service), until the line's
time is over; sshd itself refuses it then. Root only.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vtunlib import files
from vtunlib.errors import NotFound, RdvError, UsageError

DIRECTORY = Path("/etc/rdv/keys")
HOST_KEY = Path("/etc/rdv/ssh_host_ed25519_key.pub")

_TYPE = "ssh-ed25519"
"""The one type that rdv-sshd takes and that devices make."""
_SHELL = 'restrict,command="shell"'
_TIME = "%Y%m%d%H%M%SZ"
"""sshd(8), expiry-time: with the Z it is UTC, whatever the host's time zone."""
_ENROL = re.compile(r'restrict,expiry-time="(?P<until>[1-9]\d{13}Z)",command="enrol"')


@dataclass(frozen=True)
class OneTime:
    """A key that is good for one enrolment. public: `type base64`; until: in UTC, to the second."""

    public: str
    until: datetime.datetime

    def expired(self, now: datetime.datetime) -> bool:
        """Whether its time is over."""
        return now >= self.until


class Enrolment(StrEnum):
    """How far a device is with the key of its own. The words are what `rdv-admin` shows: never rename one."""

    ENROLLED = "enrolled"
    WAITING = "waiting"
    """It may enrol with its one-time key."""
    EXPIRED = "expired"
    """It may not any more, and has no key of its own."""
    NONE = "none"


@dataclass(frozen=True)
class Keys:
    """What opens an account. own: the device's key as `type base64`, empty where it has none yet."""

    own: str = ""
    one_time: OneTime | None = None

    def enrolment(self, now: datetime.datetime) -> Enrolment:
        """How far the device is."""
        if self.own:
            return Enrolment.ENROLLED
        if self.one_time is None:
            return Enrolment.NONE
        return Enrolment.EXPIRED if self.one_time.expired(now) else Enrolment.WAITING


def parse_key(line: str) -> str:
    """`type base64` of a public key line, its comment left out. Raises UsageError."""
    words = line.split()
    if len(words) < 2 or words[0] != _TYPE or len(line.strip().splitlines()) != 1:
        raise UsageError("that is no public Ed25519 key", f"expected a line as in '{_TYPE} AAAA…'")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:  # binascii.Error, and what is not ASCII
        blob = b""
    # RFC 8709: its type and its 32 bytes, each as a string.
    head = len(_TYPE).to_bytes(4, "big") + _TYPE.encode() + (32).to_bytes(4, "big")
    if not blob.startswith(head) or len(blob) != len(head) + 32:
        raise UsageError("that public SSH key is damaged", "copy its line once more, whole")
    return f"{_TYPE} {words[1]}"


def fingerprint(key: str) -> str:
    """`SHA256:…` of a `type base64`, as sshd's log and `ssh-keygen -l` have it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def text(account: str, keys: Keys) -> str:
    """The file of an account."""
    lines = [f"{_SHELL} {keys.own} {account}\n"] if keys.own else []
    if keys.one_time:
        until = keys.one_time.until.strftime(_TIME)
        lines.append(f'restrict,expiry-time="{until}",command="enrol" {keys.one_time.public} {account}\n')
    return "".join(lines)


def parse(content: str) -> Keys:
    """What `text` wrote. Raises ValueError on anything else."""
    keys = Keys()
    for line in content.splitlines():
        options, _, key = line.partition(" ")
        if options == _SHELL and not keys.own:
            keys = Keys(parse_key(key), keys.one_time)
        elif (enrol := _ENROL.fullmatch(options)) and keys.one_time is None:
            until = datetime.datetime.strptime(enrol["until"], _TIME).replace(tzinfo=datetime.UTC)
            keys = Keys(keys.own, OneTime(parse_key(key), until))
        else:
            raise ValueError(line)
    return keys


def read(account: str, directory: Path = DIRECTORY) -> Keys:
    """What opens the account, or would if it were not shut; nothing does where there is no file.

    Raises RdvError on a foreign file.
    """
    path = file(account, directory)
    try:
        return parse(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return Keys()
    except (ValueError, UsageError):
        raise RdvError(
            f"{path} is not as rdv-admin writes it", f"expected '{_SHELL} {_TYPE} AAAA… {account}'"
        ) from None


def write(account: str, keys: Keys, directory: Path = DIRECTORY) -> None:
    """Let these keys, and only these, open the account (once it is not shut); durable when it returns."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Readable by all: sshd reads it as the account.
    files.replace(file(account, directory), text(account, keys).encode("ascii"), mode=0o644)


def remove(account: str, directory: Path = DIRECTORY) -> None:
    """Let no key open the account any more."""
    (directory / account).unlink(missing_ok=True)
    _aside(account, directory).unlink(missing_ok=True)


def file(account: str, directory: Path = DIRECTORY) -> Path:
    """The file of what opens the account: where sshd looks for it, or aside while the account is shut."""
    aside = _aside(account, directory)
    return aside if aside.exists() else directory / account


def shut(account: str, directory: Path = DIRECTORY) -> None:
    """Let nothing open the account until `reopen`; its keys are kept. Shut already is no error."""
    with files.locked(directory):
        try:
            (directory / account).rename(_aside(account, directory))
        except FileNotFoundError:
            _aside(account, directory).touch(mode=0o644)


def reopen(account: str, directory: Path = DIRECTORY) -> None:
    """Let the keys that are kept open the account again. Open already is no error."""
    with files.locked(directory):
        aside = _aside(account, directory)
        if not aside.exists():
            return
        if aside.stat().st_size == 0:
            aside.unlink()
        else:
            aside.rename(directory / account)


def _aside(account: str, directory: Path) -> Path:
    # No account's name has a dot (rdv.devices), so sshd never takes this for somebody's file.
    return directory / f".{account}.shut"


def host_key() -> str:
    """This server's public host key, as a device pins it. Raises NotFound, RdvError."""
    try:
        return parse_key(HOST_KEY.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise NotFound(f"there is no {HOST_KEY}", "'systemctl restart rdv-sshd' makes it") from None
    except (UsageError, UnicodeDecodeError) as error:
        raise RdvError(f"{HOST_KEY}: {error}") from None
