"""A leg for tests."""

from __future__ import annotations

import ipaddress

from vtunlib.tunnel import VtunParameters

PARAMETERS = VtunParameters(
    tunnel_ip_network=ipaddress.IPv4Address("100.64.0.0"),
    tunnel_ip_prefix=30,
    tunnelling_dev_ip_address=ipaddress.IPv4Address("100.64.0.2"),
    rdv_server_ip_address=ipaddress.IPv4Address("100.64.0.1"),
    tunnel_name="rdv-0a1b2c3d-onsite",
    tunnel_secret="0f" * 32,
)
