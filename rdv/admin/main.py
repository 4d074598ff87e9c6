"""Entry of `rdv-admin`: the words, and how an error leaves it. Everything it does is safe to repeat."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from rdv.admin.link import note, tell_recorded
from rdv.backup import restore_mark
from vtunlib.errors import NotAllowed, RdvError
from vtunlib.version import VERSION

SUBJECTS: Mapping[str, str] = {
    "status": "status",
    "watch": "watch",
    "device": "devices",
    "session": "sessions",
    "acl": "access",
    "audit": "audit",
    "drain": "drain",
    "backup": "backup",
    "restore": "backup",
    "tls": "tls",
}
"""By first word, the module here that adds it, with `work` set to what it does."""

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
    arguments = _parser(sys.argv[1:]).parse_args()
    try:
        if os.geteuid() != 0:
            raise NotAllowed("only root may do this", "use sudo")
        work: Work = arguments.work
        if restore_mark.marked() is not None and arguments.subject != "restore":
            note("a restore was interrupted: this RDV is neither as before nor as in the backup; do it again")
        asyncio.run(_awaited(work, arguments))
    except RdvError as error:
        print(f"rdv-admin: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except OSError as error:  # a disk that is full or read-only
        print(f"rdv-admin: {error.filename or 'files'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


async def _awaited(work: Work, arguments: argparse.Namespace) -> None:
    try:
        await work(arguments)
    finally:
        await tell_recorded()


def _parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """words: of the command line. Only the subject that they name is loaded: all of them take a while."""
    parser = argparse.ArgumentParser(
        prog="rdv-admin",
        description="The RDV server's devices and sessions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rdv-admin {VERSION}")
    subjects = parser.add_subparsers(required=True, metavar="COMMAND", dest="subject")
    asked = [SUBJECTS[word] for word in words[:1] if word in SUBJECTS]
    for name in asked or dict.fromkeys(SUBJECTS.values()):
        importlib.import_module(f"rdv.admin.{name}").add_parser(subjects)
    return parser


if __name__ == "__main__":
    sys.exit(main())
