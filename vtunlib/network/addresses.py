"""Addresses, routes and rules of IPv4."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

from vtunlib.network.item import Item, check_link_name
from vtunlib.network.kernel import Kernel, refused

MAIN_TABLE = 254


@dataclass(frozen=True)
class Address(Item):
    """An address with its prefix on a link."""

    link: str
    interface: ipaddress.IPv4Interface

    def __post_init__(self) -> None:
        check_link_name(self.link)

    @property
    def key(self) -> Hashable:
        return ("address", self.link, self.interface)

    def do(self, kernel: Kernel, /) -> None:
        index = kernel.need_link(self.link).index
        with refused(f"address {self.interface} on {self.link}", already_is_fine=True):
            kernel.ipr.addr("add", index=index, **self._request())

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        link = kernel.link(self.link)
        if link is not None:
            with refused(f"address {self.interface} on {self.link}", gone_is_fine=True):
                kernel.ipr.addr("del", index=link.index, **self._request())

    def _request(self) -> dict[str, Any]:
        return {"address": str(self.interface.ip), "prefixlen": self.interface.network.prefixlen}


@dataclass(frozen=True)
class Route(Item):
    """A route; `unreachable` has neither link nor gateway.

    The kernel knows a route by destination, table and metric: another one under
    these three is replaced.
    """

    destination: ipaddress.IPv4Network
    link: str | None = None
    gateway: ipaddress.IPv4Address | None = None
    table: int = MAIN_TABLE
    type: Literal["unicast", "unreachable"] = "unicast"
    metric: int = 0

    def __post_init__(self) -> None:
        if self.link is not None:
            check_link_name(self.link)

    @property
    def key(self) -> Hashable:
        return ("route", self.destination, self.table, self.metric)

    def do(self, kernel: Kernel, /) -> None:
        oif = kernel.need_link(self.link).index if self.link else None
        # The kernel leaves a route alone, and tells nobody, if it is replaced by its like.
        with refused(f"route to {self.destination}"):
            kernel.ipr.route("replace", **self._request(oif))

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        link = kernel.link(self.link) if self.link else None
        if self.link and link is None:
            return  # gone with its link
        with refused(f"route to {self.destination}", gone_is_fine=True):
            kernel.ipr.route("del", **self._request(link.index if link else None))

    def _request(self, oif: int | None) -> dict[str, Any]:
        request: dict[str, Any] = {"dst": str(self.destination), "table": self.table, "type": self.type}
        if self.metric:
            request["priority"] = self.metric
        if oif is not None:
            request["oif"] = oif
        if self.gateway is not None:
            request["gateway"] = str(self.gateway)
        elif oif is not None:
            request["scope"] = "link"
        return request


@dataclass(frozen=True)
class Rule(Item):
    """What comes in on link `iif`, goes `to` a network, or both, is looked up in `table`."""

    priority: int
    iif: str | None = None
    to: ipaddress.IPv4Network | None = None
    table: int = MAIN_TABLE

    def __post_init__(self) -> None:
        if self.iif is not None:
            check_link_name(self.iif)

    @property
    def key(self) -> Hashable:
        return ("rule", self.priority, self.iif, self.to, self.table)

    def do(self, kernel: Kernel, /) -> None:
        with refused(f"rule {self.priority}", already_is_fine=True):
            kernel.ipr.rule("add", **self._request())

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        with refused(f"rule {self.priority}", gone_is_fine=True):
            kernel.ipr.rule("del", **self._request())

    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = {"priority": self.priority, "table": self.table}
        if self.iif is not None:
            request["iifname"] = self.iif
        if self.to is not None:
            request["dst"] = str(self.to)
        return request
