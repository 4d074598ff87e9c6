"""Entry of `rdv-admin`: the words, and how an error leaves it. Everything it does is safe to repeat."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from rdv import restore
from rdv.admin import access, audit, backup, devices, drain, sessions, status, tls, watch
from rdv.admin.link import note, tell_recorded
from vtunlib.errors import NotAllowed, RdvError
from vtunlib.version import VERSION

SUBJECTS = (status, watch, devices, sessions, access, audit, drain, backup, tls)
"""Each adds its words, with `work` set to what they do."""

Work = Callable[[argparse.Namespace], Awaitable[None]]

_EXAMPLES = """\
examples:
  rdv-admin status
  rdv-admin watch
  rdv-admin device add rpi1100 --role onsite --location "Royal Champagne, boiler room" \\
            --group champagne --bundle rpi1100.toml
  rdv-admin device re-enrol rpi1100 --bundle rpi1100.toml
  rdv-admin device list
  rdv-admin device disable rpi1100
  rdv-admin device remove rpi1100
  rdv-admin session list --json
  rdv-admin session drop rpi1100
  rdv-admin audit --since 7d --device rpi1100
  rdv-admin acl check rpi1200 rpi1100
  rdv-admin drain --reason "new kernel at 18:00"
  rdv-admin backup /root/rdv.backup
  rdv-admin restore /root/rdv.backup
"""


def main() -> int:
    """Entry of /usr/sbin/rdv-admin."""
    arguments = _parser().parse_args()
    try:
        if os.geteuid() != 0:
            raise NotAllowed("only root may do this", "use sudo")
        work: Work = arguments.work
        if restore.marked() is not None and work is not backup.put_back:
            note("a restore was interrupted: this RDV is neither as before nor as in the backup; do it again")
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
    try:
        await work(arguments)
    finally:
        await tell_recorded()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rdv-admin",
        description="The RDV server's devices and sessions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rdv-admin {VERSION}")
    subjects = parser.add_subparsers(required=True, metavar="COMMAND")
    for subject in SUBJECTS:
        subject.add_parser(subjects)
    return parser


if __name__ == "__main__":
    sys.exit(main())
