"""Runs in an RDV's machine: thousands of onsites' connections to its tundev shell, from one process.

/usr/bin/python3 fleet_client.py SIZE makes the accounts f1, f2, … and one connection of
each, waits until all are greeted and wait for a master, and says so; then, for each line
of its input, says what they got since, as JSON. It needs nothing but Python itself.
"""

from __future__ import annotations

import grp
import json
import os
import resource
import select
import socket
import sys
from contextlib import suppress
from pathlib import Path

FIRST_UID = 20_000
SOCKET = "/run/rdv/onsitedev-shell.sock"
GROUPS = ("rdv-tundev", "rdv-onsite")
PATIENCE = 120.0


class Onsite:
    """One device's connection."""

    def __init__(self, number: int) -> None:
        self.prompt = f"f{number + 1}$ ".encode()
        self.got = b""
        self.closed = False
        self.socket = socket.socket(socket.AF_UNIX)
        # The kernel notes who connects by the effective uid.
        os.seteuid(FIRST_UID + number)
        self.socket.connect(SOCKET)
        os.seteuid(0)

    def prompts(self) -> int:
        """How many have come."""
        return self.got.count(self.prompt)


def add(size: int) -> None:
    """What rdv-admin does for each device, in bulk."""
    names = [f"f{number + 1}" for number in range(size)]
    with Path("/etc/passwd").open("a") as passwd:
        for number, name in enumerate(names):
            passwd.write(f"{name}:*:{FIRST_UID + number}:65534::/:/usr/lib/rdv/onsitedev-shell\n")
    lines = Path("/etc/group").read_text().splitlines()
    for index, line in enumerate(lines):
        group, _, members = line.rpartition(":")
        if group.split(":")[0] in GROUPS:
            lines[index] = f"{group}:{','.join([*filter(None, members.split(',')), *names])}"
    Path("/etc/group").write_text("\n".join([*lines, ""]))
    for name in names:
        Path(f"/etc/rdv/devices.d/{name}.toml").write_text('role = "onsite"\n')


def dial(size: int) -> list[Onsite]:
    """All connections."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (size + 100, size + 100))
    os.setgroups([grp.getgrnam(GROUPS[1]).gr_gid])
    return [Onsite(number) for number in range(size)]


def receive(onsites: list[Onsite], prompts: int) -> None:
    """Until each has got that many prompts more, or was closed."""
    waiting = {one.socket.fileno(): one for one in onsites if not one.closed and one.prompts() < prompts}
    poll = select.epoll()
    for number in waiting:
        poll.register(number, select.EPOLLIN)
    while waiting:
        ready = poll.poll(PATIENCE)
        if not ready:
            return
        for number, _ in ready:
            one = waiting[number]
            data = b""
            with suppress(ConnectionError):
                data = one.socket.recv(65536)
            one.got += data
            one.closed = not data
            if one.closed or one.prompts() >= prompts:
                poll.unregister(number)
                del waiting[number]


def say(onsites: list[Onsite], text: str) -> None:
    """To the shell, from each."""
    for one in onsites:
        one.got = b""
        with suppress(ConnectionError):  # closed: the answer tells
            one.socket.sendall(text.encode())


def answers(onsites: list[Onsite]) -> dict[str, object]:
    """Each asks what only the manager can tell it, in the middle of its wait, and waits again."""
    say(onsites, "get_tunnel_mode\nwait_master_connection\n")
    receive(onsites, 2)
    wrong = [
        one
        for one in onsites
        if not one.closed and one.got != b"not_ready\n%b(unknown)\n%b" % (one.prompt, one.prompt)
    ]
    return {
        "right": sum(not one.closed for one in onsites) - len(wrong),
        "closed": sum(one.closed for one in onsites),
        "wrong": [one.got.decode(errors="replace") for one in wrong[:5]],
    }


def main() -> None:
    """Entry."""
    size = int(sys.argv[1])
    add(size)
    onsites = dial(size)
    receive(onsites, 1)
    print("greeted", flush=True)
    say(onsites, "set_tunnelling_dev_lan_ip_address 192.168.1.2/24\nwait_master_connection\n")
    receive(onsites, 1)
    print("waiting", flush=True)
    for _ in sys.stdin:
        print(json.dumps(answers(onsites)), flush=True)


if __name__ == "__main__":
    main()
