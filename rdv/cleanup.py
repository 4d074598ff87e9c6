"""Takes away all sessions of this server: when the package is removed."""

from __future__ import annotations

import sys

from rdv import leftovers
from vtunlib.errors import RdvError


def main() -> int:
    """Entry of /usr/lib/rdv/cleanup."""
    try:
        leftovers.remove([])
    except RdvError as error:
        print(f"rdv-cleanup: {error}", file=sys.stderr)
        return error.exit_code
    return 0
