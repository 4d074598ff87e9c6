"""`rdv-admin device add|re-enrol|set-key`: making devices, and what opens their accounts.

The usual way is a bundle with a one-time key: the device makes its own key and hands it
over itself (rdv.enrolment.service). Carrying a public key here by hand stays possible.
"""

from __future__ import annotations

import argparse
import datetime
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from rdv import accounts, durations, settings
from rdv.admin.cutting_off import disconnect
from rdv.admin.link import note, record
from rdv.audit.events import Event, Kind
from rdv.devices import Device, DeviceStore, check_account
from rdv.enrolment import bundle, keys
from rdv.enrolment.bundle import Bundle
from rdv.enrolment.keys import Keys, OneTime
from rdv.facts import short_text
from rdv.tls import files as tls_files
from rdv.tls.bundle import prepare as certificate_for
from vtunlib import files
from vtunlib.errors import AlreadyExists, NotFound, UsageError
from vtunlib.tunnel import Role

VALID = "7d"
"""How long a one-time key is good where the admin says nothing."""

_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(:\d{1,5})?")


def add_parser(devices: Any) -> None:
    """The words of `rdv-admin device` that give a device what opens its account."""
    add = devices.add_parser("add", help="make a device's account; the same again changes nothing")
    add.add_argument("name")
    add.add_argument("--role", required=True, choices=list(Role))
    add.add_argument("--label", default="", metavar="TEXT")
    add.add_argument("--location", default="", metavar="TEXT")
    add.add_argument("--group", action="append", default=[], metavar="GROUP", help="may be repeated")
    _bundle_arguments(add)
    _key_arguments(add)
    add.set_defaults(work=device_add)
    again = devices.add_parser("re-enrol", help="a new bundle, for a device that was re-flashed or replaced")
    again.add_argument("name")
    _bundle_arguments(again, required=True)
    again.add_argument("--now", action="store_true", help="cut off who has the device's present key at once")
    again.set_defaults(work=device_re_enrol)
    set_key = devices.add_parser("set-key", help="make another key open the device's account")
    set_key.add_argument("name")
    _key_arguments(set_key)
    set_key.set_defaults(work=device_set_key)


def _bundle_arguments(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--bundle", type=Path, required=required, metavar="FILE", help="write the device's tundev.toml there"
    )
    parser.add_argument(
        "--server", default="", metavar="NAME[:PORT]", help="this server, as devices reach it"
    )
    parser.add_argument("--valid", default=VALID, metavar="TIME", help="how long: 30m, 12h, 7d (default)")


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--key", metavar="LINE", help="what 'tundev-status --key' prints on the device")
    group.add_argument("--key-file", type=Path, metavar="FILE")


def _given_key(arguments: argparse.Namespace) -> str:
    if arguments.key_file is None:
        return keys.parse_key(arguments.key) if arguments.key else ""
    try:
        return keys.parse_key(arguments.key_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {arguments.key_file}: {error}") from None


async def device_add(arguments: argparse.Namespace) -> None:
    """Make the account, its file and its bundle; the same again changes nothing."""
    name, key = check_account(arguments.name), _given_key(arguments)
    device = Device(
        name,
        Role(arguments.role),
        short_text(arguments.label, "label"),
        short_text(arguments.location, "location"),
        tuple(dict.fromkeys(short_text(group, "group") for group in arguments.group if group)),
    )
    # All that can refuse it comes before the first change.
    there = accounts.role(name)
    if there not in (None, device.role):
        raise _differs(name, f"as {there}")
    known = _known(name)
    _check_same(known or device, device, key)
    prepared = _prepared(arguments, known or device) if arguments.bundle else None
    # An account without its file is refused by the manager, so the account comes first.
    made = accounts.create(name, device.role)
    if known is None:
        DeviceStore().add(device)
        record(Event(Kind.DEVICE_ADDED, name, more={"role": str(device.role)}))
    if key and keys.read(name) != Keys(key):
        _set_key(name, key)
    print(f"{name}: added as {device.role}" if made or not known else f"{name}: is there already")
    present = keys.read(name)
    if prepared is None:
        if present == Keys():
            note(f"nothing opens it yet: 'rdv-admin device re-enrol {name} --bundle FILE' makes its bundle")
    elif key:
        bundle.write(arguments.bundle, prepared)
        print(f"its configuration, for server {prepared.server}, is in {arguments.bundle}")
    elif present.own:
        note(f"it has its key: 'rdv-admin device re-enrol {name}' makes a bundle for a re-flashed one")
    elif present.one_time and _is_written(arguments.bundle, prepared, present.one_time):
        print(f"its bundle is {arguments.bundle}, good until {_shown(present.one_time.until)}")
    else:
        _issue(arguments, prepared)


async def device_re_enrol(arguments: argparse.Namespace) -> None:
    """A new one-time key. The present key opens the account until it is used, or with --now no more."""
    device = DeviceStore().read(check_account(arguments.name))
    prepared = _prepared(arguments, device)
    present = keys.read(device.account)
    _issue(arguments, prepared, keep=not arguments.now)
    if arguments.now:
        await disconnect(device.account, "it is enrolled anew")
        print(f"{device.account}: cut off until it is enrolled")
    elif present.own:
        print("its present key is good until then")


async def device_set_key(arguments: argparse.Namespace) -> None:
    """Make another key open the account; a connection with the old one ends."""
    key = _given_key(arguments)
    if not key:
        raise UsageError("no key given", "give --key or --key-file")
    name = DeviceStore().read(check_account(arguments.name)).account
    if keys.read(name) == Keys(key):
        print(f"{name}: that key opens it already")
        return
    _set_key(name, key)
    await disconnect(name, "its key was replaced")
    print(f"{name}: only that key opens it now")


def _known(name: str) -> Device | None:
    try:
        return DeviceStore().read(name)
    except NotFound:
        return None


def _differs(name: str, how: str) -> AlreadyExists:
    return AlreadyExists(f"{name} is there {how}", f"'rdv-admin device remove {name}' first, or another name")


def _check_same(known: Device, device: Device, key: str) -> None:
    name = known.account
    if known.role is not device.role:
        raise _differs(name, f"as {known.role}")
    for what in ("label", "location", "groups"):
        wanted = getattr(device, what)
        if wanted and wanted != getattr(known, what):
            raise AlreadyExists(
                f"{name} is there with another {what}", f"edit /etc/rdv/devices.d/{name}.toml"
            )
    present = keys.read(name).own
    if key and present and key != present:
        raise AlreadyExists(f"{name} is there with another key", "'rdv-admin device set-key' replaces it")


def _prepared(arguments: argparse.Namespace, device: Device) -> Bundle:
    """The bundle, still without its one-time key. Raises what can refuse it."""
    server = arguments.server or settings.server_name(settings.load())
    if not _SERVER.fullmatch(server):
        raise UsageError(f"{server!r} is no server", "expected a name or address, optional :port")
    durations.parse(arguments.valid)
    bundle.check_place(arguments.bundle, device.account)
    if warning := certificate_for(server):
        note(f"warning: {warning}")
    return Bundle(server, device, keys.host_key(), ca_cert=tls_files.bundle_ca(), more=bundle.more())


def _is_written(path: Path, prepared: Bundle, one_time: OneTime) -> bool:
    """Whether the file at `path` is this bundle already, with the one-time key that is good."""
    private = bundle.enrol_key(path)
    same = replace(prepared, enrol_key=private)
    return (
        bundle.holds(private, one_time.public)
        and not one_time.expired(_now())
        and path.read_text(encoding="utf-8") == bundle.text(same)
    )


def _issue(arguments: argparse.Namespace, prepared: Bundle, *, keep: bool = True) -> None:
    """Make a one-time key, and the bundle that holds it. A former one is good no more.

    keep: let the device's present key open its account until then.
    """
    name = prepared.device.account
    until = (_now() + durations.parse(arguments.valid)).replace(microsecond=0)
    private, public = bundle.make_one_time(name)
    # The bundle first: where it cannot be written, what was good stays good.
    bundle.write(arguments.bundle, replace(prepared, enrol_key=private))
    with files.locked(keys.DIRECTORY):
        former = keys.read(name)
        keys.write(name, Keys(former.own if keep else "", OneTime(public, until)))
    more = {"fingerprint": keys.fingerprint(public), "valid_until": until.isoformat()}
    if not keep:
        more["cut_off"] = "yes"
    record(Event(Kind.BUNDLE_ISSUED, name, more=more))
    if former.one_time:
        print("the one-time key of its former bundle is good no more")
    print(f"its bundle, for server {prepared.server}, is {arguments.bundle}")
    print(f"who has that file can enrol as {name}, once, until {_shown(until)}")


def _set_key(name: str, key: str) -> None:
    with files.locked(keys.DIRECTORY):
        keys.write(name, Keys(key))
    record(Event(Kind.KEY_SET, name, more={"fingerprint": keys.fingerprint(key)}))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _shown(instant: datetime.datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M UTC")
