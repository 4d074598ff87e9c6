"""A NAT router with DHCP and DNS for its LAN: nothing can dial in through it."""

from __future__ import annotations

from tests.lab.host import Host, Switch, wire
from tests.lab.place import Place
from tests.lab.topology import INTERNET, RDV, RDV_NAME, Lan

_RULES = """
table inet router {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" oifname "wan" accept
    }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname { "lo", "lan" } accept
        icmp type echo-request accept
    }
    chain leave {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade
    }
}
"""


class Router(Host):
    """Interfaces `wan` and `lan`; the switch of the LAN is another host."""

    def __init__(self, place: Place, lan: Lan) -> None:
        super().__init__(place, f"{lan.name}gw")
        self.lan = lan

    def connect(self, internet: Switch, switch: Switch) -> None:
        """Plug both cables in, and let the rules hold before the first packet can pass."""
        self.run(["nft", "-f", "-"], stdin=_RULES)
        self.run(["sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"])
        internet.plug(self, "wan")
        wire(self, "lan", switch, "uplink")
        switch.ip("link set uplink master lan")
        self.ip(
            f"addr add {self.lan.public}/{INTERNET.prefixlen} dev wan",
            f"addr add {self.lan.router} dev lan",
        )

    def serve(self) -> None:
        """DHCP and DNS; returns when it answers."""
        first, last = self.lan.at(100).ip, self.lan.at(199).ip
        records = [f"--host-record={name},{address}" for name, address in self.lan.hosts]
        reserved = [f"--dhcp-host={mac},{address}" for mac, address in self.lan.reserved]
        program = self.start(
            [
                *(
                    "dnsmasq",
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--log-facility=-",
                    "--log-dhcp",
                ),
                *("--no-resolv", "--no-hosts", "--pid-file=", "--interface=lan", "--bind-interfaces"),
                f"--dhcp-leasefile={self.path / 'leases'}",
                f"--dhcp-range={first},{last},1h",
                *("--dhcp-authoritative", "--no-ping", f"--domain={self.lan.domain}"),
                *(f"--address=/{RDV_NAME}/{RDV.ip}", f"--local=/{self.lan.domain}/", "--expand-hosts"),
                *records,
                *reserved,
            ]
        )
        program.wait_line("started, version")
