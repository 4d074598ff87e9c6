"""Starting and stopping units of systemd through pystemd, waiting for each job's end.

Synchronous, to be called by asyncio.to_thread. Each call has a bus connection
of its own, so calls from several threads do not meet. pystemd keeps the
interpreter's lock while systemd takes a request (a millisecond); waiting for
the job that it began does not.
"""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from vtunlib.errors import NotFound, RdvError, Timeout

_SYSTEMD = b"org.freedesktop.systemd1"
_PATH = b"/org/freedesktop/systemd1"
_MANAGER = b"org.freedesktop.systemd1.Manager"
_UNIT = b"org.freedesktop.systemd1.Unit"
_SERVICE = b"org.freedesktop.systemd1.Service"

# What pystemd 0.11 does not know of the properties of transient units.
_MISSING_SIGNATURES = {
    b"NetworkNamespacePath": b"s",
    b"CapabilityBoundingSet": b"t",
    b"AmbientCapabilities": b"t",
    b"DeviceAllow": b"a(ss)",
    b"LoadCredential": b"a(ss)",
    b"SetCredential": b"a(say)",
    b"RestrictNamespaces": b"t",
    b"RestrictAddressFamilies": b"(bas)",
    b"RestrictSUIDSGID": b"b",
    b"ProtectClock": b"b",
    b"ProtectHostname": b"b",
    b"ProtectKernelLogs": b"b",
    b"ProtectProc": b"s",
    b"ProcSubset": b"s",
    b"UMask": b"u",
    b"SystemCallErrorNumber": b"i",
    b"SystemCallLog": b"(bas)",
}

RUNNING = ("active", "reloading", "activating", "deactivating")
"""Of a unit: it does something, or is just about to, or still (org.freedesktop.systemd1(5))."""
_NOT_INACTIVE = (*RUNNING, "failed")


def start(unit: str, *, deadline: float = 20.0) -> None:
    """Start `unit` and wait until its job is done; seconds. Raises NotFound, RdvError, Timeout."""
    with _connection() as bus:
        _job(bus, unit, deadline, lambda: _call(bus, b"StartUnit", b"ss", unit, "replace"))


def stop(unit: str, *, deadline: float = 20.0) -> None:
    """Stop `unit` and wait until it is; not running or unknown is no error. Raises RdvError, Timeout."""
    with _connection() as bus:
        try:
            _job(bus, unit, deadline, lambda: _call(bus, b"StopUnit", b"ss", unit, "replace"))
        except NotFound:
            return
        with suppress(NotFound):
            # A failed unit would keep its name, and the name of a transient one could not be used again.
            _call(bus, b"ResetFailedUnit", b"s", unit)


def restart(unit: str, *, deadline: float = 20.0) -> None:
    """Stop `unit` if it runs, start it, and wait until its job is done. Raises RdvError, Timeout."""
    with _connection() as bus:
        _job(bus, unit, deadline, lambda: _call(bus, b"RestartUnit", b"ss", unit, "replace"))


def reload(unit: str, *, deadline: float = 20.0) -> None:
    """Have `unit` read its configuration anew, and wait until it has. Raises RdvError, Timeout."""
    with _connection() as bus:
        _job(bus, unit, deadline, lambda: _call(bus, b"ReloadUnit", b"ss", unit, "replace"))


def send_signal(unit: str, number: signal.Signals) -> None:
    """Send a signal to the main process of `unit`. Raises NotFound, RdvError."""
    with _connection() as bus:
        _call(bus, b"KillUnit", b"ssi", unit, "main", int(number))


def reboot() -> None:
    """Have the machine started anew, in order; returns at once. Raises RdvError."""
    with _connection() as bus:
        _call(bus, b"StartUnit", b"ss", "reboot.target", "replace-irreversibly")


def start_transient(
    name: str,
    argv: Sequence[str],
    *,
    stdin: int | None = None,
    properties: Mapping[str, Any] | None = None,
    deadline: float = 20.0,
) -> None:
    """Start `argv` as the transient service `name` and wait until its job is done.

    stdin: a descriptor that becomes its standard input and output; the caller
    keeps and closes its own. properties: of systemd.directives, by their D-Bus
    names and in the form of their D-Bus type; str stands for bytes. Nothing of
    the unit stays when it ends, failed or not. Raises RdvError, Timeout.
    """
    from pystemd.systemd1.unit_signatures import signature_array

    _teach_signatures()
    wanted: dict[bytes, Any] = {
        b"Type": b"exec",
        b"Description": name.encode(),
        b"CollectMode": b"inactive-or-failed",
        b"ExecStart": [(argv[0].encode(), [word.encode() for word in argv], False)],
    }
    if stdin is not None:
        wanted[b"StandardInputFileDescriptor"] = stdin
        wanted[b"StandardOutputFileDescriptor"] = stdin
    wanted |= {key.encode(): _bytes(value) for key, value in (properties or {}).items()}
    try:
        arguments = signature_array(wanted)
    except KeyError as error:
        raise RdvError(f"property {error.args[0].decode()} of {name} has no known type") from None
    no_extra_units = [(ord(b"a"), b"(sa(sv))"), (-1, None)]
    with _connection() as bus:
        _job(
            bus,
            name,
            deadline,
            lambda: _call(
                bus, b"StartTransientUnit", b"ss", name, "fail", more=[*arguments, *no_extra_units]
            ),
        )


def is_active(unit: str) -> bool:
    """Whether `unit` is active or reloading; an unknown one is not. Raises RdvError."""
    with _connection() as bus:
        return _property(bus, unit, _UNIT, "ActiveState") in ("active", "reloading")


def last_active(unit: str) -> float | None:
    """When `unit` was active last before it is now; seconds since the epoch.

    None where it was not since the boot. A unit that is started again by itself after a
    crash counts too. Raises RdvError.
    """
    with _connection() as bus:
        microseconds: int = _value(bus, unit, _UNIT, "ActiveExitTimestamp", b"t")
    return microseconds / 1e6 if microseconds else None


def units_named(*patterns: str, states: Sequence[str] = _NOT_INACTIVE) -> list[str]:
    """The units whose names match a shell pattern, in one of these states; sorted. Raises RdvError."""
    with _connection() as bus:
        rows = _call(bus, b"ListUnitsByPatterns", b"asas", list(states), list(patterns))
    return sorted(row[0].decode() for row in rows)


def status(unit: str) -> str:
    """How `unit` is, in words, as `active (running): its own status` or `failed (failed): exit-code`."""
    with _connection() as bus:
        active, sub = (_property(bus, unit, _UNIT, name) for name in ("ActiveState", "SubState"))
        own = result = ""
        if unit.endswith(".service"):
            own = _property(bus, unit, _SERVICE, "StatusText")
            result = _property(bus, unit, _SERVICE, "Result")
    detail = own or (result if result != "success" else "")
    return f"{active} ({sub})" + (f": {detail}" if detail else "")


@contextmanager
def _connection() -> Iterator[Any]:
    from pystemd.dbuslib import DBus

    bus = DBus()
    try:
        bus.open()
    except Exception as error:
        raise RdvError(f"cannot reach systemd: {error}") from None
    try:
        yield bus
    finally:
        bus.close()


def _job(bus: Any, unit: str, deadline: float, begin: Callable[[], Any]) -> None:
    """Begin a job of `unit` and wait until systemd says that it is over."""
    ends = time.monotonic() + deadline
    results: dict[bytes, str] = {}

    def removed(message: Any, error: Any = None, userdata: Any = None) -> None:  # noqa: ARG001
        message.process_reply(False)
        results[message.body[1]] = message.body[3].decode()

    # Listening before the job begins, for it may be over before we are told its name.
    bus.match_signal(_SYSTEMD, _PATH, _MANAGER, b"JobRemoved", removed, None)
    _call(bus, b"Subscribe", b"")
    job = begin()
    _process(bus)  # what came before the answer is read already, and wakes no select
    while job not in results:
        left = ends - time.monotonic()
        if left <= 0:
            raise Timeout(f"{unit} is not ready after {deadline:g} s")
        # bus.wait() would keep the interpreter's lock, and with it every other thread, until then.
        select.select([bus.get_fd()], [], [], left)
        _process(bus)
    if results[job] != "done":
        raise RdvError(f"{unit}: {results[job]}", f"see journalctl -u {unit}")


def _process(bus: Any) -> None:
    while not bus.process().is_empty():
        pass


def _call(bus: Any, method: bytes, signature: bytes, *values: Any, more: Sequence[Any] = ()) -> Any:
    from pystemd.dbusexc import DBusBaseError, DBusNoSuchUnitError
    from pystemd.dbuslib import apply_signature

    arguments = apply_signature(signature, [_bytes(value) for value in values]) if signature else []
    try:
        return bus.call_method(_SYSTEMD, _PATH, _MANAGER, method, [*arguments, *more]).body
    except DBusNoSuchUnitError as error:
        raise NotFound(_text(error)) from None
    except DBusBaseError as error:
        raise RdvError(f"systemd: {_text(error)}") from None


def _property(bus: Any, unit: str, interface: bytes, name: str) -> str:
    value: bytes = _value(bus, unit, interface, name, b"s")
    return value.decode(errors="replace")


def _value(bus: Any, unit: str, interface: bytes, name: str, signature: bytes) -> Any:
    from pystemd.dbusexc import DBusBaseError
    from pystemd.dbuslib import path_encode

    path = path_encode(b"/org/freedesktop/systemd1/unit", unit.encode())
    try:
        return bus.get_property(_SYSTEMD, path, interface, name.encode(), signature)
    except DBusBaseError as error:
        raise RdvError(f"systemd: {_text(error)}") from None


def _text(error: Any) -> str:
    text: bytes = error.err_message
    return text.decode(errors="replace")


def _bytes(value: Any) -> Any:
    """`value` with each str in it as bytes, which is what pystemd takes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (list, tuple)):
        return type(value)(_bytes(item) for item in value)
    return value


def _teach_signatures() -> None:
    from pystemd.systemd1.unit_signatures import KNOWN_UNIT_SIGNATURES

    for name, signature in _MISSING_SIGNATURES.items():
        KNOWN_UNIT_SIGNATURES.setdefault(name, signature)
