"""Takes away all sessions of this server, whoever made them: for when the package is removed."""

from __future__ import annotations

import logging
import sys

from rdv import leftovers
from vtunlib.errors import RdvError


def main() -> int:
    """Entry point of /usr/lib/rdv/cleanup."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        leftovers.remove([])
    except RdvError as error:
        print(f"rdv cleanup: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
