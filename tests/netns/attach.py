"""A process that holds a tun or tap device open, as vtund does."""

from __future__ import annotations

import fcntl
import os
import struct
from io import FileIO

from vtunlib.tunnel import TunnelMode

_TUNSETIFF = 0x400454CA
_FLAGS = {TunnelMode.L3: 0x1001, TunnelMode.L2: 0x1002}  # with IFF_NO_PI


def attach(device: str, mode: TunnelMode) -> FileIO:
    """The device, held until it is closed; call it inside the device's namespace."""
    held = os.fdopen(os.open("/dev/net/tun", os.O_RDWR), "r+b", buffering=0)
    fcntl.ioctl(held, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _FLAGS[mode]))
    assert isinstance(held, FileIO)
    return held
