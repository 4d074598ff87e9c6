"""Which boot of the machine this is."""

from __future__ import annotations

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Of this boot, in a few characters."""
    return _BOOT_ID.read_text(encoding="ascii").strip().partition("-")[0]
