"""Who has a device in hand: root on the second onsite, with that device's key, and the real ssh."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.lab import Lab
from tests.lab.process import Program, Result
from tests.lab.test_sessions import account, listed, session
from tests.lab.topology import RDV_NAME

KEY = "/tmp/attack.key"
KNOWN_HOSTS = "/tmp/attack.known_hosts"
LOOT = "/tmp/attack.loot"


class Attacker:
    """Root on the second onsite, with that device's key."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.machine = lab.onsites[1]
        self.account = account(lab, 1)

    def words(self, program: str, *words: str) -> list[str]:
        """The program with what it needs to log in with the device's key."""
        options = (
            *(f"IdentityFile={KEY}", "IdentitiesOnly=yes", "BatchMode=yes"),
            *("StrictHostKeyChecking=yes", f"UserKnownHostsFile={KNOWN_HOSTS}", "HostKeyAlias=rdv"),
            *("GlobalKnownHostsFile=/dev/null", "ConnectTimeout=10", "Port=2222"),
        )
        return [program, "-F", "none", *(word for option in options for word in ("-o", option)), *words]

    def ssh(self, *words: str, command: str | None = None, user: str | None = None) -> Result:
        """One ssh to its end."""
        destination = f"{user or self.account}@{RDV_NAME}"
        tail = [] if command is None else [command]
        return self.machine.run(self.words("ssh", *words, destination, *tail), check=False)

    def hold(self, *words: str, environment: tuple[str, ...] = ()) -> Program:
        """An ssh that stays."""
        argv = self.words("ssh", "-v", *words, f"{self.account}@{RDV_NAME}")
        return self.machine.start(["env", *environment, *argv])

    @contextmanager
    def device_offline(self) -> Iterator[None]:
        """The device's own agent out of the way: the attacker's shell would take turns with it."""
        self.machine.run(["systemctl", "stop", "onsitedev"])
        try:
            yield
        finally:
            self.machine.run(["systemctl", "start", "onsitedev"])

    def on_rdv(self, user: str, *argv: str) -> Result:
        """As if a hole in sshd had given a process of that user on the RDV."""
        return self.lab.rdv.run(self.as_user(user, *argv), check=False)

    def as_user(self, user: str, *argv: str) -> list[str]:
        """The words that run it on the RDV as that user."""
        group = self.lab.rdv.run(["id", "-g", user]).out.strip()
        return ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", *argv]


@contextmanager
def attacking(lab: Lab) -> Iterator[Attacker]:
    """An attacker while a session of others is up, which outlives all that it does."""
    attacker = Attacker(lab)
    attacker.machine.run(["cp", "/run/tundev/known_hosts", KNOWN_HOSTS])
    attacker.machine.run(["install", "-m", "0600", "/etc/tundev/id_ed25519", KEY])
    try:
        with session(lab.master, account(lab, 0), "L3"):
            before = listed(lab)
            yield attacker
            after = listed(lab)
        assert [row["state"] for row in after] == ["up"]
        assert [row["id"] for row in after] == [row["id"] for row in before]
    finally:
        attacker.machine.run(["find", "/tmp", "-maxdepth", "1", "-name", "attack.*", "-delete"])
