"""Who is where in the lab, as data: what the rest of the lab builds and what tests refer to.

Nothing here starts anything. The public network is TEST-NET-3 (RFC 5737); every
customer has the very same subnet, and so may a support desk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import pairwise

INTERNET = IPv4Network("203.0.113.0/24")
RDV_NAME = "rdv.example.com"
RDV = IPv4Interface("203.0.113.10/24")
CUSTOMER_LAN = IPv4Network("192.168.1.0/24")
SUPPORT_LAN = IPv4Network("192.168.7.0/24")
CAMERA = IPv4Address("192.168.1.50")
CAMERA_NAME = "camera.customer.lan"
CUSTOMER_DOMAIN = "customer.lan"
DOWNLOAD = "big.bin"
DOWNLOAD_BYTES = 100_000_000


@dataclass(frozen=True)
class Lan:
    """A network behind a NAT router, which has its first address and hands out from .100 on."""

    name: str
    subnet: IPv4Network
    public: IPv4Address
    domain: str
    hosts: tuple[tuple[str, IPv4Address], ...] = ()
    """Names that its DNS server knows."""
    reserved: tuple[tuple[str, IPv4Address], ...] = ()
    """MAC addresses that always get the same address."""

    @property
    def router(self) -> IPv4Interface:
        """The router's address in it."""
        return self.at(1)

    def at(self, number: int) -> IPv4Interface:
        """Its address of that number."""
        return IPv4Interface((self.subnet[number], self.subnet.prefixlen))


@dataclass(frozen=True)
class Site:
    """A customer: an onsite and a camera on one LAN."""

    onsite: str
    account: str
    location: str
    camera: str
    lan: Lan


@dataclass(frozen=True)
class Desk:
    """A support desk: a master with the technician's laptop, and a host that is none of their business."""

    master: str
    account: str
    laptop: str
    bystander: str
    lan: Lan
    mac: str
    """The master's, so that its router can give it one address for ever."""

    @property
    def bystander_address(self) -> IPv4Address:
        """No customer has a host there: an answer from it is a leak."""
        return self.lan.at(60).ip


@dataclass(frozen=True)
class Topology:
    """The whole lab."""

    sites: tuple[Site, ...]
    desks: tuple[Desk, ...]

    def __post_init__(self) -> None:
        public = sorted(lan.public for lan in self.lans)
        if any(a == b for a, b in pairwise([RDV.ip, *public])):
            raise ValueError("two routers have the same public address")

    @property
    def lans(self) -> tuple[Lan, ...]:
        """All networks behind routers."""
        return tuple(site.lan for site in self.sites) + tuple(desk.lan for desk in self.desks)


def site(number: int) -> Site:
    """Customer `number`, from 1 on. All have the same subnet and a camera at the same address."""
    lan = Lan(
        name=f"customer{number}",
        subnet=CUSTOMER_LAN,
        public=INTERNET[20 + number],
        domain=CUSTOMER_DOMAIN,
        hosts=((CAMERA_NAME, CAMERA),),
    )
    return Site(
        onsite=f"onsite{number}",
        account=f"rpi11{number:02}",
        location=f"Customer {number}, boiler room",
        camera=f"camera{number}",
        lan=lan,
    )


def desk(number: int, *, clash: bool = False) -> Desk:
    """Support desk `number`, from 1 on.

    With `clash` its LAN is the customers' subnet, and its master's own address
    is the one that the customers' cameras have.
    """
    mac = f"02:00:00:00:07:{number:02x}"
    lan = Lan(
        name=f"support{number}",
        subnet=CUSTOMER_LAN if clash else SUPPORT_LAN,
        public=INTERNET[40 + number],
        domain="support.lan",
        reserved=((mac, CAMERA),) if clash else (),
    )
    return Desk(
        master=f"master{number}",
        account=f"rpi12{number:02}",
        laptop=f"laptop{number}",
        bystander=f"bystander{number}",
        lan=lan,
        mac=mac,
    )


def topology(*, sites: int = 1, desks: int = 1, clashing: Sequence[int] = ()) -> Topology:
    """So many customers and support desks; `clashing` are the desks on the customers' subnet."""
    return Topology(
        sites=tuple(site(number) for number in range(1, sites + 1)),
        desks=tuple(desk(number, clash=number in clashing) for number in range(1, desks + 1)),
    )
