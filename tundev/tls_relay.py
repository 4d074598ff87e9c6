"""ssh's ProxyCommand on the way by TLS: dials the server, judges the certificate, and passes bytes on.

A program of our own because stunnel (5.68) refuses a certificate that fails by
time alone and cannot be told otherwise (docs/adr/0011). It is given its way in a
file: a proxy's password is nobody's to see in a list of processes.
"""

from __future__ import annotations

import json
import os
import select
import ssl
import sys
from contextlib import suppress
from pathlib import Path

from tundev.tls_dial import RELAY_SAYS, Way, dial
from vtunlib.errors import RdvError

CHUNK = 65536
"""Bytes that are read at once; a TLS record has at most 16384."""


def relay(secure: ssl.SSLSocket, source: int, sink: int) -> None:
    """Pass on both ways until either side ends. What is read is bounded by what could be written."""
    secure.setblocking(False)
    for descriptor in (source, sink):
        os.set_blocking(descriptor, False)
    up = down = memoryview(b"")
    stuck = ended = False  # sending waits for something to come in first; the server has closed
    while not ended or down:
        readers = [] if ended else [*([] if up else [source]), *([] if down and not stuck else [secure])]
        writers = [*([secure] if up and not stuck and not ended else []), *([sink] if down else [])]
        # What was decrypted already wakes no select.
        patience = 0 if not down and secure.pending() else None
        readable, writable, _ = select.select(readers, writers, [], patience)
        if source in readable:
            up = memoryview(os.read(source, CHUNK))
            if not up:
                return
        if up and not ended and (source in readable or secure in (readable if stuck else writable)):
            try:
                up, stuck = up[secure.send(up) :], False
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wants:
                stuck = isinstance(wants, ssl.SSLWantReadError)
        if not down and (secure in readable or secure.pending()):
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                down = memoryview(secure.recv(CHUNK))
                ended = not down
        if down:
            with suppress(BlockingIOError):
                down = down[os.write(sink, down) :]


def main() -> int:
    """Entry of /usr/lib/tundev/tls-relay FILE."""
    try:
        way = Way(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        secured = dial(way)
    except (OSError, ValueError, TypeError, IndexError) as error:
        print(f"{RELAY_SAYS}cannot read the way to go: {error}", file=sys.stderr)
        return 1
    except RdvError as error:
        print(f"{RELAY_SAYS}{error}", file=sys.stderr)
        return error.exit_code
    try:
        relay(secured.sock, sys.stdin.fileno(), sys.stdout.fileno())
    except OSError as error:  # either side is gone; ssh tells what that means
        print(f"{RELAY_SAYS}{error.strerror or error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
