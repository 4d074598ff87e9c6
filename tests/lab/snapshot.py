"""What a machine's network and runtime look like, in a form that can be compared.

Two snapshots of a machine are equal when a session that was between them left nothing.
Numbers that change by themselves (indexes, lifetimes, counters) are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tests.lab.host import Runs, wait_until
from tests.lab.process import LabError

_UNITS = ["rdv*", "tundev*", "onsitedev*", "masterdev*", "secondary-if-watcher*"]
# A device that has ever dialled by TLS keeps how.
_FILES = ["/run/rdv", "/run/tundev", "-not", "-path", "/run/tundev/tls.json"]
# A device has the library of nft(8), and not the program.
_RULESET = """\
import nftables
nft = nftables.Nftables()
nft.set_stateless_output(True)
print(nft.cmd("list ruleset")[1], end="")
"""
_PROGRAMS = {"vtund", "ssh", "sshd", "nc", "nc.openbsd", "dnsmasq"}


@dataclass(frozen=True)
class Snapshot:
    """Sorted lines of each kind of thing."""

    links: tuple[str, ...]
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    rules: tuple[str, ...]
    nftables: tuple[str, ...]
    sysctls: tuple[str, ...]
    namespaces: tuple[str, ...]
    units: tuple[str, ...]
    sockets: tuple[str, ...]
    files: tuple[str, ...]
    programs: tuple[str, ...]

    def difference(self, later: Snapshot) -> list[str]:
        """What `later` has more (+) and less (-) than this one, a line each."""
        found = []
        for field in fields(self):
            before, after = set(getattr(self, field.name)), set(getattr(later, field.name))
            found += [f"- {field.name}: {line}" for line in sorted(before - after)]
            found += [f"+ {field.name}: {line}" for line in sorted(after - before)]
        return found

    def network(self) -> tuple[tuple[str, ...], ...]:
        """Only what the kernel forwards by: for the promise that a host's own network is untouched."""
        return (self.links, self.addresses, self.routes, self.rules, self.nftables, self.sysctls)


def snapshot(host: Runs) -> Snapshot:
    """Take one, of the host's own network namespace."""
    return Snapshot(
        links=_json(host, ["ip", "-j", "-d", "link"], _link),
        addresses=_addresses(host),
        routes=_lines(host, ["ip", "-4", "route", "show", "table", "all"]),
        rules=_lines(host, ["ip", "-4", "rule"]),
        nftables=_nftables(host),
        sysctls=_lines(host, ["sysctl", "--all", "--pattern", r"\.(ip_forward|forwarding)$"]),
        namespaces=_lines(host, ["ip", "netns", "list"]),
        units=_units(host),
        sockets=_sockets(host),
        files=_lines(host, ["find", *_FILES, "-printf", "%y %m %u:%g %p\n"]),
        programs=_programs(host),
    )


def wait_as_before(
    before: Mapping[str, Snapshot], now: Callable[[], Mapping[str, Snapshot]], *, deadline: float = 20.0
) -> None:
    """Until each machine is as it was; AssertionError with what is left."""
    left: list[str] = []

    def nothing_left() -> bool:
        after = now()
        left[:] = [f"{name} {line}" for name, was in before.items() for line in was.difference(after[name])]
        return not left

    try:
        wait_until(nothing_left, what="everything as before", deadline=deadline, every=0.5)
    except LabError as error:
        raise AssertionError("left behind:\n" + "\n".join(left)) from error


def _lines(host: Runs, argv: list[str]) -> tuple[str, ...]:
    """Its output's lines."""
    return tuple(
        sorted(line.strip() for line in host.run(argv, check=False).out.splitlines() if line.strip())
    )


def _nftables(host: Runs) -> tuple[str, ...]:
    """Rules with their table and place in it; which table was made first does not matter."""
    found, table, number = [], "", 0
    for line in host.run(["/usr/bin/python3", "-c", _RULESET], check=False).out.splitlines():
        if line.startswith("table "):
            table, number = line.removesuffix(" {"), 0
        number += 1
        found.append(f"{table} {number:03} {line.strip()}")
    return tuple(sorted(found))


def _json(host: Runs, argv: list[str], shown: Any) -> tuple[str, ...]:
    text = host.run(argv, check=False).out
    return tuple(sorted(shown(item) for item in json.loads(text or "[]") if item))


def _link(link: dict[str, Any]) -> str:
    kind = link.get("linkinfo", {}).get("info_kind", "")
    state = "up" if "UP" in link["flags"] else "down"
    words = [link["ifname"], kind, state, f"mtu {link['mtu']}", link.get("address", "")]
    return " ".join([*words, f"master {link['master']}" if "master" in link else ""]).strip()


def _addresses(host: Runs) -> tuple[str, ...]:
    text = host.run(["ip", "-j", "-4", "address"], check=False).out
    return tuple(
        sorted(
            f"{link['ifname']} {address['local']}/{address['prefixlen']}"
            for link in json.loads(text or "[]")
            for address in link.get("addr_info", [])
        )
    )


def _units(host: Runs) -> tuple[str, ...]:
    listed = _lines(host, ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", *_UNITS])
    # A connection's instance has a number that only grows.
    return tuple(
        sorted(re.sub(r"@\d+[^ ]*\.service", "@N.service", " ".join(line.split()[:4])) for line in listed)
    )


def _sockets(host: Runs) -> tuple[str, ...]:
    tcp = _lines(host, ["ss", "-H", "-l", "-n", "-t", "-u"])
    unix = _lines(host, ["ss", "-H", "-l", "-n", "-x"])
    listed = [" ".join((line.split()[0], line.split()[4])) for line in tcp]
    listed += [path for line in unix if (path := line.split()[4]).startswith(("/run/rdv", "/run/tundev"))]
    # dnsmasq binds its socket for DHCP to the port if that is there when it starts. If it comes a moment
    # later, as where an adapter is plugged in again and again, it heeds the port's packets alone, too.
    listed = [re.sub(r"%\S+:67$", ":67", socket) for socket in listed]
    # ssh binds its control socket under a random name first, and the kernel keeps that one.
    return tuple(sorted(re.sub(r"/control\.\w+$", "/control", path) for path in listed))


def _programs(host: Runs) -> tuple[str, ...]:
    counted: dict[str, int] = {}
    for line in _lines(host, ["ps", "-e", "-o", "comm=,user="]):
        name, _, user = line.partition(" ")
        if name in _PROGRAMS:
            counted[f"{name} of {user.strip()}"] = counted.get(f"{name} of {user.strip()}", 0) + 1
    return tuple(sorted(f"{name}: {number}" for name, number in counted.items()))
