"""A newcomer follows docs/operations.md word for word, on bare Debians, and reaches a session.

Every command is run as it is printed, in its order, and must print what the guide shows.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from tests.lab import config
from tests.lab.guide import CTRL_C, ByHand, Command, read
from tests.lab.host import Host, wait_until
from tests.lab.lab import UPLINK, Lab
from tests.lab.machine import Machine
from tests.lab.process import LabError, Program, Result
from tests.lab.roles import DIST, Role, packages_of
from tests.lab.topology import CAMERA, RDV, topology

USER = "anna"
LOOKS = re.compile(
    r"tundev-status|masterdev (list|status|diagnose)|onsitedev diagnose"
    r"|rdv-admin (acl (check|show)|device (list|show)|session list|status|audit)\b.*"
)
"""What only looks may be repeated until it shows what the guide shows, as a person would."""
LOOK_SECONDS = 60.0
COMMAND_SECONDS = 240.0


class Newcomer:
    """Does what the guide says, and nothing else."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self._lab = lab
        self._stack = stack
        self._foreground: dict[str, Program] = {}
        self._hosts: dict[str, Host] = {
            "rdv": lab.rdv,
            "onsite": lab.onsite,
            "master": lab.master,
            "laptop": lab.laptop,
        }
        self._by_hand: dict[str, Callable[..., None]] = {
            r"copy the packages to the (\w+)\.": self._copy_packages,
            r"copy `([\w./-]+)` from the (\w+) to the (\w+)\.": self._copy,
            r"plug the laptop into the master's technician's port\.": self._plug_in,
            CTRL_C.pattern: self._interrupt,
            r"install Debian 12 on a host that takes the RDV's place, the newrdv\.": self._new_host,
            r"switch the rdv off and give its address to the newrdv\.": self._take_over,
        }

    def do(self, step: Command | ByHand) -> None:
        """The step; LabError names the guide's line."""
        try:
            if isinstance(step, Command):
                self._run(step)
            else:
                self._do_by_hand(step)
        except (LabError, AssertionError) as error:
            raise LabError(f"docs/operations.md, line {step.line}: {error}") from None

    def _run(self, command: Command) -> None:
        host = self._hosts[command.machine]
        argv = ["bash", "-c", command.text]
        if not command.root and isinstance(host, Machine):
            argv = ["runuser", "--login", USER, "--command", command.text]
        if command.stays:
            program = self._foreground[command.machine] = self._stack.enter_context(host.start(argv))
            program.wait_until(
                lambda: command.prints(program.text), what=lambda: _differ(command, program.text)
            )
            return
        done = host.run(argv, deadline=COMMAND_SECONDS, check=False)
        if LOOKS.fullmatch(command.text) and not _as_shown(command, done):

            def again() -> bool:
                nonlocal done
                done = host.run(argv, check=False)
                return _as_shown(command, done)

            try:
                wait_until(again, what=command.text, deadline=LOOK_SECONDS, every=0.5)
            except LabError as error:
                raise LabError(f"{error}\n{_differ(command, done.out + done.err)}") from None
        assert _as_shown(command, done), f"exit code {done.code}\n{_differ(command, done.out + done.err)}"

    def _do_by_hand(self, step: ByHand) -> None:
        for form, work in self._by_hand.items():
            if match := re.fullmatch(form, step.text):
                work(*match.groups())
                return
        raise LabError(f"nobody here knows how to: {step.text}")

    def _copy_packages(self, machine: str) -> None:
        host = self._hosts[machine]
        role = Role.RDV if host in (self._lab.rdv, *self._lab.spares) else Role(machine)
        for deb in packages_of(role, DIST):
            (_home(host) / deb.name).write_bytes(deb.read_bytes())

    def _copy(self, name: str, source: str, target: str) -> None:
        """From root's home to root's home, as scp or a USB stick would."""
        (_home(self._hosts[target]) / name).write_bytes((_home(self._hosts[source]) / name).read_bytes())

    def _plug_in(self) -> None:
        self._lab.laptop.dhcp()

    def _interrupt(self, machine: str) -> None:
        program = self._foreground.pop(machine)
        program.signal(signal.SIGINT)
        program.wait()

    def _new_host(self) -> None:
        spare = IPv4Interface((RDV.ip + 1, RDV.network.prefixlen))
        self._hosts["newrdv"] = self._lab.another_rdv("newrdv", spare)

    def _take_over(self) -> None:
        self._lab.rdv.stop()
        # Its namespace is still there with its address, as no machine's is that was switched off.
        self._lab.rdv.ip(f"link set {UPLINK} down")
        new = self._hosts["newrdv"]
        assert isinstance(new, Machine)
        config.static_address(new, UPLINK, RDV)
        for words in (["reload"], ["up", "uplink"]):
            new.run(["nmcli", "connection", *words])


def _home(host: Host) -> Path:
    assert isinstance(host, Machine)
    return Path(f"/proc/{host.leader}/root/root")


def _as_shown(command: Command, done: Result) -> bool:
    return done.code == 0 and command.prints(done.out + done.err)


def _differ(command: Command, output: str) -> str:
    shown = "\n".join(command.shown)
    return f"{command.text}\nThe guide shows:\n{shown}\nIt printed:\n{output}"


@pytest.fixture
def bare() -> Iterator[Lab]:
    """One customer, one desk; the machines are bare Debians."""
    with Lab(topology(), name=f"{os.environ.get('LAB_NAME', 'test')[:11]}guide", packages=None) as lab:
        lab.install()
        lab.build()
        lab.start_rdv()
        lab.start_devices()
        yield lab


def test_a_newcomer_follows_the_guide_and_reaches_a_session(bare: Lab) -> None:
    steps = read()
    machines = {step.machine for step in steps if isinstance(step, Command)}
    assert {"rdv", "onsite", "master", "laptop"} <= machines
    assert any(isinstance(step, Command) and str(CAMERA) in step.text for step in steps)
    with ExitStack() as stack:
        newcomer = Newcomer(bare, stack)
        try:
            for step in steps:
                newcomer.do(step)
        except LabError as error:
            pytest.fail(f"{error}\n{bare.journals()}")
