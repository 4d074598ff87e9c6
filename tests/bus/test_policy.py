"""Who may call the manager, a device's agent and its port, on a private bus with the installed policies."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_fast import BusType, Message
from dbus_fast.aio.message_bus import MessageBus

from rdv import contract
from rdv.contract import Method
from tundev.contract import (
    BORROW,
    BUS_NAMES,
    CONNECT,
    DISCONNECT,
    GET_INTERFACE,
    GET_UPLINKS,
    GIVE_BACK,
    LIST_ONSITES,
    PICK,
    REPLUG,
    SET_NAME_SERVERS,
    STATUS,
    UPLINK_WATCH,
    WATCHER,
)
from tundev.port import dnsmasq
from vtunlib.tunnel import Role

ROOT = Path(__file__).resolve().parents[2]
RDV_POLICY = ROOT / "rdv/system/usr/share/dbus-1/system.d/org.rdv.TundevManager1.conf"
DEVICE_POLICIES = [
    ROOT / f"rootfs-overlay/{role}/usr/share/dbus-1/system.d/{name.name}.conf"
    for role, name in (*BUS_NAMES.items(), (Role.MASTER, WATCHER))
]
DEVICE_POLICIES.append(DEVICE_POLICIES[-1].with_name(f"{dnsmasq.BUS_NAME}.conf"))
DEVICE_POLICIES.append(ROOT / f"rootfs-overlay/common/usr/share/dbus-1/system.d/{UPLINK_WATCH.name}.conf")
SHELL, STRANGER, PAGE, GROUP = "nobody", "daemon", "games", "nogroup"
"""Accounts of any Debian: rdv-shell, a device's account, tundev-web, and the group tundev."""

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
def address(open_directory: Path) -> Iterator[str]:
    """Of a bus with all policies, whose special accounts are ones that this machine has."""
    policies = []
    for policy in (RDV_POLICY, *DEVICE_POLICIES):
        text = policy.read_text()
        for special, known in (
            ('user="rdv-shell"', f'user="{SHELL}"'),
            ('group="tundev"', f'group="{GROUP}"'),
            ('user="tundev-web"', f'user="{PAGE}"'),
        ):
            text = text.replace(special, known)
        policies.append(
            text[text.index("<busconfig>") :].replace("<busconfig>", "").replace("</busconfig>", "")
        )
    config = open_directory / "bus.conf"
    config.write_text(_BUS.format(path=open_directory / "socket", policies="\n".join(policies)))
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


def is_refused(told: str) -> bool:
    return "rejected" in told.lower() or "denied" in told.lower()


def _manager(user: str, method: Method) -> list[str]:
    return [user, contract.BUS_NAME, contract.PATH, method.interface, method.member]


STANDARD = [
    Method("org.freedesktop.DBus.Introspectable", "Introspect"),
    Method("org.freedesktop.DBus.Peer", "Ping"),
    Method("org.freedesktop.DBus.Properties", "GetAll"),
    Method("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
]
"""What every object on a bus is asked for."""
SHELL_METHODS = [method for method in contract.METHODS if method.interface == contract.SHELL_INTERFACE]
ADMIN_METHODS = [method for method in contract.METHODS if method.interface == contract.ADMIN_INTERFACE]


def test_the_shell_service_may_call_its_interface_and_not_the_admin_s(address: str) -> None:
    assert SHELL_METHODS and ADMIN_METHODS
    calls = [_manager(SHELL, method) for method in [*SHELL_METHODS, *ADMIN_METHODS]]
    told = answers(address, contract.BUS_NAME, calls)
    assert told[: len(SHELL_METHODS)] == ["answered"] * len(SHELL_METHODS)
    assert all(is_refused(one) for one in told[len(SHELL_METHODS) :])


def test_a_device_s_account_may_call_nothing(address: str) -> None:
    methods = [*contract.METHODS, *STANDARD]
    told = answers(address, contract.BUS_NAME, [_manager(STRANGER, method) for method in methods])
    assert [method.member for method, one in zip(methods, told, strict=True) if not is_refused(one)] == []


def test_root_may_call_everything(address: str) -> None:
    calls = [_manager("root", method) for method in contract.METHODS]
    assert answers(address, contract.BUS_NAME, calls) == ["answered"] * len(calls)


DEVICE_NAMES = [*BUS_NAMES.values(), WATCHER, UPLINK_WATCH]
NAMES = [contract.BUS_NAME, *(name.name for name in DEVICE_NAMES), dnsmasq.BUS_NAME]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "who", [[SHELL], [STRANGER], [STRANGER, GROUP], [PAGE]], ids=["shell", "stranger", "member", "page"]
)
def test_only_root_may_own_a_name(address: str, name: str, who: list[str]) -> None:
    busctl = ["busctl", f"--address={address}", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus"]
    own = ["org.freedesktop.DBus", "RequestName", "su", name, "0"]
    user = [
        "setpriv",
        f"--reuid={who[0]}",
        f"--regid={who[-1] if len(who) > 1 else 'daemon'}",
        "--clear-groups",
    ]
    done = subprocess.run([*user, *busctl, *own], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0 and "denied" in done.stderr.lower()


def test_root_alone_may_borrow_the_port_and_whoever_may_hear_of_it_may_ask(address: str) -> None:
    words = [WATCHER.name, WATCHER.path, WATCHER.interface]
    loan = [BORROW, SET_NAME_SERVERS, REPLUG, GIVE_BACK]
    users = [[STRANGER, GROUP], [PAGE]]
    calls = [[user, *words, GET_INTERFACE, *group] for user, *group in [["root"], *users]]
    refused = [[user, *words, member, *group] for user, *group in users for member in loan]
    refused += [[STRANGER, *words, member] for member in [GET_INTERFACE, *loan]]
    refused += [
        [user, *words[:2], method.interface, method.member, *group]
        for user, *group in users
        for method in STANDARD
    ]
    told = answers(address, WATCHER.name, [*calls, *refused])
    assert told[: len(calls)] == ["answered"] * len(calls)
    assert all(is_refused(one) for one in told[len(calls) :])
    assert answers(address, WATCHER.name, [["root", *words, member] for member in loan]) == ["answered"] * 4


def test_root_alone_may_pick_an_uplink_and_the_group_may_ask_for_them(address: str) -> None:
    words = [UPLINK_WATCH.name, UPLINK_WATCH.path, UPLINK_WATCH.interface]
    calls = [["root", *words, GET_UPLINKS], ["root", *words, PICK], [STRANGER, *words, GET_UPLINKS, GROUP]]
    refused = [[STRANGER, *words, PICK, GROUP], [STRANGER, *words, GET_UPLINKS], [PAGE, *words, GET_UPLINKS]]
    refused += [[STRANGER, *words[:2], one.interface, one.member, GROUP] for one in STANDARD]
    told = answers(address, UPLINK_WATCH.name, [*calls, *refused])
    assert told[: len(calls)] == ["answered"] * len(calls)
    assert all(is_refused(one) for one in told[len(calls) :])


def test_nobody_but_root_tells_dnsmasq_whom_to_ask(address: str) -> None:
    words = [dnsmasq.BUS_NAME, "/uk/org/thekelleys/dnsmasq", dnsmasq.BUS_NAME, "SetServersEx"]
    calls = [[STRANGER, *words], [STRANGER, *words, GROUP], [PAGE, *words]]
    assert all(is_refused(one) for one in answers(address, dnsmasq.BUS_NAME, calls))


@pytest.mark.parametrize("role", list(Role))
def test_an_agent_answers_root_and_its_group_alone(address: str, role: Role) -> None:
    name = BUS_NAMES[role]
    members = [STATUS, LIST_ONSITES, CONNECT, DISCONNECT]
    words = [[name.name, name.path, name.interface, member] for member in members]
    words += [[name.name, name.path, method.interface, method.member] for method in STANDARD]
    calls = [[STRANGER, *one] for one in words]
    calls += [
        [user, *one, *group]
        for one in words[: len(members)]
        for user, *group in (["root"], [STRANGER, GROUP])
    ]
    told = answers(address, name.name, calls)
    assert all(is_refused(one) for one in told[: len(words)])
    assert told[len(words) :] == ["answered"] * 2 * len(members)


def test_the_page_s_server_may_ask_what_a_technician_does_and_nothing_else(address: str) -> None:
    name = BUS_NAMES[Role.MASTER]
    members = [STATUS, LIST_ONSITES, CONNECT, DISCONNECT]
    words = [[PAGE, name.name, name.path, name.interface, member] for member in (*members, "Restart")]
    words += [[PAGE, name.name, name.path, method.interface, method.member] for method in STANDARD]
    told = answers(address, name.name, words)
    assert told[: len(members)] == ["answered"] * len(members)
    assert all(is_refused(one) for one in told[len(members) :])


_LISTENER = """
import asyncio, sys
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio.message_bus import MessageBus

async def main():
    bus = await MessageBus(bus_address=sys.argv[1], bus_type=BusType.SYSTEM).connect()
    over = asyncio.Event()

    def hear(message):
        if message.message_type is MessageType.SIGNAL and message.path == "/test":
            print(message.interface, flush=True)
            if message.interface == "test.Over":
                over.set()

    bus.add_message_handler(hear)
    await bus.call(Message("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                           "AddMatch", signature="s", body=["type='signal',path='/test'"]))
    print("listening", flush=True)
    async with asyncio.timeout(15):
        await over.wait()

asyncio.run(main())
"""


def heard(address: str, interfaces: list[str], user: str, group: str = "daemon") -> list[str]:
    """Those of the signals, sent by root, that this user is given."""
    who = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    argv = [*who, "/usr/bin/python3", "-c", _LISTENER, address]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"

        async def emit() -> None:
            bus = await MessageBus(bus_address=address, bus_type=BusType.SYSTEM).connect()
            for name in NAMES:
                await bus.request_name(name)
            for interface in [*interfaces, "test.Over"]:
                await bus.send(Message.new_signal("/test", interface, "Signal"))
            bus.disconnect()

        asyncio.run(emit())
        return listener.stdout.read().split()[:-1]


SIGNALS = [
    contract.SHELL_INTERFACE,
    contract.ADMIN_INTERFACE,
    *(name.interface for name in DEVICE_NAMES),
]


def test_signals_are_heard_by_whom_they_are_for(address: str) -> None:
    assert heard(address, SIGNALS, "root") == SIGNALS
    assert heard(address, SIGNALS, STRANGER) == []
    assert heard(address, SIGNALS, SHELL) == [contract.SHELL_INTERFACE]
    assert heard(address, SIGNALS, STRANGER, GROUP) == [name.interface for name in DEVICE_NAMES]
    assert heard(address, SIGNALS, PAGE) == [BUS_NAMES[Role.MASTER].interface, WATCHER.interface]
