"""The RDV's sshd from outside: a table of attempts with a device's key, none of which gets anywhere.

Each attempt says what the refusal looks like: one that failed for another reason, a
missing program or an unreachable server, is no proof and fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.lab import config
from tests.lab.attacker import KEY, LOOT, Attacker, attacking
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.process import LabError, Result
from tests.lab.test_sessions import account
from tests.lab.topology import RDV_NAME
from vtunlib.errors import NotAllowed

OTHER_KEY, RSA, ECDSA = "/tmp/attack.ed25519", "/tmp/attack.rsa", "/tmp/attack.ecdsa"
CERTIFICATE, ONE_TIME = "/tmp/attack.certificate", "/tmp/attack.one-time"
NEW = "rpi1999"
"""An account that waits for its enrolment; its one-time key is in the attacker's hands, too."""
PORT = 9999
KEX = {"sntrup761x25519-sha512@openssh.com", "curve25519-sha256", "curve25519-sha256@libssh.org"}
CIPHERS = {"chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com"}
MACS = {"hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"}
# What OpenSSH adds by itself: not algorithms, but what a server can do (PROTOCOL).
MARKS = re.compile(r"kex-strict-s-v00@openssh\.com|ext-info-s")


Argv = Callable[[Attacker], list[str]]
"""The words of the program that tries it."""


@dataclass(frozen=True)
class Attempt:
    """Something that is tried once. refusal: a pattern that the answer must hold; code: of the exit.

    told: whether sshd's journal is to hold it instead, whatever the exit, for the end of a
    connection may overtake the words in it.
    """

    words: Argv
    refusal: str
    code: int = 255
    said: str = ""
    told: bool = False


def ssh(*words: str, command: str | None = None, user: str = "") -> Argv:
    """OTHER in a word stands for the account of the onsite that is in a session, MASTER for its master's."""

    def argv(attacker: Attacker) -> list[str]:
        names = {
            "OTHER": account(attacker.lab, 0),
            "MASTER": attacker.lab.plan.desks[0].account,
            "": attacker.account,
        }
        asked = [word.replace("OTHER", names["OTHER"]) for word in words]
        destination = f"{names.get(user, user)}@{RDV_NAME}"
        return attacker.words("ssh", "-v", *asked, destination, *([command] if command else []))

    return argv


def method(name: str, *options: str) -> Argv:
    """Nothing but that way to authenticate."""
    given = [word for option in options for word in ("-o", option)]
    return ssh("-o", "BatchMode=no", "-o", f"PreferredAuthentications={name}", *given, command="leg")


def with_key(path: str, *words: str) -> Argv:
    """Another key instead of the device's."""
    return lambda attacker: [
        word.replace(f"IdentityFile={KEY}", f"IdentityFile={path}")
        for word in ssh(*words, command="leg")(attacker)
    ]


def copy(*words: str) -> Argv:
    """scp or sftp; THERE stands for the account on the RDV."""
    program, *rest = words
    return lambda attacker: attacker.words(
        program, *(word.replace("THERE", f"{attacker.account}@{RDV_NAME}") for word in rest)
    )


def raw(_attacker: Attacker) -> list[str]:
    """A TCP connection to the port, and what is said there."""
    return ["nc", "-w", "10", RDV_NAME, "2222"]


def on_own_connection(*words: str) -> Argv:
    """Through the control socket of the device's connection."""
    return lambda _: ["ssh", "-F", "none", "-S", "/run/tundev/ssh/control", *words, "rdv"]


ONLY_PUBLICKEY = r"Authentications that can continue: publickey\r?\n(?s:.*)Permission denied \(publickey\)"
DENIED = r"Permission denied \(publickey\)"
NO_LOGIN = r"\*\*\* NotAllowed: only the tundev shell and the leg are to be had here"
NO_REMOTE = "remote port forwarding failed"
NO_STDIO = "administratively prohibited"
STRICTLY = ("-N", "-o", "ExitOnForwardFailure=yes")

ATTEMPTS: dict[str, Attempt] = {
    # Getting in by another way than the device's own key.
    "no authentication": Attempt(method("none"), ONLY_PUBLICKEY),
    "a password": Attempt(method("password", "PasswordAuthentication=yes"), ONLY_PUBLICKEY),
    "questions and answers": Attempt(
        method("keyboard-interactive", "KbdInteractiveAuthentication=yes"), ONLY_PUBLICKEY
    ),
    "the host's key": Attempt(
        method("hostbased", "HostbasedAuthentication=yes", "EnableSSHKeysign=yes"), ONLY_PUBLICKEY
    ),
    "Kerberos": Attempt(method("gssapi-with-mic", "GSSAPIAuthentication=yes"), ONLY_PUBLICKEY),
    "a key that nobody knows": Attempt(
        with_key(OTHER_KEY), rf"Offering public key: {OTHER_KEY}(?s:.*){DENIED}"
    ),
    "an RSA key": Attempt(with_key(RSA), rf"Offering public key: {RSA} RSA(?s:.*){DENIED}"),
    "an ECDSA key": Attempt(with_key(ECDSA), rf"Offering public key: {ECDSA} ECDSA(?s:.*){DENIED}"),
    "a certificate of one's own making": Attempt(
        with_key(OTHER_KEY, "-o", f"CertificateFile={CERTIFICATE}"),
        rf"Offering public key: \S+ ED25519-CERT(?s:.*){DENIED}",
    ),
    "more keys than may be tried": Attempt(
        with_key(OTHER_KEY, *(word for n in range(4) for word in ("-i", f"{OTHER_KEY}{n}"))),
        "Too many authentication failures",
    ),
    # Being somebody else with the device's key.
    "root": Attempt(ssh(user="root", command="leg"), DENIED),
    "another onsite": Attempt(ssh(user="OTHER", command="leg"), DENIED),
    "a master": Attempt(ssh(user="MASTER", command="leg"), DENIED),
    "the shell service": Attempt(ssh(user="rdv-shell", command="leg"), DENIED),
    "nobody": Attempt(ssh(user="nobody", command="leg"), DENIED),
    "an account that waits for its device": Attempt(ssh(user=NEW, command="leg"), DENIED),
    "an account that there is not": Attempt(ssh(user="rpi0000", command="leg"), DENIED),
    # Weakening the connection, or speaking something else.
    "an old key exchange": Attempt(
        ssh("-o", "KexAlgorithms=diffie-hellman-group14-sha1"), "no matching key exchange method found"
    ),
    "a NIST curve": Attempt(
        ssh("-o", "KexAlgorithms=ecdh-sha2-nistp256"), "no matching key exchange method found"
    ),
    "an old cipher": Attempt(ssh("-o", "Ciphers=aes128-cbc"), "no matching cipher found"),
    "an old host key": Attempt(
        ssh("-o", "HostKeyAlgorithms=rsa-sha2-512"), "no matching host key type found"
    ),
    "a web browser": Attempt(raw, 'identifier "GET /', said="GET / HTTP/1.1\r\n\r\n", told=True),
    "SSH 1": Attempt(raw, "Protocol major versions differ", said="SSH-1.5-old\r\n", told=True),
    "a banner without an end": Attempt(raw, "banner line too long", said="x" * 100_000, told=True),
    # Running something.
    "a command": Attempt(ssh(command="id"), NO_LOGIN, NotAllowed.exit_code),
    "a shell": Attempt(ssh(command="/bin/sh -i"), NO_LOGIN, NotAllowed.exit_code),
    "the word of the key line": Attempt(ssh(command="shell"), NO_LOGIN, NotAllowed.exit_code),
    "enrolment with a shell's key": Attempt(ssh(command="enrol"), NO_LOGIN, NotAllowed.exit_code),
    "a word and a command": Attempt(ssh(command="leg;id"), NO_LOGIN, NotAllowed.exit_code),
    "a word and a line": Attempt(ssh(command="leg\nid"), NO_LOGIN, NotAllowed.exit_code),
    "a word and a path": Attempt(ssh(command="leg ../leg/OTHER"), NO_LOGIN, NotAllowed.exit_code),
    "a word and a space": Attempt(ssh(command="leg "), NO_LOGIN, NotAllowed.exit_code),
    "a word in capitals": Attempt(ssh(command="LEG"), NO_LOGIN, NotAllowed.exit_code),
    "a command of a hundred kilobytes": Attempt(ssh(command="x" * 100_000), NO_LOGIN, NotAllowed.exit_code),
    "the other role's shell": Attempt(
        ssh(command="/usr/lib/rdv/masterdev-shell"), NO_LOGIN, NotAllowed.exit_code
    ),
    "a subsystem": Attempt(ssh("-s", command="sftp"), "subsystem request failed"),
    "the server of sftp by name": Attempt(ssh(command="internal-sftp"), NO_LOGIN, NotAllowed.exit_code),
    "a terminal": Attempt(ssh("-t", "-t", command="id"), "PTY allocation request failed"),
    "a leg without a session": Attempt(ssh(command="leg"), r"/run/rdv/leg/\S+\.sock(?s:.*)No such file", 1),
    "a leg of another by the environment": Attempt(
        ssh("-o", "SetEnv=LOGNAME=OTHER", command="leg"), r"/run/rdv/leg/\S+\.sock(?s:.*)No such file", 1
    ),
    "a forward with a one-time key": Attempt(with_key(ONE_TIME, "-l", NEW, "-W", "127.0.0.1:22"), NO_STDIO),
    # Files.
    "a file from the RDV": Attempt(copy("scp", "THERE:/etc/passwd", LOOT), "subsystem request failed|closed"),
    "a file to the RDV": Attempt(
        copy("scp", "/etc/passwd", f"THERE:{LOOT}"), "subsystem request failed|closed"
    ),
    # The words of "scp -O", said by ssh itself: scp may end its ssh before that has written the answer.
    "a file from the RDV as in old times": Attempt(
        ssh(command="scp -f /etc/passwd"), NO_LOGIN, NotAllowed.exit_code
    ),
    "a file to the RDV as in old times": Attempt(
        ssh(command=f"scp -t {LOOT}"), NO_LOGIN, NotAllowed.exit_code
    ),
    "a session of sftp": Attempt(
        copy("sftp", "-b", "-", "THERE"), "subsystem request failed", said=f"get /etc/passwd {LOOT}\n"
    ),
    # Forwards.
    "the RDV's loopback": Attempt(ssh("-W", "127.0.0.1:22"), NO_STDIO),
    "a host behind the RDV": Attempt(ssh("-W", "192.168.1.50:80"), NO_STDIO),
    "a port on the RDV": Attempt(ssh(*STRICTLY, f"-R127.0.0.1:{PORT}:127.0.0.1:22"), NO_REMOTE),
    "a port for all on the RDV": Attempt(ssh(*STRICTLY, f"-R0.0.0.0:{PORT}:127.0.0.1:22"), NO_REMOTE),
    "a proxy on the RDV": Attempt(ssh(*STRICTLY, f"-R{PORT}"), NO_REMOTE),
    "a socket on the RDV": Attempt(ssh(*STRICTLY, f"-R{LOOT}:127.0.0.1:22"), NO_REMOTE),
    "a leg's socket of one's own": Attempt(
        ssh(*STRICTLY, "-R/run/rdv/leg/forged.sock:127.0.0.1:22"), NO_REMOTE
    ),
    "a port on the device's own connection": Attempt(
        on_own_connection("-O", "forward", "-R", f"127.0.0.1:{PORT}:127.0.0.1:22"), NO_REMOTE
    ),
    "a tun device": Attempt(
        ssh(*STRICTLY, "-o", "Tunnel=point-to-point", "-w", "0:0"), "Tunnel forwarding failed"
    ),
    "a tap device": Attempt(ssh(*STRICTLY, "-o", "Tunnel=ethernet", "-w", "0:0"), "Tunnel forwarding failed"),
}
"""What is tried, by its name."""


@pytest.fixture
def attacker(lab: Lab) -> Iterator[Attacker]:
    """With keys of its own making, and the bundle of a device that has not enrolled yet."""
    with attacking(lab) as found:
        keygen = ["ssh-keygen", "-q", "-N", "", "-f"]
        for path, kind in ((OTHER_KEY, "ed25519"), (RSA, "rsa"), (ECDSA, "ecdsa")):
            found.machine.run([*keygen, path, "-t", kind])
        for number in range(4):
            found.machine.run([*keygen, f"{OTHER_KEY}{number}", "-t", "ed25519"])
        sign = ["ssh-keygen", "-q", "-s", OTHER_KEY, "-I", "forged", "-n", f"root,{found.account}"]
        found.machine.run([*sign, f"{OTHER_KEY}.pub"])
        # Away from where ssh would offer it whenever it is given the key.
        found.machine.run(["mv", f"{OTHER_KEY}-cert.pub", CERTIFICATE])
        add = ["rdv-admin", "device", "add", NEW, "--role", "onsite", "--server", config.RDV_NAME]
        lab.rdv.run([*add, "--bundle", f"/root/{NEW}.toml"])
        try:
            bundle = lab.rdv.run(["cat", f"/root/{NEW}.toml"]).out
            key = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END[^\n]*-----", bundle, re.S)
            assert key
            found.machine.copy_in(f"{key[0]}\n", ONE_TIME, mode=0o600)
            yield found
        finally:
            lab.rdv.run(["rdv-admin", "device", "remove", NEW])
            lab.rdv.run(["rm", f"/root/{NEW}.toml"])


def attempt(attacker: Attacker, what: Attempt) -> Result:
    return attacker.machine.run(what.words(attacker), stdin=what.said or None, check=False)


def is_refused(attacker: Attacker, what: Attempt) -> tuple[bool, str]:
    """Whether it ends as it should, and what was said about it."""
    # Not by the unit, which the journal does not know of a process that was gone too soon.
    journal = ["journalctl", "SYSLOG_IDENTIFIER=sshd", "--quiet", "--output=cat"]
    cursor = (
        attacker.lab.rdv.run([*journal, "--lines=0", "--show-cursor"]).out.split("-- cursor: ")[1].strip()
    )
    done = attempt(attacker, what)
    said = done.err + done.out

    def in_journal() -> bool:
        nonlocal said
        said = attacker.lab.rdv.run([*journal, f"--after-cursor={cursor}"]).out
        return re.search(what.refusal, said) is not None

    if what.told:
        with suppress(LabError):
            wait_until(in_journal, what=what.refusal, deadline=10)
    # How nc ends is a matter of which end was faster, too.
    ended = what.told or done.code == what.code
    right = ended and re.search(what.refusal, said) and "uid=" not in done.out
    return bool(right), f"exit code {done.code}\n{said[-1500:]}"


def test_no_attempt_gets_anywhere(attacker: Attacker) -> None:
    rdv = attacker.lab.rdv
    wrong = []
    for name, what in ATTEMPTS.items():
        right, said = is_refused(attacker, what)
        if not right:
            wrong.append(f"{name}: {said}")
    assert len(ATTEMPTS) >= 20 and not wrong, "\n\n".join(wrong)
    # Nothing of it has come to be, on neither side.
    sockets = rdv.run(["ss", "-H", "-l", "-n", "-t", "-x"]).out
    assert f":{PORT} " not in sockets and LOOT not in sockets and "forged" not in sockets
    links = rdv.run(["ip", "-o", "link"]).out
    assert "tun0" not in links and "tap0" not in links
    for machine in (attacker.machine, rdv):
        assert machine.run(["test", "-e", LOOT], check=False).code == 1


def test_the_same_attempt_with_the_devices_key_gets_in(attacker: Attacker) -> None:
    """The table's way in is right: only what is asked for is refused."""
    with attacker.device_offline():
        done = attacker.machine.run(ssh()(attacker), stdin="get_role\nexit\n", check=False)
    assert done.code == 0 and "onsite" in done.out


def test_a_one_time_key_takes_a_public_key_and_nothing_else(attacker: Attacker) -> None:
    argv = with_key(ONE_TIME, "-l", NEW)(attacker)
    for said in ("get_role\n", "leg\n", "ssh-ed25519 AAAA\n", "x" * 5000):
        done = attacker.machine.run(argv, stdin=said, check=False)
        assert done.out.startswith("*** ") and len(done.out.splitlines()) == 1, said
    listed = attacker.lab.rdv.run(["cat", f"/etc/rdv/keys/{NEW}"]).out
    assert 'command="enrol"' in listed and 'command="shell"' not in listed


def test_what_the_server_offers_is_modern(lab: Lab) -> None:
    """Read from outside, from the proposal that it sends to everybody."""
    found = Attacker(lab)
    probe = ["ssh", "-vv", "-F", "none", "-p", "2222", "-o", "BatchMode=yes", f"nobody@{RDV_NAME}"]
    told = found.machine.run([*probe, "-o", "UserKnownHostsFile=/dev/null"], check=False).err
    proposal = told.split("peer server KEXINIT proposal")[1]

    def offered(label: str) -> set[str]:
        line = next(line for line in proposal.splitlines() if f"{label}: " in line)
        return {word for word in line.split(f"{label}: ")[1].strip().split(",") if not MARKS.fullmatch(word)}

    assert offered("KEX algorithms") == KEX
    assert offered("host key algorithms") == {"ssh-ed25519"}
    assert offered("ciphers ctos") == offered("ciphers stoc") == CIPHERS
    assert offered("MACs ctos") == offered("MACs stoc") == MACS
    assert offered("compression ctos") == {"none"}


SETTINGS = {
    "logingracetime": "30",
    "maxauthtries": "3",
    "maxsessions": "4",
    "maxstartups": "100:30:1000",
    "clientaliveinterval": "15",
    "clientalivecountmax": "3",
    "permitrootlogin": "no",
    "permituserrc": "no",
    "permituserenvironment": "no",
    "disableforwarding": "yes",
    "permittunnel": "no",
    "permittty": "no",
    "strictmodes": "yes",
    "usepam": "no",
    "exposeauthinfo": "no",
}


def test_the_servers_limits_are_in_force(lab: Lab) -> None:
    """What cannot be seen from outside in a test's time, as sshd itself reads it, for a device's account."""
    connection = f"user={account(lab, 0)},host=x,addr=192.0.2.1"
    told = lab.rdv.run(["/usr/sbin/sshd", "-T", "-f", "/etc/rdv/sshd_config", "-C", connection]).out
    values = dict(line.split(" ", 1) for line in told.splitlines() if " " in line)
    assert {key: values.get(key) for key in SETTINGS} == SETTINGS
    assert "subsystem" not in values and "acceptenv" not in values
