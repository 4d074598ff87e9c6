"""The netlink socket that items work on, typed as far as they need it.

A Kernel is opened in the namespace that it is to work in, used and closed
there (a netlink socket stays where it was opened; /proc/sys and libnftables go
by the thread).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vtunlib.errors import RdvError

IFF_UP = 0x1
_ARPHRD_ETHER = 1
_DUMPS = 20
"""How often a dump is asked for again that something changed under (NLM_F_DUMP_INTR)."""

_UPPER_KINDS = frozenset({"vlan", "macvlan", "macvtap", "ipvlan"})
"""Whose IFLA_LINK is the link below; a veth's is its peer, perhaps in another namespace."""

GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL})
"""What the kernel says of something that is not there."""


@dataclass(frozen=True)
class Link:
    """What is asked of a link: its name and index, whether it is up and has a carrier, and what it is."""

    index: int
    name: str
    up: bool
    carrier: bool
    mtu: int
    mac: str
    bridge: int
    """Index of the bridge it is a port of, 0 for none."""
    kind: str
    """As `ip link add type` calls it; empty for hardware."""
    ethernet: bool
    """Whether it carries Ethernet frames and is not the loopback."""
    lower: int
    """Index of the link that a VLAN or the like is on, 0 for none."""
    data: dict[str, Any]
    """The attributes of its kind."""
    received: int
    """Bytes since it was made."""
    sent: int


class Kernel:
    """One IPRoute socket. A context manager; raises RdvError where none can be had."""

    def __init__(self) -> None:
        from pyroute2 import IPRoute  # 20 MiB, 0.2 s

        self.ipr = IPRoute()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self.ipr.close()

    def link(self, name: str) -> Link | None:
        """The link named so, None where there is none."""
        try:
            with refused(name):
                message = self.ipr.link("get", ifname=name)[0]
        except Refused as error:
            if error.code == errno.ENODEV:
                return None
            raise
        return _link(message)

    def links(self) -> list[Link]:
        """All links. Raises Refused."""
        return [_link(message) for message in self.dumped("links", self.ipr.get_links)]

    @staticmethod
    def dumped(what: str, dump: Callable[..., Iterable[Any]], **how: Any) -> list[Any]:
        """All that a dump of pyroute2's tells, without a change in between. Raises Refused."""
        from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

        with refused(what):
            for _ in range(_DUMPS):
                with suppress(NetlinkDumpInterrupted):
                    return list(dump(**how))
            return list(dump(**how))

    def need_link(self, name: str) -> Link:
        """The link named so. Raises Refused (ENODEV) where there is none."""
        link = self.link(name)
        if link is None:
            raise Refused(f"there is no link {name}", errno.ENODEV)
        return link

    def set_link(self, index: int, *, gone_is_fine: bool = False, **attributes: Any) -> None:
        """Change a link. Raises Refused."""
        with refused(f"link {index}", gone_is_fine=gone_is_fine):
            self.ipr.link("set", index=index, **attributes)

    def delete_link(self, name: str) -> None:
        """Delete a link; one that is gone is no error."""
        link = self.link(name)
        if link is not None:
            with refused(name, gone_is_fine=True):
                self.ipr.link("del", index=link.index)


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind: str = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    up = bool(message["flags"] & IFF_UP)
    counted = message.get_attr("IFLA_STATS64") or {}
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        up=up,
        carrier=up and bool(message.get_attr("IFLA_CARRIER")),
        mtu=message.get_attr("IFLA_MTU"),
        mac=message.get_attr("IFLA_ADDRESS") or "",
        bridge=message.get_attr("IFLA_MASTER") or 0,
        kind=kind,
        ethernet=message["ifi_type"] == _ARPHRD_ETHER,
        lower=(message.get_attr("IFLA_LINK") or 0) if kind in _UPPER_KINDS else 0,
        data=dict(data["attrs"]) if data and "attrs" in data else {},
        received=counted.get("rx_bytes", 0),
        sent=counted.get("tx_bytes", 0),
    )


class Refused(RdvError):
    """The kernel refused a change; code is its errno."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def refused(what: str, *, already_is_fine: bool = False, gone_is_fine: bool = False) -> Iterator[None]:
    """Turn pyroute2's error into Refused, or into nothing where that is fine."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if already_is_fine and error.code == errno.EEXIST:
            return
        if gone_is_fine and error.code in GONE:
            return
        raise Refused(f"{what}: {error.args[1]}", error.code) from None
