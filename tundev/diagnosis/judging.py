"""What follows from the facts, a step at a time; pure."""

from __future__ import annotations

from tundev import paths
from tundev.advice import advice, of_port
from tundev.contract import Key, PortKey, PortState
from tundev.diagnosis.facts import Facts, Path
from tundev.diagnosis.findings import Finding, Step, Verdict
from tundev.states import ONLINE, State
from tundev.transport import Route
from vtunlib.errors import RdvError
from vtunlib.tunnel import TUNNEL_MTU, Role, TunnelMode

NO_SESSION = "no session is open"
NEEDS_ROOT = "only root may ask that"
_UNITS = {Role.MASTER: "masterdev", Role.ONSITE: "onsitedev"}


def _ok(step: Step, text: str) -> Finding:
    return Finding(step, Verdict.OK, text)


def _open(step: Step, text: str) -> Finding:
    return Finding(step, Verdict.OPEN, text)


def _failed(step: Step, text: str, todo: str = "") -> Finding:
    return Finding(step, Verdict.FAILED, text, todo)


def _error(step: Step, error: RdvError, todo: str = "") -> Finding:
    return _failed(step, error.message, error.hint or todo)


def configuration(facts: Facts) -> Finding:
    """Whether the agent can read what it needs."""
    if facts.fault is not None:
        return _error(Step.CONFIGURATION, facts.fault)
    assert facts.config is not None
    rdv = facts.config.rdv
    return _ok(Step.CONFIGURATION, f"{rdv.account} at {rdv.server}")


def adapter(facts: Facts) -> Finding:
    """The technician's port."""
    told = of_port(facts.port)
    if told is not None:
        return _failed(Step.ADAPTER, f"{told.title}. {told.text}", told.checks[0])
    assert facts.port is not None
    product = facts.port.get(PortKey.PRODUCT)
    name = str(facts.port.get(PortKey.INTERFACE))
    use = "in the session" if facts.port.get(PortKey.STATE) == PortState.BORROWED else "ready"
    return _ok(Step.ADAPTER, f"{name} ({product}), {use}" if product else f"{name}, {use}")


def lease(facts: Facts) -> Finding:
    """The laptop's address."""
    port = facts.port or {}
    if port.get(PortKey.STATE) == PortState.BORROWED and not port.get(PortKey.ADDRESS):
        return _open(Step.LEASE, "in L2 the laptop has its address from the customer's network")
    if not port.get(PortKey.LEASE):
        return _failed(
            Step.LEASE,
            "no laptop has asked for an address yet",
            "set the laptop's network card to DHCP ('obtain an address automatically'), and plug it in anew",
        )
    laptop = port.get(PortKey.LAPTOP) or "the laptop"
    moved = f"; another subnet than configured, for {port[PortKey.MOVED]}" if port.get(PortKey.MOVED) else ""
    return _ok(Step.LEASE, f"{laptop} has {port[PortKey.LEASE]}{moved}")


def uplink(facts: Facts) -> Finding:
    """This device's own network."""
    if facts.uplink is None:
        told = advice({Key.ROLE: facts.role, Key.STATE: State.LAN_WAIT}, facts.port)
        assert told is not None
        return _failed(Step.UPLINK, "no address and default route", told.checks[0])
    way = f", by {facts.gateway}" if facts.gateway else ""
    several = [f"; {line}" for line in (facts.status or {}).get(Key.UPLINKS, ())]
    return _ok(Step.UPLINK, f"{facts.uplink.link} has {facts.uplink.interface}{way}{''.join(several)}")


def bridge(facts: Facts) -> Finding:
    """What an L2 session is joined to."""
    assert facts.uplink is not None and facts.bridge is not None
    if not facts.bridge.there or not facts.uplink.bridged:
        return _open(Step.BRIDGE, f"the uplink {facts.uplink.link} is not in it, so L2 is not possible here")
    if not facts.bridge.plugged:
        return _failed(
            Step.BRIDGE,
            f"{paths.LAN_BRIDGE} has no port with a cable",
            "'systemctl restart tundev-uplink@onsite'",
        )
    return _ok(Step.BRIDGE, f"{paths.LAN_BRIDGE} with {' '.join(facts.bridge.plugged)}: L2 is possible")


def dns(facts: Facts) -> Finding:
    """The server's name."""
    asked = f" (DNS server {' '.join(facts.resolvers)})" if facts.resolvers else ""
    if facts.unresolved is not None:
        return _failed(Step.DNS, f"{facts.unresolved.message}{asked}", facts.unresolved.hint)
    if facts.addresses == [facts.name]:
        return _ok(Step.DNS, f"not needed: {facts.name} is an address")
    return _ok(Step.DNS, f"{facts.name} is {' '.join(facts.addresses)}{asked}")


def server(facts: Facts) -> Finding:
    """Whether it, or the proxy on the way, takes a connection by any of the ways."""
    taken = [way.text for way in facts.ways.values() if way.error is None]
    if taken:
        refusing = [way.error.message for way in facts.ways.values() if way.error is not None]
        return _ok(Step.SERVER, "; ".join([f"connections are taken by {' and '.join(taken)}", *refusing]))
    assert facts.explanation is not None
    return _error(Step.SERVER, facts.explanation)


def transport(facts: Facts) -> Finding:
    """Whether what carries the connection is let through."""
    status = facts.status or {}
    if status.get(Key.STATE) in ONLINE:
        note = f"; {status[Key.NOTE]}" if status.get(Key.NOTE) else ""
        return _ok(Step.TRANSPORT, f"connected by {status.get(Key.TRANSPORT)}{note}")
    tried = {route: way for route, way in facts.ways.items() if way.error is None}
    passing = [route for route, way in tried.items() if way.refused is None]
    if passing:
        odd = [tried[route].oddity for route in passing if tried[route].oddity]
        return _ok(Step.TRANSPORT, "; ".join([f"what gets through: {' and '.join(passing)}", *odd]))
    faults = [way.refused for way in tried.values() if way.refused is not None]
    text = "; ".join(f"by {route}: {way.refused.message}" for route, way in tried.items() if way.refused)
    return _failed(Step.TRANSPORT, text, faults[-1].hint if faults else "")


def shell(facts: Facts) -> Finding:
    """Whether the RDV server takes this device."""
    if facts.status is None:
        unit = _UNITS[facts.role]
        return _failed(Step.SHELL, f"{unit}.service does not run", f"'systemctl status {unit}' says why")
    if facts.status.get(Key.STATE) in ONLINE:
        return _ok(Step.SHELL, f"online as {facts.status.get(Key.ACCOUNT)}")
    failure = facts.status.get(Key.FAILURE)
    told = advice(facts.status, facts.port)
    if not failure or told is None:
        return _failed(Step.SHELL, f"not online yet, so far {facts.status.get(Key.STATE)}", "wait a moment")
    return _failed(Step.SHELL, str(failure), told.checks[0])


def tunnel(facts: Facts) -> Finding:
    """This end of it."""
    status = facts.status or {}
    if not status.get(Key.SESSION):
        return _open(Step.TUNNEL, NO_SESSION)
    if not facts.carrier:
        return _failed(
            Step.TUNNEL,
            "a session is open, but this end of its tunnel is down",
            "wait for it to come up; if it does not, the session ends by itself and says why",
        )
    far = f" with {status[Key.ONSITE]}" if status.get(Key.ONSITE) else ""
    return _ok(Step.TUNNEL, f"up, {status.get(Key.MODE)}{far}")


def far_end(facts: Facts) -> Finding:
    """The onsite's address on the customer's LAN, as the agent's own probe last found it."""
    status = facts.status or {}
    if status.get(Key.RTT_MS) is None:
        return _failed(
            Step.FAR_END,
            f"{status.get(Key.LAN, 'the onsite')} does not answer through the tunnel",
            "the onsite's network is gone or overloaded: is it still in 'masterdev list'?",
        )
    return _ok(Step.FAR_END, f"{status.get(Key.LAN)} answers in {status[Key.RTT_MS]} ms")


def lan(facts: Facts) -> Finding:
    """The customer's router, as the nearest that a technician would want to reach."""
    if not facts.gateway:
        return _open(Step.LAN, "there is no router to ask")
    if facts.gateway_answers is None:
        return _open(Step.LAN, f"not judged: {NEEDS_ROOT}")
    if not facts.gateway_answers:
        return _failed(
            Step.LAN,
            f"the router {facts.gateway} does not answer",
            "is the cable in the right socket? Does the network separate its devices from each other?",
        )
    return _ok(Step.LAN, f"the router {facts.gateway} answers")


def mtu(facts: Facts) -> Finding:
    """Whether whole packets pass, to the RDV server and through the tunnel."""
    if facts.uplink_path is None:
        return _open(Step.MTU, f"not judged: {NEEDS_ROOT}")
    through, carried = facts.tunnel_path, f"{_first_hop(facts)} {_carried(facts.uplink_path)}"
    if facts.uplink_path.largest and facts.uplink_path.largest < min(facts.uplink_path.known, TUNNEL_MTU):
        link = facts.uplink.link if facts.uplink else "the uplink"
        return _failed(
            Step.MTU,
            f"{carried}, and nobody says so: they are lost",
            "the network must let ICMP 'fragmentation needed' through; "
            f"until then: 'ip link set {link} mtu {facts.uplink_path.largest}'",
        )
    if through is not None and through.largest and through.largest < TUNNEL_MTU:
        return _failed(
            Step.MTU,
            f"through the tunnel {_carried(through)}, though its ends carry {TUNNEL_MTU}",
            "on the onsite, 'onsitedev diagnose' tells whether its uplink loses large packets",
        )
    words = [carried]
    if through is not None:
        words.append(f"through the tunnel {_carried(through)}")
    elif (facts.status or {}).get(Key.MODE) == TunnelMode.L2:
        words.append("in L2 this device has no address to ask from through the tunnel")
    known = facts.uplink_path.largest or (through is not None and through.largest)
    return Finding(Step.MTU, Verdict.OK if known else Verdict.OPEN, "; ".join(words))


def _first_hop(facts: Facts) -> str:
    """Where the path on the uplink leads."""
    opened = [route for route, way in facts.ways.items() if way.address]
    return "to the proxy" if opened[:1] == [Route.PROXY] else "to the RDV server"


def _carried(path: Path) -> str:
    if not path.largest:
        return "nothing comes back, so it is not known"
    return f"packets of {path.largest} bytes pass{'' if path.largest >= TUNNEL_MTU else ', no larger ones'}"
