"""Takes away all sessions and connections of this server: when the package is removed."""

from __future__ import annotations

import sys

from rdv import accounts
from rdv.sessions import leftovers
from vtunlib.errors import RdvError


def main() -> int:
    """Entry of /usr/lib/rdv/cleanup."""
    try:
        leftovers.remove([])
        # A stop of rdv-sshd.service leaves the devices' connections.
        for account in accounts.everyone():
            accounts.end_processes(account)
    except RdvError as error:
        print(f"rdv-cleanup: {error}", file=sys.stderr)
        return error.exit_code
    return 0
