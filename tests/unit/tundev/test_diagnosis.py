"""What is said of each step of the way, by what was found out; and what is not said, and why not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface
from typing import Any

import pytest

from tundev.config import Config, Rdv
from tundev.config_values import Server
from tundev.contract import PortState
from tundev.diagnosis import judging
from tundev.diagnosis.facts import Bridge, Facts, Path, Way
from tundev.diagnosis.findings import Finding, Step, Verdict, lines
from tundev.diagnosis.walk import STAGES, blocked
from tundev.lan import Uplink
from tundev.states import State
from tundev.transport import Route
from vtunlib import errors
from vtunlib.tunnel import Role

CONFIG = Config(Rdv(Server("rdv.example.com"), "rpi1200", "ssh-ed25519 AAAA"))
UPLINK = Uplink("eth0", IPv4Interface("192.168.7.20/24"))
ONLINE: dict[str, Any] = {
    "role": "master",
    "account": "rpi1200",
    "state": State.SSH_CONNECTION_OK,
    "transport": "ssh",
    "session": False,
}
SESSION = {
    **ONLINE,
    "session": True,
    "mode": "L3",
    "onsite": "rpi1100",
    "lan": "192.168.1.20/24",
    "rtt_ms": 3.5,
}
PORT: dict[str, Any] = {
    "state": PortState.READY,
    "interface": "eth1",
    "product": "AX88179",
    "address": "192.168.38.225/29",
    "lease": "192.168.38.226",
    "laptop": "anna",
}
DIRECT = Way("rdv.example.com:2222", address="203.0.113.10")
TLS = Way("rdv.example.com:443", address="203.0.113.10")
LOST = errors.RdvUnreachable("no answer", "a firewall?")


def well(role: Role = Role.MASTER, **more: Any) -> Facts:
    """A device in a session with all as it should be; `more` is different."""
    facts = Facts(
        role,
        config=CONFIG,
        status=SESSION,
        port=PORT if role is Role.MASTER else None,
        uplink=UPLINK,
        gateway="192.168.7.1",
        bridge=Bridge(True, ("eth0",)),
        resolvers=["192.168.7.1"],
        name="rdv.example.com",
        addresses=["203.0.113.10"],
        ways={Route.SSH: DIRECT, Route.TLS: TLS},
        carrier=True,
        gateway_answers=True,
        uplink_path=Path(1500, 1500),
        tunnel_path=Path(1500, 1500) if role is Role.MASTER else None,
    )
    return replace(facts, **more)


def found(step: Step, facts: Facts) -> Finding:
    stages = {stage.step: stage for stage in STAGES[facts.role]}
    return stages[step].judge(facts)


@pytest.mark.parametrize("role", list(Role))
def test_where_all_is_as_it_should_be_each_step_says_so(role: Role) -> None:
    bridged = Uplink("tundev-lan", UPLINK.interface)
    facts = well(role, uplink=bridged) if role is Role.ONSITE else well(role)
    findings = [stage.judge(facts) for stage in STAGES[role]]
    assert [finding.verdict for finding in findings] == [Verdict.OK] * len(findings), findings
    assert not [finding for finding in findings if finding.todo]


@pytest.mark.parametrize("role", list(Role))
def test_a_step_needs_only_what_comes_before_it(role: Role) -> None:
    passed: set[Step] = set()
    for stage in STAGES[role]:
        assert set(stage.needs) <= passed
        assert stage.step not in passed
        passed.add(stage.step)


BROKEN: list[tuple[Step, dict[str, Any], str, str]] = [
    (Step.CONFIGURATION, {"fault": errors.ConfigError("line 3: account", "mend it")}, "line 3", "mend it"),
    (Step.ADAPTER, {"port": None}, "does not run", "systemctl status secondary-if-watcher"),
    (Step.ADAPTER, {"port": {"state": PortState.ABSENT}}, "none is there", "Plug the USB"),
    (Step.ADAPTER, {"port": {**PORT, "state": PortState.NO_CABLE}}, "eth1", "cable"),
    (Step.LEASE, {"port": {**PORT, "lease": None}}, "no laptop", "DHCP"),
    (Step.UPLINK, {"uplink": None}, "no address", "cable"),
    (Step.DNS, {"unresolved": errors.NameNotResolved("cannot be resolved", "DNS?")}, "192.168.7.1", "DNS?"),
    (
        Step.SERVER,
        {"ways": {Route.SSH: Way("x:2222", LOST)}, "explanation": LOST},
        "no answer",
        "a firewall?",
    ),
    (
        Step.TRANSPORT,
        {
            "status": {**ONLINE, "state": State.IP_ADDR_OK},
            "ways": {
                Route.SSH: Way("x:2222", LOST),
                Route.TLS: Way("x:443", refused=errors.TlsIntercepted("by 'Inspection'", "exempt it")),
            },
        },
        "by tls: by 'Inspection'",
        "exempt it",
    ),
    (Step.SHELL, {"status": None}, "masterdev.service does not run", "systemctl status masterdev"),
    (Step.SHELL, {"status": {**ONLINE, "state": State.RDVSERVER_TCP_OK}}, "so far RDVServer_TCP_OK", "wait"),
    (
        Step.SHELL,
        {
            "status": {
                **ONLINE,
                "state": State.IP_ADDR_OK,
                "failure": "key refused",
                "failure_class": "AuthenticationRefused",
            }
        },
        "key refused",
        "rdv-admin device show rpi1200",
    ),
    (Step.TUNNEL, {"carrier": False}, "down", "ends by itself"),
    (
        Step.FAR_END,
        {"status": {**SESSION, "rtt_ms": None}},
        "192.168.1.20/24 does not answer",
        "masterdev list",
    ),
    (Step.MTU, {"uplink_path": Path(1400, 1500)}, "1400 bytes", "ip link set eth0 mtu 1400"),
    (Step.MTU, {"tunnel_path": Path(1280, 1500)}, "through the tunnel packets of 1280", "onsitedev diagnose"),
]


@pytest.mark.parametrize(("step", "changes", "said", "todo"), BROKEN)
def test_what_fails_is_told_with_what_to_do(
    step: Step, changes: dict[str, Any], said: str, todo: str
) -> None:
    finding = found(step, well(**changes))
    assert finding.verdict is Verdict.FAILED
    assert said in finding.text and todo in finding.todo


def test_what_fails_on_an_onsite() -> None:
    bridged = Uplink("tundev-lan", UPLINK.interface)
    pulled = found(Step.BRIDGE, well(Role.ONSITE, uplink=bridged, bridge=Bridge(True)))
    assert (pulled.verdict, "no port" in pulled.text) == (Verdict.FAILED, True)
    router = found(Step.LAN, well(Role.ONSITE, gateway_answers=False))
    assert (router.verdict, "192.168.7.1" in router.text) == (Verdict.FAILED, True)


@pytest.mark.parametrize(
    ("step", "changes", "said"),
    [
        (Step.LEASE, {"port": {"state": PortState.BORROWED, "interface": "eth1"}}, "in L2"),
        (Step.TUNNEL, {"status": ONLINE}, "no session is open"),
        (Step.MTU, {"uplink_path": None, "tunnel_path": None}, "only root"),
        (Step.MTU, {"uplink_path": Path(0, 1500), "tunnel_path": None}, "not known"),
    ],
)
def test_what_cannot_be_judged_is_no_fault(step: Step, changes: dict[str, Any], said: str) -> None:
    finding = found(step, well(**changes))
    assert finding.verdict is Verdict.OPEN
    assert said in finding.text


def test_a_wireless_uplink_has_no_bridge_and_is_no_fault() -> None:
    finding = found(Step.BRIDGE, well(Role.ONSITE, bridge=Bridge(False)))
    assert (finding.verdict, "L2 is not possible" in finding.text) == (Verdict.OPEN, True)


def test_an_uplink_that_lost_the_way_by_one_port_is_well_by_the_other() -> None:
    finding = found(Step.SERVER, well(ways={Route.SSH: Way("x:2222", LOST), Route.TLS: TLS}))
    assert finding.verdict is Verdict.OK
    assert finding.text == "connections are taken by rdv.example.com:443; no answer"


def test_a_path_that_tells_its_size_is_no_fault() -> None:
    finding = found(Step.MTU, well(uplink_path=Path(1400, 1400)))
    assert finding.verdict is Verdict.OK
    assert "packets of 1400 bytes pass, no larger ones" in finding.text


def test_behind_a_proxy_it_is_the_proxy_that_is_measured() -> None:
    proxy = {Route.SSH: Way("x:2222", LOST), Route.PROXY: Way("10.0.0.1:3128", address="10.0.0.1")}
    assert found(Step.MTU, well(ways=proxy)).text.startswith("to the proxy packets of 1500 bytes pass")


def test_what_is_odd_about_a_certificate_is_told_though_it_passes() -> None:
    odd = replace(TLS, oddity="not valid yet by this clock")
    finding = found(Step.TRANSPORT, well(status={**ONLINE, "state": State.IP_ADDR_OK}, ways={Route.TLS: odd}))
    assert (finding.verdict, "not valid yet" in finding.text) == (Verdict.OK, True)


def test_a_server_given_by_its_address_needs_no_dns() -> None:
    finding = found(Step.DNS, well(name="203.0.113.10"))
    assert (finding.verdict, "is an address" in finding.text) == (Verdict.OK, True)


def test_a_step_whose_need_fails_says_which() -> None:
    stages = {stage.step: stage for stage in STAGES[Role.MASTER]}
    before = {need: Finding(need, Verdict.OK, "") for need in stages[Step.DNS].needs}
    assert blocked(stages[Step.DNS], before) is None
    before[Step.UPLINK] = Finding(Step.UPLINK, Verdict.FAILED, "no address")
    told = blocked(stages[Step.DNS], before)
    assert told == Finding(Step.DNS, Verdict.OPEN, "not judged: it needs the uplink, which fails")
    later = blocked(stages[Step.SERVER], {Step.DNS: told})
    assert later == replace(told, step=Step.SERVER)


def test_of_several_uplinks_each_is_told() -> None:
    uplinks = ["Ethernet eth0 in use", "modem wwan0 spare"]
    facts = Facts(Role.MASTER, status={"uplinks": uplinks}, uplink=UPLINK, gateway="192.168.7.1")
    assert judging.uplink(facts).text.endswith(", by 192.168.7.1; Ethernet eth0 in use; modem wwan0 spare")


def test_a_line_is_plain_where_signs_cannot_be_shown() -> None:
    finding = Finding(Step.DNS, Verdict.FAILED, "no\x1b[2Jname", "ask")
    plain, todo = lines(finding, signs=False)
    assert plain == "FAIL DNS            no?[2Jname"
    assert todo.index("->") == plain.index("no?")
    assert plain.isascii() and todo.isascii()
    assert lines(finding, signs=True)[0].startswith("✗ DNS ")
