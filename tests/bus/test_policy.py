"""Who may call the manager and a device's agent, on a private bus with the policies that are installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message
from dbus_fast.aio.message_bus import MessageBus

from rdv import contract
from rdv.contract import Signal
from tundev.contract import BUS_NAMES
from vtunlib.tunnel import Role

ROOT = Path(__file__).resolve().parents[2]
RDV_POLICY = ROOT / "rdv/system/usr/share/dbus-1/system.d/org.rdv.TundevManager1.conf"
MASTER_POLICY = ROOT / "rootfs-overlay/master/usr/share/dbus-1/system.d/org.rdv.MasterDev1.conf"
SHELL, STRANGER, GROUP = "nobody", "daemon", "nogroup"
"""Accounts of any Debian that stand for rdv-shell, for a device's account, and for the group tundev."""

_BUS = """<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  {policies}
</busconfig>
"""


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a bus with both policies, whose special accounts are ones that this machine has."""
    directory = tmp_path_factory.mktemp("bus")
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)
    policies = []
    for policy in (RDV_POLICY, MASTER_POLICY):
        text = policy.read_text()
        text = text.replace('user="rdv-shell"', f'user="{SHELL}"').replace(
            'group="tundev"', f'group="{GROUP}"'
        )
        policies.append(
            text[text.index("<busconfig>") :].replace("<busconfig>", "").replace("</busconfig>", "")
        )
    config = directory / "bus.conf"
    config.write_text(_BUS.format(path=directory / "socket", policies="\n".join(policies)))
    daemon = subprocess.Popen(
        ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}", "--print-address"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip().split(",")[0]
    finally:
        daemon.terminate()
        daemon.wait(10)
        if daemon.stdout:
            daemon.stdout.close()


def call(address: str, user: str, name: str, path: str, interface: str, member: str, group: str = "") -> str:
    """The words that busctl fails with as this user, or `answered`."""
    who = ["setpriv", f"--reuid={user}", f"--regid={group or 'daemon'}", "--clear-groups"]
    busctl = ["busctl", f"--address={address}", "--timeout=5", "call", name, path, interface, member]
    done = subprocess.run([*who, *busctl], capture_output=True, text=True, timeout=20, check=False)
    return "answered" if done.returncode == 0 else done.stderr


async def _echo(address: str, names: list[str], calls: list[list[str]]) -> list[str]:
    """Own these names on the bus, answer everything with nothing, and make the calls meanwhile."""
    bus = await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()
    for name in names:
        await bus.request_name(name)

    def answer(message: Message) -> Message | None:
        if message.interface and message.interface.startswith("org.rdv."):
            return Message.new_method_return(message)
        return None

    bus.add_message_handler(answer)
    try:
        return [await asyncio.to_thread(call, address, *words) for words in calls]
    finally:
        bus.disconnect()


def answers(address: str, name: str, calls: list[list[str]]) -> list[str]:
    return asyncio.run(_echo(address, [name], calls))


def _manager(user: str, method: Any) -> list[str]:
    return [user, contract.BUS_NAME, contract.PATH, method.interface, method.member]


def test_the_shell_service_may_call_its_interface_and_not_the_admin_s(address: str) -> None:
    shell, admin = answers(
        address, contract.BUS_NAME, [_manager(SHELL, contract.LOOK), _manager(SHELL, contract.LIST_SESSIONS)]
    )
    assert shell == "answered"
    assert "rejected" in admin.lower() or "denied" in admin.lower()


@pytest.mark.parametrize(
    "method", [contract.LOOK, contract.ATTACH, contract.LIST_ONLINE, contract.DROP_DEVICE]
)
def test_a_device_s_account_may_call_nothing(address: str, method: Any) -> None:
    (told,) = answers(address, contract.BUS_NAME, [_manager(STRANGER, method)])
    assert "rejected" in told.lower() or "denied" in told.lower()


def test_root_may_call_both(address: str) -> None:
    calls = [_manager("root", contract.LOOK), _manager("root", contract.LIST_SESSIONS)]
    assert answers(address, contract.BUS_NAME, calls) == ["answered", "answered"]


_LISTENER = """
import asyncio, sys
from dbus_fast import BusType, Message
from dbus_fast.aio.message_bus import MessageBus

async def main(address):
    bus = await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()
    done = asyncio.Event()
    def hear(message):
        if message.path == "/org/rdv/TundevManager1":
            print(message.member, flush=True)
            if message.member == "Over":
                done.set()
    bus.add_message_handler(hear)
    dbus = "org.freedesktop.DBus"
    rule = "type='signal',path='/org/rdv/TundevManager1'"
    await bus.call(Message(dbus, "/org/freedesktop/DBus", dbus, "AddMatch", signature="s", body=[rule]))
    print("listening", flush=True)
    await done.wait()

asyncio.run(main(sys.argv[1]))
"""


async def _heard(address: str, user: str) -> list[str]:
    """Which of the manager's signals reach this user."""
    bus = await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()
    await bus.request_name(contract.BUS_NAME)
    listener = await asyncio.create_subprocess_exec(
        *("setpriv", f"--reuid={user}", "--regid=daemon", "--clear-groups"),
        *(sys.executable, "-c", _LISTENER, address),
        stdout=asyncio.subprocess.PIPE,
    )
    assert listener.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert await listener.stdout.readline() == b"listening\n"
            # The last is of an interface that the policy does not speak of: all that came before it is there.
            last = Signal("org.rdv.Other", "Over")
            bodies: list[tuple[Signal, list[Any]]] = [(contract.EVENT, ["{}"]), (contract.CHANGED, [["m1"]])]
            for one, body in [*bodies, (last, [])]:
                bus.send(Message.new_signal(contract.PATH, one.interface, one.member, one.body, body))
            return (await listener.stdout.read()).decode().split()[:-1]
    finally:
        bus.disconnect()
        await listener.wait()


def test_what_is_recorded_is_heard_by_root_alone(address: str) -> None:
    assert asyncio.run(_heard(address, "root")) == ["Event", "Changed"]
    assert asyncio.run(_heard(address, SHELL)) == ["Changed"]
    assert asyncio.run(_heard(address, STRANGER)) == []


def test_only_root_may_own_the_name(address: str) -> None:
    own = ["RequestName", "su", contract.BUS_NAME, "0"]
    busctl = ["busctl", f"--address={address}", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus"]
    command = ["setpriv", f"--reuid={SHELL}", "--clear-groups", *busctl, "org.freedesktop.DBus", *own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0 and "denied" in done.stderr.lower()


def test_the_master_s_agent_answers_root_and_its_group_alone(address: str) -> None:
    name = BUS_NAMES[Role.MASTER]
    words = [name.name, name.path, name.interface, "Status"]
    root, member, stranger = answers(
        address, name.name, [["root", *words], [STRANGER, *words, GROUP], [STRANGER, *words]]
    )
    assert (root, member) == ("answered", "answered")
    assert "rejected" in stranger.lower() or "denied" in stranger.lower()
