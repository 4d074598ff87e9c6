"""Tells the kernel in which country the device's Wi-Fi sends: on which channels, and how strongly, it may.

What is said holds until the next boot, also for an interface that is plugged in later. Read
by the kernel in its own file of rules (package wireless-regdb).
"""

from __future__ import annotations

import errno
import os

from vtunlib.errors import NotFound, RdvError


def send_in(country: str) -> None:
    """country: ISO 3166. Raises NotFound where the kernel has no Wi-Fi, RdvError where it refuses.

    The kernel loads its Wi-Fi for the question alone (module alias of the family nl80211).
    """
    from pyroute2.iwutil import IW
    from pyroute2.netlink.exceptions import NetlinkError

    IW.module_err_level = "debug"  # of pyroute2's: what it says of a missing family is said here
    try:
        with IW() as radio:
            radio.set_regulatory_domain(country)
    except NetlinkError as error:
        raise refusal(country, error.code) from None


def refusal(country: str, code: int) -> RdvError:
    """code: of errno(3), or one that only the kernel has, as ENOTSUPP."""
    if code == errno.ENOENT:
        return NotFound(f"this kernel has no Wi-Fi that could be told of the country {country}")
    return RdvError(f"the kernel refuses the country {country}: {os.strerror(code)}")
