"""Takes away what a session's or an agent's end left, without memory of what was made.

What stays on purpose: the technician's port still leads nowhere but `unreachable`,
and the forward policy is drop. Only `--all`, when the package is removed, undoes that.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from tundev import firewall, leg, paths
from tundev.port import dnsmasq, laptop
from vtunlib.errors import RdvError
from vtunlib.network import Network, forget
from vtunlib.network.kernel import Kernel


def clean_up() -> None:
    """Units, tunnel and bridge of a session, the files of enrolment and of TLS. Raises RdvError."""
    leg.stop()
    for file in (paths.ENROL_KEY, paths.TLS):
        file.unlink(missing_ok=True)
    with Kernel() as kernel:
        for link in (paths.LEG, paths.MASTER_BRIDGE):
            kernel.delete_link(link)
    _stop_forwarding()


def _stop_forwarding() -> None:
    """Take back the interfaces' flags (leg.forwarding) that a killed agent left.

    Where the device forwards nothing as a whole, a single interface's flag is ours.
    """
    conf = Path("/proc/sys/net/ipv4/conf")
    if (conf / "all" / "forwarding").read_text().strip() != "0":
        return
    for flag in conf.glob("*/forwarding"):
        with suppress(OSError):  # the interface went away
            if flag.parent.name != "default" and flag.read_text().strip() != "0":
                flag.write_text("0")


def close() -> None:
    """The firewall's state without an agent: nothing is forwarded."""
    Network().set([firewall.idle()])


def remove_all() -> None:
    """What stays behind on purpose, too: of the agent, and on a master of the technician's port."""
    dnsmasq.stop()
    with Kernel() as kernel:
        port = laptop.left_behind(kernel)
    forget([firewall.idle(), *port])


def main() -> int:
    """Entry of /usr/lib/tundev/cleanup."""
    try:
        clean_up()
        if sys.argv[1:] == ["--all"]:
            remove_all()
        else:
            close()
    except RdvError as error:
        print(f"tundev-cleanup: {error}", file=sys.stderr)
        return error.exit_code
    return 0
