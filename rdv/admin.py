"""The admin's command, `rdv-admin`: devices and sessions. Safe to repeat."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rdv import admin_commands as commands
from vtunlib.errors import NotAllowed, RdvError
from vtunlib.tunnel import Role

Work = Callable[[argparse.Namespace], Awaitable[None]]

_EXAMPLES = """\
examples:
  rdv-admin device add rpi1100 --role onsite --location "Royal Champagne, boiler room" \\
            --key "ssh-ed25519 AAAA… rpi1100" --server rdv.example.com --bundle rpi1100.toml
  rdv-admin device list
  rdv-admin device remove rpi1100
  rdv-admin session list --json
  rdv-admin session drop rpi1100
"""


def main() -> int:
    """Entry of /usr/sbin/rdv-admin."""
    arguments = _parser().parse_args()
    try:
        if os.geteuid() != 0:
            raise NotAllowed("only root may do this", "use sudo")
        work: Work = arguments.work
        asyncio.run(_awaited(work, arguments))
    except RdvError as error:
        print(f"rdv-admin: {error}", file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        print(f"rdv-admin: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


async def _awaited(work: Work, arguments: argparse.Namespace) -> None:
    await work(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rdv-admin",
        description="The RDV server's devices and sessions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subjects = parser.add_subparsers(required=True, metavar="device|session")
    device = subjects.add_parser("device", help="the devices")
    _device_commands(device.add_subparsers(required=True, metavar="COMMAND"))
    session = subjects.add_parser("session", help="the sessions")
    _session_commands(session.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _device_commands(devices: Any) -> None:
    add = devices.add_parser("add", help="make a device's account; the same again changes nothing")
    add.add_argument("name")
    add.add_argument("--role", required=True, choices=list(Role))
    add.add_argument("--label", default="", metavar="TEXT")
    add.add_argument("--location", default="", metavar="TEXT")
    add.add_argument("--server", default="", metavar="NAME[:PORT]", help="this server, as devices reach it")
    add.add_argument("--bundle", type=Path, metavar="FILE", help="write the device's tundev.toml there")
    _key_arguments(add)
    add.set_defaults(work=commands.device_add)
    set_key = devices.add_parser("set-key", help="make another key open the device's account")
    set_key.add_argument("name")
    _key_arguments(set_key)
    set_key.set_defaults(work=commands.device_set_key)
    listing = devices.add_parser("list", help="all devices, and which are online")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(work=commands.device_list)
    show = devices.add_parser("show", help="all that is known of a device")
    show.add_argument("name")
    show.add_argument("--json", action="store_true")
    show.set_defaults(work=commands.device_show)
    remove = devices.add_parser("remove", help="end its session and connection, delete its account")
    remove.add_argument("name")
    remove.set_defaults(work=commands.device_remove)


def _session_commands(sessions: Any) -> None:
    session_list = sessions.add_parser("list", help="who is connected to whom")
    session_list.add_argument("--json", action="store_true")
    session_list.set_defaults(work=commands.session_list)
    drop = sessions.add_parser("drop", help="end a session")
    drop.add_argument("name", metavar="SESSION|DEVICE")
    drop.add_argument("--reason", default="", metavar="TEXT", help="both sides are told")
    drop.set_defaults(work=commands.session_drop)


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--key", metavar="LINE", help="what 'tundev-status --key' prints on the device")
    group.add_argument("--key-file", type=Path, metavar="FILE")


if __name__ == "__main__":
    sys.exit(main())
