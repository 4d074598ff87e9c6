"""The technician's laptop: nothing of the product on it, a cable, and an ordinary DHCP client."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from tests.lab.customer import make_key
from tests.lab.host import Host
from tests.lab.process import LabError, Program, Result

SCRIPT = Path(__file__).with_name("dhclient-script")
INTERFACE = "eth0"


@dataclass(frozen=True)
class Lease:
    """What a DHCP server gave."""

    address: IPv4Interface
    server: IPv4Address
    routers: tuple[IPv4Address, ...]
    dns: tuple[IPv4Address, ...]


class Laptop(Host):
    """Interface eth0, in the master's adapter."""

    def create(self) -> None:
        """Namespace, and an SSH key of the technician's."""
        super().create()
        self.public_key = make_key(self.path / "id_ed25519")
        self.set_resolver()
        # A copy: where AppArmor confines the installed one, it may read no script or lease of ours.
        self._dhclient = self.path / "dhclient"
        shutil.copy2(shutil.which("dhclient", path="/usr/sbin:/sbin") or "/sbin/dhclient", self._dhclient)
        self._client: Program | None = None

    def dhcp(self, *, deadline: float = 20.0, once: bool = False) -> Lease:
        """Get a lease as after plugging the cable in: what was had before is forgotten.

        once: its first question has to be answered, for it asks no second time within a minute.
        """
        self.forget()
        configuration = self.path / "dhclient.conf"
        configuration.write_text(
            "initial-interval 100;\nbackoff-cutoff 200;\n" if once else "", encoding="ascii"
        )
        leases = self.path / "leases"
        leases.unlink(missing_ok=True)
        resolver = Path("/etc/netns") / self.netns / "resolv.conf"
        self._client = self.start(
            [
                *(str(self._dhclient), "-4", "-1", "-d", "-v"),
                *("-lf", str(leases), "-pf", str(self.path / "dhclient.pid"), "-cf", str(configuration)),
                *("-sf", str(SCRIPT), "-e", f"RESOLVER={resolver}", INTERFACE),
            ]
        )
        self._client.wait_line("bound to", deadline=deadline)
        return self._lease(leases.read_text(encoding="utf-8"))

    def _lease(self, text: str) -> Lease:
        def option(name: str) -> list[str]:
            found: list[str] = re.findall(rf"^\s*(?:option )?{name} ([^;]+);", text, re.M)
            return found[-1].replace('"', "").split(",") if found else []

        try:
            return Lease(
                address=IPv4Interface(f"{option('fixed-address')[0]}/{option('subnet-mask')[0]}"),
                server=IPv4Address(option("dhcp-server-identifier")[0]),
                routers=tuple(IPv4Address(a) for a in option("routers")),
                dns=tuple(IPv4Address(a) for a in option("domain-name-servers")),
            )
        except (IndexError, ValueError) as error:
            raise LabError(f"{self.name}: no lease in what dhclient wrote ({error}):\n{text}") from None

    def static(self, address: IPv4Interface, router: IPv4Address, *dns: IPv4Address) -> None:
        """An address set by hand."""
        self.forget()
        self.ip(f"addr add {address} dev {INTERFACE}", f"route add default via {router}")
        self.set_resolver(*map(str, dns))

    def forget(self) -> None:
        """As if the cable were pulled: no client, no address, no route, no DNS server."""
        if self._client:
            self._client.stop()
            self._client = None
        self.ip(f"addr flush dev {INTERFACE}", f"link set {INTERFACE} down", f"link set {INTERFACE} up")
        self.set_resolver()

    def fetch(self, url: str, *, deadline: float = 20.0) -> Result:
        """A page's text, by curl, without a proxy."""
        limit = ["--max-time", f"{deadline:g}", "--fail", "--silent", "--show-error", "--noproxy", "*"]
        return self.run(["curl", *limit, url], deadline=deadline + 5)

    def ping(self, target: str, *, size: int = 56, count: int = 1, wait: int = 2) -> Result:
        """Echo requests that may not be fragmented; the exit code says whether one was answered."""
        argv = ["ping", "-n", "-M", "do", "-s", str(size), "-c", str(count), "-W", str(wait), target]
        return self.run(argv, check=False)

    @contextmanager
    def losing_nothing(self, target: str) -> Iterator[None]:
        """Five echo requests a second meanwhile, of which none is lost.

        A gap in the answers' numbers is a loss, not what ping counts: the last request may be under way.
        """
        with self.start(["ping", "-n", "-i", "0.2", target]) as ping:
            ping.wait_line("bytes from", deadline=10)
            yield
            last = max(_answered(ping.text))
            ping.wait_line(lambda line: max(_answered(line), default=0) > last, deadline=10)
            answered = _answered(ping.text)
        lost = set(range(1, max(answered))) - answered
        if lost:
            raise LabError(
                f"{target} did not answer {len(lost)} of {max(answered)} pings: {sorted(lost)[:20]}"
            )

    def ssh(self, target: str, command: str = "true") -> Result:
        """The technician's ssh to a host at the customer's."""
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "ConnectTimeout=5",
        ]
        flags = [word for option in options for word in ("-o", option)]
        key = str(self.path / "id_ed25519")
        return self.run(
            ["ssh", "-F", "/dev/null", "-q", "-i", key, *flags, f"root@{target}", command], check=False
        )


def _answered(text: str) -> set[int]:
    """The numbers of the echo requests that ping says were answered."""
    return {int(number) for number in re.findall(r"bytes from .* icmp_seq=(\d+) ", text)}
