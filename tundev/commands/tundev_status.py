"""The command `tundev-status`: how far this device is, on one screen."""

from __future__ import annotations

import argparse
import sys

from tundev import client, settings
from tundev.client import AgentClient
from tundev.commands import status
from vtunlib import bus as buses
from vtunlib.errors import ConfigError, NotRunning, RdvError
from vtunlib.tunnel import Role

_EXAMPLES = """\
  tundev-status
  tundev-status --json
  tundev-status --key      the public key, for 'rdv-admin device add --key'
"""


async def _work(arguments: argparse.Namespace) -> int:
    bus = await buses.connect()
    reason: RdvError | None = None
    try:
        for role in Role:
            try:
                return await status.show(AgentClient(bus, role), arguments)
            except (ConfigError, NotRunning) as error:
                reason = error
    finally:
        bus.disconnect()
    if isinstance(reason, ConfigError):
        raise reason
    raise NotRunning("no agent runs on this device", "'systemctl status onsitedev masterdev' says why")


async def _key() -> int:
    if not settings.public_key().exists():
        settings.ensure_key()
    print(settings.read_public_key())
    return 0


def _parser() -> argparse.ArgumentParser:
    about = "How far this tunnelling device is, and why not further."
    parser = client.parser("tundev-status", about, _EXAMPLES)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(watch=False)
    parser.add_argument("--key", action="store_true", help="print the device's public key and no more")
    return parser


def main() -> int:
    """Entry of /usr/bin/tundev-status."""
    arguments = _parser().parse_args()
    return client.command("tundev-status", _key if arguments.key else lambda: _work(arguments))


if __name__ == "__main__":
    sys.exit(main())
