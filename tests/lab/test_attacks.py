"""A device that has fallen into wrong hands: its key opens its own two words on the RDV, and nothing else.

In each test a session between the first master and the first onsite is up, and the second
onsite attacks with the real ssh, sftp and scp. The session outlives all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.lab import Lab
from tests.lab.process import Program, Result
from tests.lab.test_sessions import account, listed, session
from tests.lab.topology import RDV_NAME
from vtunlib.errors import NotAllowed

KEY = "/tmp/attack.key"
KNOWN_HOSTS = "/tmp/attack.known_hosts"
AGENT = "/tmp/attack.agent"
LOOT = "/tmp/attack.loot"
LOCAL_PORT = 9999
TARGET_PORT = 7777
BANNER = "what only the RDV itself may read"
REFUSED = "administratively prohibited"


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
        group = self.lab.rdv.run(["id", "-g", user]).out.strip()
        return self.lab.rdv.run(
            ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", *argv], check=False
        )


@pytest.fixture
def attacker(lab: Lab) -> Iterator[Attacker]:
    found = Attacker(lab)
    found.machine.run(["cp", "/run/tundev/known_hosts", KNOWN_HOSTS])
    found.machine.run(["install", "-m", "0600", "/etc/tundev/id_ed25519", KEY])
    with session(lab.master, account(lab, 0), "L3"):
        before = listed(lab)
        yield found
        after = listed(lab)
    assert [row["state"] for row in after] == ["up"]
    assert [row["id"] for row in after] == [row["id"] for row in before]
    found.machine.run(["rm", "-f", KEY, KNOWN_HOSTS, AGENT, LOOT])


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


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(
    "forward",
    [
        f"-L{LOCAL}:127.0.0.1:{TARGET_PORT}",
        f"-L{LOCAL}:/run/rdv/leg/OTHER.sock",
        f"-L{LOCAL}:/run/rdv/masterdev-shell.sock",
        f"-L{LOCAL}:/run/dbus/system_bus_socket",
    ],
    ids=["tcp", "leg-of-another", "master-shell", "system-bus"],
)
def test_no_local_forward(attacker: Attacker, forward: str) -> None:
    with attacker.hold("-N", forward.replace("OTHER", account(attacker.lab, 0))) as ssh:
        ssh.wait_line("Entering interactive session")
        reached = attacker.machine.run(["nc", "-w", "5", *LOCAL.split(":")], stdin="get_role\n", check=False)
        assert reached.out == ""
        ssh.wait_line(": open failed: ")


@pytest.mark.usefixtures("target")
def test_no_dynamic_forward(attacker: Attacker) -> None:
    with attacker.hold("-N", "-D", LOCAL) as ssh:
        ssh.wait_line("Entering interactive session")
        url = f"http://127.0.0.1:{TARGET_PORT}/"
        curl = ["curl", "--silent", "--max-time", "5", "--socks5-hostname", LOCAL, url]
        reached = attacker.machine.run(curl, check=False)
        assert reached.code != 0 and reached.out == ""
        ssh.wait_line(REFUSED)


@pytest.mark.usefixtures("target")
def test_no_standard_input_forward(attacker: Attacker) -> None:
    done = attacker.ssh("-W", f"127.0.0.1:{TARGET_PORT}")
    assert done.code == 255 and done.out == ""
    assert REFUSED in done.err


@pytest.mark.parametrize(
    "forward",
    [
        f"-R{LOCAL}:127.0.0.1:22",
        f"-R0.0.0.0:{LOCAL_PORT}:127.0.0.1:22",
        f"-R{LOCAL_PORT}",
        f"-R{LOOT}:127.0.0.1:22",
        "-R/run/rdv/leg/forged.sock:127.0.0.1:22",
    ],
    ids=["loopback", "all-addresses", "dynamic", "unix-socket", "unix-socket-as-a-leg"],
)
def test_no_remote_forward(attacker: Attacker, forward: str) -> None:
    done = attacker.ssh("-N", "-o", "ExitOnForwardFailure=yes", forward)
    assert done.code == 255
    assert "remote port forwarding failed" in done.err
    sockets = attacker.lab.rdv.run(["ss", "-H", "-l", "-n", "-t", "-x"]).out
    assert f":{LOCAL_PORT} " not in sockets and LOOT not in sockets and "forged" not in sockets


def test_no_remote_forward_on_the_devices_own_connection(attacker: Attacker) -> None:
    control = ["ssh", "-F", "none", "-S", "/run/tundev/ssh/control", "-O", "forward"]
    done = attacker.machine.run([*control, "-R", f"{LOCAL}:127.0.0.1:22", "rdv"], check=False)
    assert done.code == 255
    assert "remote port forwarding failed" in done.err


@pytest.mark.parametrize("kind", ["point-to-point", "ethernet"])
def test_no_tun_device(attacker: Attacker, kind: str) -> None:
    options = ("-o", f"Tunnel={kind}", "-o", "ExitOnForwardFailure=yes")
    done = attacker.ssh("-N", *options, "-w", "0:0")
    assert done.code == 255
    assert "Tunnel forwarding failed" in done.err
    links = attacker.lab.rdv.run(["ip", "-o", "link"]).out
    assert "tun0" not in links and "tap0" not in links


def test_no_terminal(attacker: Attacker) -> None:
    done = attacker.ssh("-t", "-t", command="id")
    assert done.code != 0 and "uid=" not in done.out
    assert "PTY allocation request failed" in done.err


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


@pytest.mark.parametrize(
    "command",
    ["id", "sh", "/bin/sh -i", "shell", "leg ", "leg;id", "leg\nid", "leg ../leg/x", "LEG", "internal-sftp"],
)
def test_no_command(attacker: Attacker, command: str) -> None:
    done = attacker.ssh(command=command)
    assert done.code == NotAllowed.exit_code
    assert done.out.startswith("*** NotAllowed: ")
    assert len(done.out.splitlines()) == 1


def test_no_subsystem(attacker: Attacker) -> None:
    done = attacker.ssh("-s", command="sftp")
    assert done.code == 255 and done.out == ""
    assert "subsystem request failed" in done.err


def test_no_sftp(attacker: Attacker) -> None:
    argv = attacker.words("sftp", "-b", "-", f"{attacker.account}@{RDV_NAME}")
    done = attacker.machine.run(argv, stdin=f"get /etc/passwd {LOOT}\n", check=False)
    assert done.code == 255
    assert attacker.machine.run(["test", "-e", LOOT], check=False).code == 1


@pytest.mark.parametrize("protocol", [(), ("-O",)], ids=["sftp", "rcp"])
def test_no_scp(attacker: Attacker, protocol: tuple[str, ...]) -> None:
    there = f"{attacker.account}@{RDV_NAME}"
    get = attacker.words("scp", *protocol, f"{there}:/etc/passwd", LOOT)
    put = attacker.words("scp", *protocol, "/etc/passwd", f"{there}:{LOOT}")
    for argv in (get, put):
        assert attacker.machine.run(argv, check=False).code != 0
    for machine in (attacker.machine, attacker.lab.rdv):
        assert machine.run(["test", "-e", LOOT], check=False).code == 1


@pytest.mark.parametrize("forged", [False, True], ids=["plain", "another-account-by-environment"])
def test_the_word_leg_leads_to_the_accounts_own_leg_alone(attacker: Attacker, forged: bool) -> None:
    """It is in no session, so there is none."""
    options = ("-o", f"SetEnv=LOGNAME={account(attacker.lab, 0)}") if forged else ()
    done = attacker.ssh(*options, command="leg")
    assert done.code == 1 and done.out == ""
    assert "No such file" in done.err


@pytest.mark.parametrize("user", ["the-other-onsite", "the-master", "root", "rdv-shell", "nobody"])
def test_the_key_opens_no_other_account(attacker: Attacker, user: str) -> None:
    lab = attacker.lab
    name = {"the-other-onsite": account(lab, 0), "the-master": lab.plan.desks[0].account}.get(user, user)
    done = attacker.ssh(command="leg", user=name)
    assert done.code == 255 and done.out == ""
    assert "Permission denied (publickey)" in done.err


@pytest.mark.parametrize("user", ["a-device", "nobody"])
def test_the_sockets_of_a_session_are_for_their_owners(attacker: Attacker, user: str) -> None:
    name = attacker.account if user == "a-device" else user
    owner = account(attacker.lab, 0)
    leg = f"/run/rdv/leg/{owner}.sock"
    assert attacker.lab.rdv.run(["stat", "-c", "%U %a %F", leg]).out == f"{owner} 600 socket\n"
    for socket in (leg, "/run/rdv/masterdev-shell.sock"):
        done = attacker.on_rdv(name, "nc", "-U", "-N", socket)
        assert done.code == 1 and "Permission denied" in done.err, socket
    for directory in ("/run/rdv/leg", "/run/rdv/sessions"):
        assert "Permission denied" in attacker.on_rdv(name, "ls", directory).err, directory


CALLS = {
    "admin": ("org.rdv.TundevManager1.Admin", "ListSessions"),
    "shell": ("org.rdv.TundevManager1", "Look", "s", "1"),
    "drop": ("org.rdv.TundevManager1", "Drop", "ss", "1", "attack"),
    "introspect": ("org.freedesktop.DBus.Introspectable", "Introspect"),
}


@pytest.mark.parametrize("user", ["a-device", "nobody"])
@pytest.mark.parametrize("method", list(CALLS))
def test_the_manager_is_not_for_them_on_the_bus(attacker: Attacker, user: str, method: str) -> None:
    name = attacker.account if user == "a-device" else user
    busctl = ("busctl", "--system", "call", "org.rdv.TundevManager1", "/org/rdv/TundevManager1")
    done = attacker.on_rdv(name, *busctl, *CALLS[method])
    assert done.code != 0 and done.out == ""
    assert "Access denied" in done.err
    assert attacker.on_rdv("root", *busctl, *CALLS["admin"]).code == 0


def test_a_sessions_secrets_are_not_for_other_accounts(attacker: Attacker) -> None:
    find = ("find", "/run/rdv", "/run/credentials", "-name", "*.conf")
    assert "vtund.conf" in attacker.on_rdv("root", *find).out
    assert ".conf" not in attacker.on_rdv(attacker.account, *find).out
