"""Links: tun and tap devices, bridges and their ports."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import struct
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from vtunlib.network.item import Item, check_link_name
from vtunlib.network.kernel import Kernel, Link, Refused, refused
from vtunlib.tunnel import TUNNEL_MTU, TunnelMode

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETGROUP = 0x400454CE
_IFF_TUN = 0x0001
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000

_FLAGS = {TunnelMode.L2: _IFF_TAP, TunnelMode.L3: _IFF_TUN}


@dataclass(frozen=True)
class Tun(Item):
    """A persistent tun (L3) or tap (L2) device that is up.

    It has a carrier exactly while a process (vtund) is attached. mtu in bytes.
    group: whose processes may attach. Without one any process of the device's
    network namespace may, which is right where nobody else is in there. A
    device of the other type or group under its name is replaced.
    """

    name: str
    mode: TunnelMode
    mtu: int = TUNNEL_MTU
    group: str | None = None

    def __post_init__(self) -> None:
        check_link_name(self.name)

    @property
    def key(self) -> Hashable:
        return ("link", self.name)

    def do(self, kernel: Kernel, /) -> None:
        group = self._group_id()
        link = kernel.link(self.name)
        if link is not None and not self._fits(link, group):
            kernel.delete_link(self.name)
            link = None
        if link is None:
            self._create(group)
            link = kernel.need_link(self.name)
        if link.mtu != self.mtu:
            kernel.set_link(link.index, mtu=self.mtu)
        if not link.up:
            kernel.set_link(link.index, state="up")

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        kernel.delete_link(self.name)

    def _group_id(self) -> int | None:
        if self.group is None:
            return None
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise Refused(f"{self.name}: there is no group {self.group}", errno.ENOENT) from None

    def _fits(self, link: Link, group: int | None) -> bool:
        return (
            link.kind == "tun"
            and link.data.get("IFLA_TUN_TYPE") == _FLAGS[self.mode]
            and bool(link.data.get("IFLA_TUN_PERSIST"))
            and link.data.get("IFLA_TUN_GROUP") == group
        )

    def _create(self, group: int | None) -> None:
        try:
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            try:
                flags = _FLAGS[self.mode] | _IFF_NO_PI
                fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", self.name.encode(), flags))
                if group is not None:
                    fcntl.ioctl(fd, _TUNSETGROUP, group)
                fcntl.ioctl(fd, _TUNSETPERSIST, 1)
            finally:
                os.close(fd)
        except OSError as error:
            text = f"cannot make {self.name}: {os.strerror(error.errno or 0)}"
            raise Refused(text, error.errno or 0) from None


@dataclass(frozen=True)
class Bridge(Item):
    """A bridge that is up and forwards at once: no STP, no forward delay, no multicast snooping.

    mac: its address; without one the kernel takes the lowest of its ports, so
    that the address which the LAN knows changes with them.
    """

    name: str
    mac: str | None = None

    def __post_init__(self) -> None:
        check_link_name(self.name)

    @property
    def key(self) -> Hashable:
        return ("link", self.name)

    def do(self, kernel: Kernel, /) -> None:
        link = kernel.link(self.name)
        if link is not None and link.kind != "bridge":
            kernel.delete_link(self.name)
            link = None
        if link is None:
            with refused(f"bridge {self.name}"):
                kernel.ipr.link("add", ifname=self.name, kind="bridge", **self._wanted(), **self._address())
            link = kernel.need_link(self.name)
        changes: dict[str, Any] = {
            name: value
            for name, value in self._wanted().items()
            if link.data.get(f"IFLA_{name.upper()}") != value
        }
        if changes:
            kernel.set_link(link.index, kind="bridge", **changes)
        if self.mac is not None and link.mac != self.mac.lower():
            kernel.set_link(link.index, address=self.mac.lower())
        if not link.up:
            kernel.set_link(link.index, state="up")

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        kernel.delete_link(self.name)

    @staticmethod
    def _wanted() -> dict[str, int]:
        # Snooping without a querier on the LAN would hold back multicast.
        return {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0}

    def _address(self) -> dict[str, str]:
        return {} if self.mac is None else {"address": self.mac.lower()}


@dataclass(frozen=True)
class Port(Item):
    """A link that is a port of a bridge."""

    link: str
    bridge: str

    def __post_init__(self) -> None:
        check_link_name(self.link)
        check_link_name(self.bridge)

    @property
    def key(self) -> Hashable:
        return ("port", self.link)

    def do(self, kernel: Kernel, /) -> None:
        link, bridge = kernel.need_link(self.link), kernel.need_link(self.bridge)
        if link.bridge != bridge.index:
            kernel.set_link(link.index, master=bridge.index)

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        link, bridge = kernel.link(self.link), kernel.link(self.bridge)
        if link and bridge and link.bridge == bridge.index:
            kernel.set_link(link.index, gone_is_fine=True, master=0)


@dataclass(frozen=True)
class LinkUp(Item):
    """A link of someone else's that must be up.

    Undone, it goes down again only if it is known to have been down before.
    """

    link: str

    def __post_init__(self) -> None:
        check_link_name(self.link)

    @property
    def key(self) -> Hashable:
        return ("up", self.link)

    def do(self, kernel: Kernel, /) -> str | None:
        link = kernel.need_link(self.link)
        if link.up:
            return None
        kernel.set_link(link.index, state="up")
        return "down"

    def undo(self, kernel: Kernel, former: str | None, /) -> None:
        link = kernel.link(self.link)
        if link and link.up and former == "down":
            kernel.set_link(link.index, gone_is_fine=True, state="down")
