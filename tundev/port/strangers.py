"""Whether somebody else's network is on the technician's port, where a laptop should be.

An adapter plugged into an office network by mistake must do no harm there: a DHCP server of
ours would answer the office's machines. So before ours answers the port asks whether there
is another, and whether what it sends comes back to this device; and goes on listening, for
there are slow servers, and switches that open a port only after half a minute. It needs no
address for that, takes none, and asks nothing that would change anybody's state.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import secrets
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from enum import StrEnum

from tundev.port import frames
from vtunlib.errors import NotFound, RdvError
from vtunlib.network.item import check_link_name

LOOK_SECONDS = 1.0
"""How long a look takes where nobody is found: the laptop waits for its address meanwhile."""

SWITCH_SECONDS = 40.0
"""The same where a switch speaks spanning tree: IEEE 802.1D lets it keep a port closed for 30 s."""

ASKS = (0.0, 0.3, 0.6, 3.0, 8.0, 20.0, 38.0)
"""When it is asked, in seconds from the beginning: a frame may be lost, a server slow, a switch closed."""

SWITCH_PACE = 2.0
"""Seconds between two questions where such a switch is: its port opens at any moment."""

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_MULTICAST = 1, 0  # linux/if_packet.h
_AT_ONCE = 64
"""Frames that are read in one go, so that a flood of them does not keep the loop."""


class Kind(StrEnum):
    """What gave a stranger away."""

    DHCP = "dhcp"
    LOOP = "loop"


@dataclass(frozen=True)
class Stranger:
    """Somebody else's network on the port; text is for the technician."""

    kind: Kind
    text: str


async def look(
    interface: str, *, patience: float = LOOK_SECONDS, tell: Callable[[str], None] | None = None
) -> Stranger | None:
    """Who is found on `interface` within `patience` seconds; None where nobody is.

    Where a switch is heard it takes SWITCH_SECONDS, and `tell` is told so, once. The link must be
    up and have its carrier. Raises NotFound where it goes away, RdvError without CAP_NET_RAW.
    """
    with Ear(interface) as ear, suppress(TimeoutError):
        async with asyncio.timeout(patience) as limit, aclosing(_sounds(ear)) as sounds:
            async for sound in sounds:
                if isinstance(sound, Stranger):
                    return sound
                if isinstance(sound, OSError):
                    raise NotFound(f"{interface} went away: {sound.strerror}")
                limit.reschedule(asyncio.get_running_loop().time() + SWITCH_SECONDS)
                if tell is not None:
                    tell(
                        "a switch is on the adapter and may keep it closed for half a minute:"
                        f" looking for {SWITCH_SECONDS:.0f} s whether a network is behind it"
                    )
    return None


async def watch(interface: str) -> AsyncGenerator[Stranger, None]:
    """Yield each stranger once, as it is found; ends only by being closed.

    For as long as a DHCP service of ours answers there: its own answers are not seen. It asks again
    as ASKS says, and listens all the time. A link that is down is waited for. Not for a port in the
    bridge of an L2 session, where the customer's own server answers. Raises NotFound where there is
    no such interface, RdvError without CAP_NET_RAW.
    """
    told = set()
    with Ear(interface) as ear:
        async with aclosing(_sounds(ear)) as sounds:
            async for sound in sounds:
                if isinstance(sound, Stranger) and sound not in told:
                    told.add(sound)
                    yield sound


class Switch:
    """A switch that speaks spanning tree was heard."""


async def _sounds(ear: Ear) -> AsyncGenerator[Stranger | Switch | OSError, None]:
    """What is heard while it is asked again and again: a switch once, a link that is down at each."""
    loop = asyncio.get_running_loop()
    asks = [loop.time() + seconds for seconds in ASKS]
    switch = False
    while True:
        ear.rung.clear()
        for sound in ear.hear():
            if isinstance(sound, Stranger):
                yield sound
            elif not switch:
                switch = True
                often = range(1, int(SWITCH_SECONDS / SWITCH_PACE))
                asks = [loop.time() + SWITCH_PACE * number for number in often]
                yield sound
        if asks and asks[0] <= loop.time():
            del asks[0]
            refusal = ear.ask()
            if refusal is not None:
                yield refusal
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout_at(asks[0] if asks else None):
                await ear.rung.wait()


class Ear:
    """Two raw sockets: one on the port, one on all interfaces for what was sent from the port."""

    def __init__(self, interface: str) -> None:
        check_link_name(interface)
        self.rung = asyncio.Event()
        self._interface = interface
        self._nonce = secrets.token_bytes(frames.NONCE_LENGTH)
        self._transaction = secrets.token_bytes(4)
        with ExitStack() as opened:
            try:
                self._port = opened.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
                self._everywhere = opened.enter_context(
                    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(frames.ETH_P_LOOP_TEST))
                )
                self._mac = _listen(self._port, interface)
            except PermissionError:
                raise RdvError("to look for other networks on the port needs CAP_NET_RAW") from None
            except OSError as error:
                raise NotFound(f"cannot look at {interface}: {error.strerror}") from None
            self._opened = opened.pop_all()

    def __enter__(self) -> Ear:
        loop = asyncio.get_running_loop()
        for sock in (self._port, self._everywhere):
            sock.setblocking(False)
            loop.add_reader(sock, self.rung.set)
            self._opened.callback(loop.remove_reader, sock)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def ask(self) -> OSError | None:
        """Send all questions; the error where the link is down or gone."""
        try:
            self._port.send(frames.loop_test(self._mac, self._nonce))
            # In this order: dnsmasq pings for 3 s what it is about to offer, and does nothing else then.
            self._port.send(frames.reboot(self._mac, self._transaction))
            self._port.send(frames.discover(self._mac, self._transaction))
        except OSError as error:
            # Lost on the way out is as lost on the wire: it is asked again.
            return None if error.errno in (errno.EAGAIN, errno.ENOBUFS) else error
        return None

    def hear(self) -> Iterator[Stranger | Switch]:
        """What has come in until now."""
        for frame, _ in _received(self._port):
            server = frames.dhcp_server(frame)
            if server is not None and frame[6:12] != self._mac:
                yield Stranger(
                    Kind.DHCP,
                    f"another DHCP server, {server}, answers on the adapter:"
                    " it is plugged into an office network, not into a laptop",
                )
            elif frames.is_spanning_tree(frame):
                yield Switch()
        for frame, link in _received(self._everywhere):
            if frames.loop_nonce(frame) == self._nonce:
                where = "on itself" if link == self._interface else f"on {link}"
                yield Stranger(
                    Kind.LOOP,
                    f"what is sent on the adapter comes back {where}:"
                    " it is plugged into this device's own network, not into a laptop",
                )


def _listen(sock: socket.socket, interface: str) -> bytes:
    """Let it hear what frames.kernel_filter lets through, from now on; the interface's MAC address."""
    program = ctypes.create_string_buffer(frames.kernel_filter())
    length = len(program.raw) // struct.calcsize("=HBBI")
    # Before bind: until then it hears nothing.
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", length, ctypes.addressof(program))
    )
    sock.bind((interface, frames.ETH_P_ALL))
    index = socket.if_nametoindex(interface)
    bridges = struct.pack("@iHH8s", index, _PACKET_MR_MULTICAST, len(frames.BRIDGES), frames.BRIDGES)
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, bridges)
    mac: bytes = sock.getsockname()[4]
    return mac


def _received(sock: socket.socket) -> Iterator[tuple[bytes, str]]:
    """The frames that wait in the socket, each with the link that it came in on."""
    for _ in range(_AT_ONCE):
        try:
            frame, source = sock.recvfrom(frames.SNAP_LENGTH)
        except OSError:
            # None waits, or the link went down or away, which asking tells.
            return
        if source[2] != socket.PACKET_OUTGOING:
            yield frame, source[0]
