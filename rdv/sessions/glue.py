"""What joins the two legs inside a session's namespace: desired network state, pure.

The namespace holds nothing but the legs. Its kernel parameters (forwarding on,
IPv6 off, no reverse path filter) are set by its unit, rdv-netns@.service, since
the manager may write no kernel parameter.
"""

from __future__ import annotations

import ipaddress

from rdv.access import enforcement
from rdv.sessions.session import Session
from vtunlib.network import Address, Bridge, Item, NftTable, Port, Route, Rule, Tun
from vtunlib.tunnel import Role, TunnelMode

ONSITE = str(Role.ONSITE)
MASTER = str(Role.MASTER)
"""The tunnel devices are named for their legs."""
BRIDGE = "join"
TABLE = "rdv"

_EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")
_REPLIES = 100
"""Routing table of what comes in from the onsite: it goes to the master, whatever it is addressed to."""
_REQUESTS = 101
"""Routing table of what comes in from the master: it goes to the onsite."""

# What the namespace itself takes: answers to our probe, and nothing of what a device sends by itself.
_INPUT = """
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established icmp type echo-reply accept
  }
"""

_TRANSLATED = f"""
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{ONSITE}" masquerade
  }}
"""

# No chain on the inet forward hook: with br_netfilter in the kernel, bridged IPv4 passes that hook too,
# and what may pass the bridge is said in its own family alone. The bridge has no address, so nothing is
# routed; the input chain without connection tracking keeps conntrack out of the bridge.
_BRIDGED = """
  chain input {
    type filter hook input priority filter; policy drop;
  }
"""


def desired(session: Session) -> list[Item]:
    """All network state of the session's namespace, in the order in which it is made.

    The rules come first: no packet passes before them.
    """
    far = session.reach, session.lan, session.dns
    # Without a group: who is not in the namespace cannot attach to what is in there.
    legs: list[Item] = [
        Tun(str(role), session.mode, session.leg(role).parameters.tunnel_mtu) for role in Role
    ]
    if session.mode is TunnelMode.L2:
        filtered = enforcement.bridged(*far)
        return [
            NftTable("inet", TABLE, _BRIDGED),
            *([NftTable("bridge", TABLE, filtered)] if filtered else []),
            *legs,
            Bridge(BRIDGE),
            Port(ONSITE, BRIDGE),
            Port(MASTER, BRIDGE),
        ]
    return [
        NftTable("inet", TABLE, _INPUT + enforcement.routed(*far) + _TRANSLATED),
        *legs,
        Address(ONSITE, session.onsite.parameters.rdv_interface),
        Address(MASTER, session.master.parameters.rdv_interface),
        # What the namespace says by itself is for the master: that something may not be reached.
        Route(_EVERYWHERE, link=MASTER),
        Route(_EVERYWHERE, link=ONSITE, table=_REQUESTS),
        Rule(_REQUESTS, iif=MASTER, table=_REQUESTS),
        # A master need not hide the technician's network: replies find back by where they came from.
        Route(_EVERYWHERE, link=MASTER, table=_REPLIES),
        Rule(_REPLIES, iif=ONSITE, table=_REPLIES),
    ]
