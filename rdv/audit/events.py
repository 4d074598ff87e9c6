"""What can happen that an admin will want to read later: the vocabulary of the audit store.

Whoever makes something happen calls a `Record` with an Event. Texts that came from
a device are kept as they are and made printable where they are shown.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened. The words are what `rdv-admin audit` shows and `--json` has: never rename one."""

    DEVICE_ADDED = "device-added"
    DEVICE_REMOVED = "device-removed"
    DEVICE_DISABLED = "device-disabled"
    DEVICE_ENABLED = "device-enabled"
    KEY_SET = "key-set"
    """The admin set another key by hand. more: fingerprint."""
    BUNDLE_ISSUED = "bundle-issued"
    """A one-time key. more: fingerprint, valid_until, cut_off (whether the present key is good no more)."""
    ENROLLED = "enrolled"
    """more: fingerprint (of the device's own key), one_time (the fingerprint used), address."""
    REFUSED = "refused"
    """A login or an enrolment that was refused. more: why, address, transport, fingerprint; times (how
    often, where it is the same again within an hour);
    left_out (how many refusals before it were not kept, in a flood of them)."""
    CLONE = "clone"
    """Two places take one identity over from each other. more: addresses."""
    ONLINE = "online"
    """more: role, address, transport (ssh or tls), as far as known; connection (which one it is)."""
    OFFLINE = "offline"
    """more: why."""
    SESSION_OPENED = "session-opened"
    """device: the onsite. more: master, mode, reason, rule."""
    SESSION_UP = "session-up"
    """more: seconds (from opened to up)."""
    SESSION_ENDED = "session-ended"
    """more: master, mode, reason, started, why, to_onsite and from_onsite (bytes, absent where unknown)."""
    SESSION_REFUSED = "session-refused"
    """device: the onsite asked for, as it was asked for. more: master, error (its class), why, left_out."""
    DRAIN = "drain"
    """more: on (whether new sessions are refused from now on), reason."""
    BACKED_UP = "backed-up"
    """A backup, which holds the private keys, was written. more: devices (how many)."""
    RESTORED = "restored"
    """What comes before this was the backup's host's. more: host, made, version, devices."""


@dataclass(frozen=True)
class Event:
    """One thing that happened. device: account, empty where it is about none; session: its id.

    more: values of JSON.
    """

    kind: Kind
    device: str = ""
    session: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))


Record = Callable[[Event], None]
"""Takes an event to be kept; never blocks and raises nothing."""


def forget(_event: Event) -> None:
    """A Record that keeps nothing: for who has no store."""
