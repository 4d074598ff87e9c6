"""An SSH key pair that is there whole, or not at all, whenever the power fails."""

from __future__ import annotations

import os
from pathlib import Path

from vtunlib import files
from vtunlib.run import run


def public_half(key: Path) -> Path:
    """The file beside it."""
    return key.with_name(f"{key.name}.pub")


def make(key: Path, *, mode: int, group: int | None = None) -> None:
    """Make the private key `key` with that mode, the public one beside it; both are durable then.

    group: a gid that both are given to. Raises OSError, RdvError.
    """
    # Under another name first: a power cut in between must not leave half a key.
    new = key.with_name(f".{key.name}.new")
    halves = ((public_half(new), 0o644, public_half(key)), (new, mode, key))
    for half, _, _ in halves:
        half.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", os.uname().nodename, "-f", str(new)])
    for half, half_mode, final in halves:
        if group is not None:
            os.chown(half, -1, group)
        half.chmod(half_mode)
        files.sync(half)
        half.rename(final)
    files.sync_directory(key.parent)
