"""Takes away what a session's or an agent's end left, without memory of what was made.

What stays on purpose: the technician's port still leads nowhere but `unreachable`,
and the forward policy is drop. Only `--all`, when the package is removed, undoes that.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from tundev import config, firewall, leg, paths
from tundev.technician_port import TechnicianPort, bridged_port, replug
from vtunlib import units
from vtunlib.errors import RdvError
from vtunlib.network import Item, Network, forget
from vtunlib.network.kernel import Kernel


def clean_up() -> None:
    """Units, tunnel and bridge of a session, the files of enrolment and of TLS. Raises RdvError."""
    leg.stop()
    for file in (paths.ENROL_KEY, paths.TLS):
        file.unlink(missing_ok=True)
    with Kernel() as kernel:
        port = bridged_port(kernel)
        for link in (paths.LEG, paths.MASTER_BRIDGE):
            kernel.delete_link(link)
        if port is not None:
            replug(kernel, port)
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
    port = technician_port()
    table = firewall.master_idle(port.interface) if port else firewall.onsite_idle()
    Network().set([table])


def remove_all() -> None:
    """What stays behind on purpose, too."""
    items: list[Item] = [firewall.onsite_idle()]
    port = technician_port()
    if port is not None:
        items += [item for item in port.idle() if item.key != items[0].key]
    for unit in units.units_named(paths.DHCP_SERVICES):
        units.stop(unit)
    forget(items)


def technician_port() -> TechnicianPort | None:
    """The port that the configuration names; None on an onsite, or where it cannot be read."""
    try:
        master = config.load().master
    except RdvError:
        return None
    if master is None or master.interface == config.AUTO:
        return None
    return TechnicianPort(master.interface, master.extremity_subnet)


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
