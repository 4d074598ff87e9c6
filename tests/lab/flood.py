"""A device that floods the tundev shell, run on the RDV as that device's account: python3 -c SOURCE KIND.

It speaks to the shell's socket itself, past ssh: as fast as it goes. It says `flooding`
when it is at it and what it saw at the end.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

SECONDS = 6.0
SHELL = "/run/rdv/onsitedev-shell.sock"


def dial() -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.connect(SHELL)
    found.setblocking(False)
    return found


def pour(data: bytes, *, listening: bool) -> str:
    """Send the data again and again; what came back, or how much was sent by one that is deaf."""
    shell, sent, heard = dial(), 0, b""
    until = time.monotonic() + SECONDS
    while (left := until - time.monotonic()) > 0:
        readable, writable, _ = select.select([shell] if listening else [], [shell], [], left)
        if writable:
            sent += shell.send(data)
        if readable:
            heard += shell.recv(1 << 16)
    return f"sent {sent}, heard {len(heard)}: {heard[-120:]!r}"


def byte_by_byte() -> str:
    shell = dial()
    for byte in b"\n\n\n\nget_role\nexit\n":
        shell.send(bytes([byte]))
        time.sleep(SECONDS / 40)
    shell.setblocking(True)
    heard = b""
    while more := shell.recv(4096):
        heard += more
    return f"heard {heard!r}"


def come_and_go() -> str:
    number, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        dial().close()
        number += 1
    return f"came {number} times"


def crowd() -> str:
    held = [dial() for _ in range(200)]
    time.sleep(SECONDS)
    told = b"".join(one.recv(4096) for one in select.select(held, [], [], 0)[0])
    return f"refused {told.count(b'*** Busy')}"


FLOODS = {
    "slow": byte_by_byte,
    "endless line": lambda: pour(b"x" * (1 << 20), listening=True),
    "binary": lambda: pour(os.urandom(1 << 16), listening=True),
    "lines": lambda: pour(b"set_tunnelling_dev_hostname x\nwait_master_connection\n", listening=True),
    "deaf": lambda: pour(b"help\n" * 100, listening=False),
    "come and go": come_and_go,
    "crowd": crowd,
}

if __name__ == "__main__":
    print("flooding", flush=True)
    print(FLOODS[sys.argv[1]]())
