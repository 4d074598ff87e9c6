"""The cached Debian root that every machine of the lab has as its lowest layer.

It is made by mmdebstrap once per recipe and kept under the hash of that recipe. The
packages that debian/control depends on belong to the recipe, so that installing the
product in a machine needs no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from pathlib import Path

from tests.lab.place import CACHE
from tests.lab.process import LabError, run

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = 4  # roots of former recipes that stay, for the machines that may still run on them

# fmt: off
PACKAGES = [
    "systemd", "systemd-sysv", "libpam-systemd", "dbus", "adduser", "kmod", "procps", "less",
    "ca-certificates", "iproute2", "nftables", "iputils-ping", "iputils-arping",
    "tcpdump", "iperf3", "curl", "socat", "strace",
    "openssh-server", "openssh-client", "openssl", "stunnel4", "vtun", "dnsmasq-base", "netcat-openbsd",
    "network-manager", "isc-dhcp-client",
    "python3", "python3-pystemd", "python3-pyudev", "python3-pexpect", "python3-pyroute2", "python3-sdnotify",
    "python3-dbus-fast", "python3-nftables",
]
# fmt: on

# Run in the new root: no host's identity, no network of the build, no timers that want the internet.
FINISH = r"""
set -eu
rm -f "$1/etc/resolv.conf" "$1/etc/hostname"
: > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$1/etc/hosts"
for timer in apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$1/etc/systemd/system/$timer"
done
chroot "$1" passwd -q -d root
"""


def depends(control: str) -> list[str]:
    """The packages that a debian/control asks for, first alternatives, our own left out."""
    own = set(re.findall(r"^(?:Package|Source):\s*(\S+)", control, re.M))
    found = set()
    for field in re.findall(r"^(?:Pre-)?Depends:((?:.*\n)(?:[ \t].*\n)*)", control, re.M):
        for clause in field.replace("\n", " ").split(","):
            name = re.sub(r"\(.*?\)|\[.*?\]|<.*?>", "", clause.split("|")[0]).strip().split(":")[0]
            if name and "$" not in name and not name.startswith("#"):
                found.add(name)
    return sorted(found - own)


def _sources() -> list[str]:
    """One-line sources of this host's Debian mirror, so that a local mirror is used where there is one."""
    form = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    listed = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=False).out
    lines = []
    for entry in dict.fromkeys(listed.splitlines()):
        origin, codename, component, uri = entry.split(maxsplit=3)
        if origin == "Debian" and codename.split("-")[0] == SUITE and component == "main":
            lines.append(f"deb {uri} {codename} main")
    return lines or [f"deb {MIRROR} {SUITE} main"]


def _proxies() -> list[str]:
    """apt's own proxy settings of this host, which mmdebstrap does not read."""
    dump = run(["apt-config", "dump"], check=False).out
    return [f"--aptopt={line}" for line in dump.splitlines() if re.match(r"Acquire::https?::Proxy ", line)]


def recipe() -> tuple[str, list[str]]:
    """The hash of what the root is made from, and its packages."""
    control = REPOSITORY / "debian" / "control"
    wanted = depends(control.read_text(encoding="utf-8") + "\n") if control.exists() else []
    packages = sorted(set(PACKAGES) | set(wanted))
    text = "\n".join([SUITE, FINISH, *packages])
    return hashlib.sha256(text.encode()).hexdigest()[:16], packages


def base_root(*, fresh: bool = False) -> Path:
    """The root, made (in about half a minute) if there is none yet or `fresh` asks for it."""
    key, packages = recipe()
    CACHE.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(CACHE / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        root = CACHE / key / "root"
        if fresh or not root.is_dir():
            _build(root, packages)
            _forget_old(key)
        os.utime(root.parent)
        return root
    finally:
        os.close(descriptor)


def _build(root: Path, packages: list[str]) -> None:
    part = root.with_name("root.part")
    for old in (part, root):
        shutil.rmtree(old, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    hook = root.parent / "finish.sh"
    hook.write_text(FINISH, encoding="utf-8")
    print(f"lab: making the base root ({len(packages)} packages, once; about a minute)", flush=True)
    run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=apt",
            f"--include={','.join(packages)}",
            *_proxies(),
            f'--customize-hook=sh {hook} "$1"',
            SUITE,
            str(part),
            "-",
        ],
        stdin="\n".join(_sources()) + "\n",
        deadline=900,
    )
    if not (part / "usr/lib/systemd/systemd").exists():
        raise LabError(f"mmdebstrap made no bootable root in {part}")
    part.rename(root)


def in_use(directory: Path) -> bool:
    """Whether some machine's root is laid on it."""
    return str(directory) in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def _forget_old(current: str) -> None:
    """Remove all but the newest few roots; layers made on them go with them."""
    roots = [path for path in CACHE.iterdir() if path.is_dir() and path.name != current]
    for old in sorted(roots, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        if not in_use(old):
            shutil.rmtree(old, ignore_errors=True)
