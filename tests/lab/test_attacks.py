"""A device that has fallen into wrong hands: what it tries beyond the attempts of test_attempts.py.

In each test a session between the first master and the first onsite is up, and the second
onsite attacks with the real ssh. The session outlives all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rdv import contract
from tests.lab.attacker import LOOT, Attacker, attacking
from tests.lab.lab import Lab
from tests.lab.process import Program
from tests.lab.test_sessions import account

AGENT = "/tmp/attack.agent"
LOCAL_PORT = 9999
TARGET_PORT = 7777
BANNER = "what only the RDV itself may read"
REFUSED = "administratively prohibited"


@pytest.fixture
def attacker(lab: Lab) -> Iterator[Attacker]:
    with attacking(lab) as found:
        yield found


@pytest.fixture
def target(attacker: Attacker) -> Iterator[Program]:
    """A service on the RDV's loopback; it is there, and nobody but the RDV itself has reached it."""
    rdv = attacker.lab.rdv
    listen = f"TCP-LISTEN:{TARGET_PORT},bind=127.0.0.1,reuseaddr,fork"
    with rdv.start(["socat", "-d", "-d", listen, f"SYSTEM:echo '{BANNER}'"]) as service:
        service.wait_line("listening on")
        assert BANNER in rdv.run(["nc", "-w", "5", "127.0.0.1", str(TARGET_PORT)]).out
        yield service
        assert service.text.count("accepting connection") == 1, service.text


LOCAL = f"127.0.0.1:{LOCAL_PORT}"


FORWARDS = [
    f"127.0.0.1:{TARGET_PORT}",
    "/run/rdv/leg/OTHER.sock",
    "/run/rdv/masterdev-shell.sock",
    "/run/rdv/enrol.sock",
    "/run/dbus/system_bus_socket",
]


@pytest.mark.usefixtures("target")
def test_no_local_or_dynamic_forward(attacker: Attacker) -> None:
    for there in FORWARDS:
        forward = f"-L{LOCAL}:{there.replace('OTHER', account(attacker.lab, 0))}"
        with attacker.hold("-N", forward) as ssh:
            ssh.wait_line("Entering interactive session")
            nc = ["nc", "-w", "5", *LOCAL.split(":")]
            assert attacker.machine.run(nc, stdin="get_role\n", check=False).out == "", there
            ssh.wait_line(": open failed: ")
    with attacker.hold("-N", "-D", LOCAL) as ssh:
        ssh.wait_line("Entering interactive session")
        url = f"http://127.0.0.1:{TARGET_PORT}/"
        curl = ["curl", "--silent", "--max-time", "5", "--socks5-hostname", LOCAL, url]
        reached = attacker.machine.run(curl, check=False)
        assert reached.code != 0 and reached.out == ""
        ssh.wait_line(REFUSED)


def test_no_agent_display_or_environment(attacker: Attacker) -> None:
    """All asked for at once, by the one connection that the RDV does keep: the device's shell."""
    rdv, name = attacker.lab.rdv, attacker.account
    forged = f"LOGNAME={account(attacker.lab, 0)} SSH_ORIGINAL_COMMAND=leg LD_PRELOAD={LOOT}"
    environment = (f"SSH_AUTH_SOCK={AGENT}", "DISPLAY=127.0.0.1:0", f"RDV_FORGED={LOOT}")
    with attacker.machine.start(["ssh-agent", "-D", "-a", AGENT]) as agent, attacker.device_offline():
        agent.wait_line(AGENT)
        asked = ("-A", "-Y", "-o", f"SetEnv={forged}", "-o", "SendEnv=RDV_*")
        with attacker.hold(*asked, environment=environment) as ssh:
            ssh.say("get_role\n")
            ssh.wait_line(f"{name}$ onsite")
            assert "X11 forwarding request failed" in ssh.text
            processes = rdv.run(["ps", "-u", name, "-o", "pid=,tty=,comm="]).out.split("\n")
            rows = [line.split() for line in processes if line]
            assert rows and {tty for _, tty, _ in rows} == {"?"}
            relay = next(pid for pid, _, command in rows if command.startswith("nc"))
            given = rdv.run(["cat", f"/proc/{relay}/environ"]).out.split("\0")
            variables = dict(entry.split("=", 1) for entry in given if entry)
            assert variables["LOGNAME"] == variables["USER"] == name
            hidden = [f"/proc/{relay}/root/{path}" for path in ("etc/rdv/devices.d", "var/lib/rdv")]
            assert rdv.run(["find", *hidden, "-mindepth", "1"]).out == ""
            taken = {
                "SSH_ORIGINAL_COMMAND",
                "SSH_AUTH_SOCK",
                "DISPLAY",
                "SSH_TTY",
                "LD_PRELOAD",
                "RDV_FORGED",
            }
            assert not taken & set(variables)
            assert rdv.run(["find", "/tmp", "-name", "agent.*"]).out == ""
            assert ":60" not in rdv.run(["ss", "-H", "-l", "-n", "-t"]).out


def test_an_onsites_shell_has_no_word_of_a_master(attacker: Attacker) -> None:
    other = account(attacker.lab, 0)
    words = {
        "show_online_onsite_devs -v": "***",
        f"connect_to_onsite_dev {other}": "***",
        "get_vtun_parameters": "*** NoSession",
        "drop_vtun": "*** NoSession",
        "$(id); `id`; sh": "***",
    }
    with attacker.device_offline(), attacker.hold() as ssh:
        for number, (word, answer) in enumerate(words.items()):
            ssh.say(f"{word}\necho end-{number}\n")
            ssh.wait_line(f"$ end-{number}")
            said = next(line for line in reversed(ssh.lines) if "***" in line)
            assert answer in said, word
        answers = [line for line in ssh.lines if "***" in line]
        assert len(answers) == len(words)
        assert not [line for line in ssh.lines if "uid=" in line or "tunnel_secret" in line]


def test_the_sockets_of_a_session_are_for_their_owners(attacker: Attacker) -> None:
    owner = account(attacker.lab, 0)
    leg = f"/run/rdv/leg/{owner}.sock"
    assert attacker.lab.rdv.run(["stat", "-c", "%U %a %F", leg]).out == f"{owner} 600 socket\n"
    for user in (attacker.account, "nobody"):
        for socket in (leg, "/run/rdv/masterdev-shell.sock"):
            done = attacker.on_rdv(user, "nc", "-U", "-N", socket)
            assert done.code == 1 and "Permission denied" in done.err, (user, socket)
        for directory in ("/run/rdv/leg", "/run/rdv/sessions", "/var/lib/rdv"):
            assert "Permission denied" in attacker.on_rdv(user, "ls", directory).err, (user, directory)


def test_the_manager_is_not_for_them_on_the_bus(attacker: Attacker) -> None:
    """No method of the contract, nothing that every object has, and no name; as root it is all there."""
    asked = [(method.interface, method.member) for method in contract.METHODS]
    asked += [(f"org.freedesktop.DBus.{name}", member) for name, member in STANDARD]
    busctl = ("busctl", "--system", "call", contract.BUS_NAME, contract.PATH)
    for user in (attacker.account, "nobody"):
        for words in asked:
            done = attacker.on_rdv(user, *busctl, *words)
            assert done.code != 0 and "Access denied" in done.err, (user, words, done.out, done.err)
        own = ("busctl", "--system", "call", BUS, "/org/freedesktop/DBus", BUS, "RequestName", "su")
        assert "Access denied" in attacker.on_rdv(user, *own, contract.BUS_NAME, "4").err
    assert attacker.on_rdv("root", *busctl, contract.ADMIN_INTERFACE, "ListSessions").code == 0


def test_an_account_of_the_rdv_reads_no_secret_and_writes_nothing(attacker: Attacker) -> None:
    """What a device's account could do if sshd or its relay had a hole."""
    ours = ("/etc/rdv", "/run/rdv", "/run/credentials", "/var/lib/rdv", "/usr/lib/rdv")
    writable = attacker.on_rdv(attacker.account, "find", *ours, "-writable", "-not", "-type", "l").out
    # Its way to the shell and to the enrolment, which is what its connection leads to anyway.
    assert set(writable.split()) <= {"/run/rdv/onsitedev-shell.sock", "/run/rdv/enrol.sock"}
    readable = attacker.on_rdv(attacker.account, "find", *ours, "-type", "f", "-readable").out.split()
    secret = attacker.on_rdv("root", "grep", "-rlE", "PRIVATE KEY|^ *passwd ", *ours).out.split()
    assert secret and not set(readable) & set(secret)


STANDARD = [
    ("Introspectable", "Introspect"),
    ("Peer", "GetMachineId"),
    ("Properties", "GetAll"),
]
BUS = "org.freedesktop.DBus"
