"""Each target takes any bytes. It may answer or refuse them with an RdvError; anything else is a finding."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import socket
import struct
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from rdv import settings
from rdv.access import rules
from rdv.devices import DeviceStore
from rdv.enrolment import keys as keys_of_device
from rdv.enrolment.keys import parse_key
from rdv.facts import TEXT_LIMIT, Facts
from tests.fuzz.shell import shell
from tundev import config
from tundev.enrolment import without_enrol_key
from tundev.port import frames
from tundev.port.strangers import SO_ATTACH_FILTER
from tundev.portal import URL_LIMIT, judge
from tundev.proxy import connect_through
from tundev.shell_client import Shell
from tundev.web import bodies
from tundev.web.guard import HTTP_PORT, Refused, check_form, check_host, check_origin
from tundev.web.places import Kind, Place
from tundev.web.visitors import Visitors
from vtunlib import words
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role, TunnelMode, VtunParameters
from vtunlib.vtund_conf import client_config
from vtunlib.words import Word

ACCOUNT = "rpi1"
_DIRECTORY = tempfile.TemporaryDirectory(prefix="rdv-fuzz-")
atexit.register(_DIRECTORY.cleanup)


def told(error: RdvError) -> None:
    """Whatever is told of it is one line that a terminal can be given."""
    assert str(error).isprintable() and error.shell_line().isprintable()


def answers(data: bytes) -> None:
    """The device's end of the shell, against a server that says this and hangs up."""

    async def ask() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            with suppress(BlockingIOError):
                theirs.send(data)
            theirs.shutdown(socket.SHUT_WR)
            async with Shell(ours, ACCOUNT, open_seconds=5) as one:
                for answer in one.send([(Word.GET_ROLE, ()), (Word.SESSION_STATUS, ())]):
                    assert all(line.isprintable() for line in await answer)

    try:
        asyncio.run(ask())
    except RdvError as error:
        told(error)


def parameters(data: bytes) -> None:
    """The RDV's word on the leg, which becomes vtund's configuration: the RDV adds no line of its own."""
    try:
        leg = VtunParameters.from_lines(data.decode(errors="replace").splitlines())
        text = client_config(leg, TunnelMode.L3, "tundev-leg")
    except RdvError as error:
        told(error)
        return
    plain = client_config(_plain(leg), TunnelMode.L3, "tundev-leg")
    own = text.replace(leg.tunnel_name, "x").replace(leg.tunnel_secret, "0" * 64)
    assert own.count("\n") == plain.count("\n") and own.count(";") == plain.count(";")
    assert VtunParameters.from_lines(leg.to_lines()) == leg


def _plain(leg: VtunParameters) -> VtunParameters:
    lines = [line for line in leg.to_lines() if not line.startswith(("tunnel_name", "tunnel_secret"))]
    return VtunParameters.from_lines([*lines, "tunnel_name: x", f"tunnel_secret: {'0' * 64}"])


def bundle(data: bytes) -> None:
    """The file on the boot partition."""
    try:
        parsed = config.parse(data.decode(errors="replace"), "tundev.toml")
    except RdvError as error:
        told(error)
        return
    assert parsed.rdv.account.isascii() and parsed.rdv.host_key.isprintable()


def admin_files(data: bytes) -> None:
    """What the RDV's admin writes, each of the three as if it were this."""
    directory = Path(_DIRECTORY.name)
    file = directory / f"{ACCOUNT}.toml"
    file.write_bytes(data)
    readers: list[Callable[[Path], object]] = [
        rules.read,
        settings.load,
        lambda _: DeviceStore(directory).read(ACCOUNT),
    ]
    for read in readers:
        try:
            read(file)
        except RdvError as error:
            told(error)


def facts(data: bytes) -> None:
    """What a device tells of itself, one fact a line."""
    known = Facts()
    for line in data.decode(errors="replace").splitlines():
        name, _, text = line.partition(" ")
        for role in Role:
            try:
                known = known.told(role, name, text)
            except RdvError as error:
                told(error)
    for shown in (known.hostname, known.location):
        assert shown.isprintable() and len(shown) <= TEXT_LIMIT


def keys(data: bytes) -> None:
    """A public key's line: what is taken is one line of two words, and taken again is the same."""
    try:
        line = parse_key(data.decode(errors="replace"))
    except RdvError as error:
        told(error)
        return
    assert line.isascii() and line.isprintable() and len(line.split(" ")) == 2
    assert parse_key(line) == line


def keys_file(data: bytes) -> None:
    """What opens an account: only what rdv-admin would write is taken, so it can be written again."""
    try:
        found = keys_of_device.parse(data.decode(errors="replace"))
    except (RdvError, ValueError):
        return
    text = keys_of_device.text(ACCOUNT, found)
    assert keys_of_device.parse(text) == found
    assert all(line.startswith("restrict,") for line in text.splitlines())


def proxy(data: bytes) -> None:
    """What answers as an HTTP proxy, to the device."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with suppress(BlockingIOError):
            theirs.send(data)
        theirs.shutdown(socket.SHUT_WR)
        try:
            connect_through(ours, "proxy:3128", "rdv:443", "")
        except RdvError as error:
            told(error)
        else:
            assert data.startswith((b"HTTP/1.0 2", b"HTTP/1.1 2"))


def through_the_kernel(frame: bytes) -> bool:
    """Whether the port's filter lets it through; a socket pair takes the same filters as a raw socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    program = ctypes.create_string_buffer(frames.kernel_filter())
    attach = struct.pack("@HP", len(program.raw) // 8, ctypes.addressof(program))
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attach)
        theirs.setblocking(False)
        ours.send(frame)
        try:
            return theirs.recv(frames.SNAP_LENGTH) == frame[: frames.SNAP_LENGTH]
        except BlockingIOError:
            return False


def port_frames(data: bytes) -> None:
    """A frame on the technician's port is one thing or none, and what is looked for gets there."""
    tree, nonce, server = (
        frames.is_spanning_tree(data),
        frames.loop_nonce(data),
        frames.dhcp_server(data),
    )
    assert (nonce is not None) + tree + (server is not None) <= 1
    assert nonce is None or len(nonce) == frames.NONCE_LENGTH
    if tree or server is not None:
        assert through_the_kernel(data)


def erasure(data: bytes) -> None:
    """The one-time key goes from the configuration file, and nothing else does."""
    text = data[:600].decode(errors="replace")
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    if not isinstance(said.get("rdv", {}), dict):
        return  # refused long before (tundev.config)
    try:
        left = tomllib.loads(without_enrol_key(text))
    except RdvError as error:
        told(error)
        return
    said.get("rdv", {}).pop("enrol_key", None)
    assert left == said


def grammar(data: bytes) -> None:
    """Words that were parsed can be composed into a line that says the same."""
    try:
        first, *rest = words.parse(data.decode(errors="replace")) or [""]
        line = words.compose(Word.ECHO, first, *rest)
    except RdvError as error:
        told(error)
        return
    assert words.parse(line) == [Word.ECHO, first, *rest]


def portal(data: bytes) -> None:
    """What answers HTTP in the RDV's stead."""
    told_where = judge(data, "rdv.example.com")
    assert told_where is None or (told_where.isprintable() and len(told_where) <= URL_LIMIT)


def page_bodies(data: bytes) -> None:
    """What a browser posts to the master's page; a wish that is taken can be given to the agent."""
    for parse in (bodies.wish, bodies.pin, bodies.nothing):
        try:
            taken = parse(data)
        except RdvError as error:
            told(error)
        else:
            if isinstance(taken, bodies.Wish):
                assert (taken.onsite + taken.reason).isprintable() and taken.mode in list(TunnelMode)
                assert 0 <= taken.seconds < 2**32 and 0 <= taken.patience < 2**32  # `u` on the bus


def page_headers(data: bytes) -> None:
    """What a request to the master's page says of itself: it is another's, and refused as such."""
    text = data.decode(errors="surrogateescape")  # as aiohttp reads headers
    visitors = Visitors()
    assert not visitors.knows(text)
    assert not visitors.holds(visitors.cookie(), text)
    for check in (lambda headers: check_host(headers, _PAGE, HTTP_PORT), check_origin, check_form):
        with suppress(Refused):
            check(dict.fromkeys(("Host", "Origin", "Content-Type"), text))


_PAGE = Place(Kind.PORT, IPv4Address("192.168.38.225"), "enx1")

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "shell": shell,
    "answers": answers,
    "parameters": parameters,
    "bundle": bundle,
    "admin_files": admin_files,
    "facts": facts,
    "keys": keys,
    "keys_file": keys_file,
    "proxy": proxy,
    "portal": portal,
    "frames": port_frames,
    "page_bodies": page_bodies,
    "page_headers": page_headers,
    "erasure": erasure,
    "grammar": grammar,
}
"""By name; the seeds are in the folder of that name."""
