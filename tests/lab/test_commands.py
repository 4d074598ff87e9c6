"""A technician's command and the agent behind it: interrupted, killed, stopped, run by hand."""

from __future__ import annotations

import signal
from ipaddress import IPv4Address

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.test_kills import kill, main_pid
from tests.lab.test_sessions import account, listed, session
from tests.lab.test_wrong_input import stopped
from tests.lab.topology import CAMERA, RDV_NAME
from vtunlib.errors import NotAllowed, SessionFailed, UsageError

SERVICE = "masterdev.service"
PORT_ADDRESS = IPv4Address("192.168.38.225")


def test_ctrl_c_before_the_session_is_up_frees_the_onsite_at_once(lab: Lab) -> None:
    onsite = account(lab, 0)
    with lab.master.start(["masterdev", "connect", onsite]) as command:
        command.wait_line("asking the RDV", deadline=30)
        command.signal(signal.SIGINT)
        assert command.wait(deadline=15) == 130
    assert not listed(lab)
    with session(lab.master, onsite, "L3"):
        assert [row["state"] for row in listed(lab)] == ["up"]


def test_an_agent_that_is_killed_ends_the_command_that_waits(lab: Lab) -> None:
    with lab.master.start(["masterdev", "connect", account(lab, 0)]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=30)
        kill(lab.master, main_pid(lab.master, SERVICE))
        command.wait_line("the session is over", deadline=15)
        assert command.wait(deadline=15) == SessionFailed.exit_code


def test_a_stopped_agent_leaves_the_laptop_nowhere_to_go(lab: Lab) -> None:
    with lab.master.start(["masterdev", "connect", account(lab, 0)]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=30)
        lab.laptop.dhcp()
        assert lab.laptop.ping(str(CAMERA)).code == 0
        with stopped(lab.master, SERVICE):
            command.wait_line("the session is over", deadline=15)
            assert command.wait(deadline=15) == SessionFailed.exit_code
            wait_until(lambda: not listed(lab), what="the session is over at the RDV", deadline=15)
            assert lab.laptop.ping(str(PORT_ADDRESS)).code == 0
            uplink = lab.master.run(["ip", "-4", "route", "show", "default"]).out.split()
            for address in (str(CAMERA), uplink[uplink.index("via") + 1]):
                assert lab.laptop.ping(address).code != 0


def test_an_agent_killed_in_l2_gives_the_port_its_addresses_back(lab: Lab) -> None:
    with session(lab.master, account(lab, 0), "L2"):
        kill(lab.master, main_pid(lab.master, SERVICE))
        wait_until(
            lambda: (
                "tundev-dhcp@" in lab.master.run(["systemctl", "list-units", "--plain", "tundev-dhcp@*"]).out
            ),
            what="the port's addresses are served again",
            deadline=30,
            every=0.2,
        )
        assert lab.laptop.dhcp().server == PORT_ADDRESS


def test_without_the_service_the_flags_run_an_agent_for_the_command(lab: Lab) -> None:
    own, onsite = lab.plan.desks[0].account, account(lab, 0)
    flags = ["masterdev", "-u", own, "-R", RDV_NAME]
    assert onsite in lab.master.run([*flags, "-l"]).out
    other = lab.master.run(["masterdev", "-u", "rpi9999", "-R", RDV_NAME, "-l"], check=False)
    assert other.code == UsageError.exit_code and "systemctl stop masterdev" in other.err
    with stopped(lab.master, SERVICE):
        assert onsite in lab.master.run([*flags, "-l"], deadline=60).out
        told = lab.master.run([*flags, "-o", onsite, "-t", "2"], deadline=60).out
        assert f"connected to {onsite}" in told and "the time limit of 2 s is over" in told


def test_who_lists_the_onsites_hears_when_to_list_them_anew(lab: Lab) -> None:
    rule = "type='signal',interface='org.rdv.MasterDev1',member='OnsitesChanged'"
    with lab.master.start(["dbus-monitor", "--system", rule]) as signals:
        signals.wait_line("NameAcquired", deadline=15)
        with stopped(lab.onsite, "onsitedev.service"):
            signals.wait_line("OnsitesChanged", deadline=30)


def test_who_is_not_in_the_group_is_told_so(lab: Lab) -> None:
    done = lab.master.run(["runuser", "-u", "nobody", "--", "masterdev", "list"], check=False)
    assert done.code == NotAllowed.exit_code
    assert (
        done.err.strip()
        == "masterdev: you may not ask the agent; run it as root, or as a member of the group tundev"
    )
