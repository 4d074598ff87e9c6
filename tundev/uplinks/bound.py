"""Sockets that send and receive on one interface alone, whatever the routes prefer.

Linux lets anybody bind a socket that is not bound yet (SO_BINDTODEVICE, since 5.7).
"""

from __future__ import annotations

import socket


def connection(address: str, port: int, seconds: float, link: str = "") -> socket.socket:
    """TCP with that timeout in seconds, by the interface `link`; empty: as the routes say. Raises OSError."""
    return _connected(socket.SOCK_STREAM, address, port, seconds, link)


def exchange(address: str, port: int, seconds: float, link: str = "") -> socket.socket:
    """A UDP socket that hears nobody but `address`; the rest as in `connection`."""
    return _connected(socket.SOCK_DGRAM, address, port, seconds, link)


def _connected(kind: socket.SocketKind, address: str, port: int, seconds: float, link: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(seconds)
        if link:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode() + b"\0")
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock
