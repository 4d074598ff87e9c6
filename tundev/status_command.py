"""The command `tundev-status`: how far this device is, on one screen."""

from __future__ import annotations

import argparse
import json
import sys

from tundev import client, settings
from tundev.client import AgentClient
from tundev.masterdev_command import status_text
from vtunlib import bus as buses
from vtunlib.errors import ConfigError, NotRunning, RdvError
from vtunlib.tunnel import Role

_EXAMPLES = """\
  tundev-status
  tundev-status --json
  tundev-status --key      the public key, for 'rdv-admin device add --key'
"""


async def _work(as_json: bool) -> int:
    bus = await buses.connect()
    reason: RdvError | None = None
    try:
        for role in Role:
            try:
                status = await AgentClient(bus, role).status()
            except (ConfigError, NotRunning) as error:
                reason = error
                continue
            print(json.dumps(status, indent=2) if as_json else status_text(status))
            return 0
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
    parser.add_argument("--key", action="store_true", help="print the device's public key and no more")
    return parser


def main() -> int:
    """Entry of /usr/bin/tundev-status."""
    arguments = _parser().parse_args()
    return client.command("tundev-status", _key if arguments.key else lambda: _work(arguments.json))


if __name__ == "__main__":
    sys.exit(main())
