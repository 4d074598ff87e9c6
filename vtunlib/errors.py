"""The errors that a person or a peer may see, and how each travels.

An error has one class here. It crosses D-Bus as `org.rdv.Error.<Class>`, the
tundev shell as the line `*** <Class>: text`, and leaves a command as its exit
code. Text that came from elsewhere is made printable before it is kept.
"""

from __future__ import annotations

from typing import ClassVar

DBUS_PREFIX = "org.rdv.Error."
SHELL_PREFIX = "*** "


def printable(text: str, limit: int = 500) -> str:
    """`text` on one line, control and other unprintable characters replaced by `?`."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


class RdvError(Exception):
    """Base of all errors that are told rather than traced back.

    message: what is wrong. hint: what to do about it, may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = printable(message)
        self.hint = printable(hint)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    @property
    def dbus_name(self) -> str:
        """The error name under which it crosses the bus."""
        return DBUS_PREFIX + type(self).__name__

    def shell_line(self) -> str:
        """The line, without its end, under which it crosses the tundev shell."""
        return f"{SHELL_PREFIX}{type(self).__name__}: {self}"


class UsageError(RdvError):
    """Unknown word or wrong arguments."""

    exit_code = 2


class ConfigError(RdvError):
    """A configuration file that cannot be taken: names the file, line, key and what was expected."""

    exit_code = 3


class NotOnline(RdvError):
    """The device asked for is unknown or not connected."""

    exit_code = 4


class Busy(RdvError):
    """The device asked for, or the one asking, is in a session already."""

    exit_code = 5


class NotAllowed(RdvError):
    """The caller may not do this."""

    exit_code = 6


class ModeNotPossible(RdvError):
    """The tunnel mode cannot be had on this uplink."""

    exit_code = 7


class SessionFailed(RdvError):
    """The session did not come up, or ended by something else than the wish of its master."""

    exit_code = 8


class RdvUnreachable(RdvError):
    """No way to the RDV server: no network, no address, no answer."""

    exit_code = 9


class HostKeyMismatch(RdvError):
    """The server at the other end does not hold the pinned host key."""

    exit_code = 10


class AuthenticationRefused(RdvError):
    """The RDV server does not take this account and key."""

    exit_code = 11


class MissingProgram(RdvError):
    """A program that is needed is not installed."""

    exit_code = 12


class NoSession(RdvError):
    """There is no session that this could apply to."""

    exit_code = 13


class NotFound(RdvError):
    """No device, session, namespace or unit of that name is known."""

    exit_code = 14


class AlreadyExists(RdvError):
    """There is one of that name, and it differs from what was asked for."""

    exit_code = 15


class Timeout(RdvError):
    """Something did not happen before its deadline."""

    exit_code = 16


class ProtocolError(RdvError):
    """The peer said something that the protocol has no place for."""

    exit_code = 17


class NotRunning(RdvError):
    """Nobody owns the bus name asked, or its owner went away before it answered."""

    exit_code = 18


class Draining(RdvError):
    """The server takes no new sessions for now: maintenance is ahead."""

    exit_code = 19


class TlsIntercepted(RdvError):
    """What answers by TLS holds a certificate that the RDV's CA has not issued."""

    exit_code = 20


class CertificateRefused(RdvError):
    """The server's certificate is of the right CA, but not for the name by which it was dialled."""

    exit_code = 21


class ProxyRefused(RdvError):
    """The HTTP proxy does not let this device through to the RDV server."""

    exit_code = 22


class TakenOver(RdvError):
    """Another connection of the same account took this one's place."""

    exit_code = 23


class CaptivePortal(RdvError):
    """The network lets nothing through before somebody has signed in on its web page."""

    exit_code = 24


class NameNotResolved(RdvUnreachable):
    """No DNS server tells the address of the RDV server, or of the proxy on the way to it."""

    exit_code = 25


class FaultFound(RdvError):
    """A diagnosis went through to its end, and not all is as it should be."""

    exit_code = 26


def _classes(base: type[RdvError]) -> dict[str, type[RdvError]]:
    found = {base.__name__: base}
    for child in base.__subclasses__():
        found.update(_classes(child))
    return found


def named(name: str, text: str) -> RdvError:
    """The error of class `name` with `text`; an unknown name gives a plain RdvError."""
    return _classes(RdvError).get(name, RdvError)(text)


def from_dbus(name: str, text: str) -> RdvError:
    """The error that crossed the bus as `name`; a foreign name is kept in the text."""
    if name.startswith(DBUS_PREFIX):
        return named(name.removeprefix(DBUS_PREFIX), text)
    return RdvError(f"{name}: {text}")


def from_shell(line: str) -> RdvError | None:
    """The error in a line of the tundev shell, or None where the line is an answer."""
    if not line.startswith(SHELL_PREFIX):
        return None
    name, colon, text = line.removeprefix(SHELL_PREFIX).partition(": ")
    return named(name, text) if colon else RdvError(name)
