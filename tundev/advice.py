"""What is wrong with a device, in words: what failed, and what a person can check.

Decided by the agent's status and the technician's port alone, so the page and the
commands say the same. Nothing is asked or looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tundev.advice_words import FAILURES, NO_NETWORK, OTHER_FAILURE, Advice
from tundev.contract import Key, PortKey, PortState
from tundev.states import ONLINE, State
from vtunlib.tunnel import Role


def advice(status: Mapping[str, Any] | None, port: Mapping[str, Any] | None) -> Advice | None:
    """The one thing to be told first; None where nothing is wrong.

    status: by contract.Key, port: by contract.PortKey; None where that service does not run.
    """
    if status is None:
        return Advice(
            "The agent does not run",
            "The service that connects this device to the RDV server does not run or does not answer.",
            [
                "'tundev-status' names file, line and key where it is a fault of the configuration.",
                "'systemctl status masterdev onsitedev' has its last words.",
            ],
        )
    if status.get(Key.SESSION):
        return None
    master = status.get(Key.ROLE) == Role.MASTER
    return of_connection(status) or (of_port(port) if master else None) or _of_ending(status)


def of_connection(status: Mapping[str, Any]) -> Advice | None:
    """What keeps the device from the RDV server; None where nothing does, or nothing has failed yet."""
    state = status.get(Key.STATE)
    if state in ONLINE:
        return None
    if state == State.LAN_WAIT:
        return NO_NETWORK[Role.ONSITE if status.get(Key.ROLE) == Role.ONSITE else Role.MASTER]
    failure = status.get(Key.FAILURE)
    if not failure:
        return None  # it is on its way, and nothing has failed yet
    found = FAILURES.get(str(status.get(Key.FAILURE_CLASS)), OTHER_FAILURE)
    words = {
        "server": status.get(Key.SERVER, "the RDV server"),
        "account": status.get(Key.ACCOUNT, "this device"),
        "uplink": status.get(Key.UPLINK, "the uplink"),
    }
    return Advice(
        found.title,
        f"{found.text.format(**words)} The device reports: {_ended(str(failure))}",
        [check.format(**words) for check in found.checks],
    )


def _ended(sentence: str) -> str:
    """With the full stop that it may have, as a question has its own."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def of_port(port: Mapping[str, Any] | None) -> Advice | None:
    """What keeps a laptop from the technician's port; None where nothing does."""
    if port is None:
        return Advice(
            "The technician's port is not served",
            "The service that looks after the USB-Ethernet adapter does not run: no laptop gets an address, "
            "and no session can be opened.",
            ["'systemctl status secondary-if-watcher' on the master has its last words."],
        )
    state = port.get(PortKey.STATE)
    if state in (PortState.READY, PortState.BORROWED):
        return None
    return _PORT[PortState(state)](port) if state in _PORT else None


def _absent(port: Mapping[str, Any]) -> Advice:
    others = port.get(PortKey.LEFT_ALONE) or []
    seen = f" Plugged in and not used: {', '.join(others)}." if others else ""
    return Advice(
        "No adapter is plugged in",
        f"The technician's port is a USB-Ethernet adapter at the master, and none is there.{seen}",
        [
            "Plug the USB-Ethernet adapter into the master, and the laptop into the adapter.",
            "Is it plugged in? Try another USB port or another adapter.",
            "An adapter that is not known as one can be named: 'interface' in [master] of tundev.toml.",
        ],
    )


def _no_cable(port: Mapping[str, Any]) -> Advice:
    return Advice(
        "No laptop at the adapter",
        f"The adapter {_adapter(port)} is there, but nothing is plugged into it.",
        [
            "Plug the network cable into the adapter and into the laptop; both link lights must come on.",
            "Is the laptop awake, and its network card switched on?",
            "Try another cable.",
        ],
    )


def _checking(port: Mapping[str, Any]) -> Advice:
    # A reason is there where it takes longer, and says how long.
    why = port.get(PortKey.REASON) or (
        "looking whether it leads to a laptop, and not to some network. This takes a few seconds"
    )
    return Advice(
        "The adapter is being looked at",
        f"Before {_adapter(port)} is used: {why}.",
        ["Wait a moment. If it stays so, pull the adapter out and plug it in again."],
    )


def _refused(port: Mapping[str, Any]) -> Advice:
    why = port.get(PortKey.REASON) or "another network answers on it"
    return Advice(
        "The adapter is plugged into a network, not into a laptop",
        f"{_adapter(port)} is not used: {why}. Handing out addresses there would disturb that network.",
        [
            "Pull its cable out of the wall socket or switch, and plug it straight into the laptop.",
            "Does the laptop share its connection, or bridge two networks? Switch that off.",
            "Then pull the adapter out and plug it in again.",
        ],
    )


_PORT = {
    PortState.ABSENT: _absent,
    PortState.NO_CABLE: _no_cable,
    PortState.CHECKING: _checking,
    PortState.REFUSED: _refused,
}


def _adapter(port: Mapping[str, Any]) -> str:
    name, product = port.get(PortKey.INTERFACE, "the adapter"), port.get(PortKey.PRODUCT)
    return f"{name} ({product})" if product else str(name)


def _of_ending(status: Mapping[str, Any]) -> Advice | None:
    ended = status.get(Key.ENDED)
    if not ended or status.get(Key.ENDED_AS_WISHED):
        return None
    return Advice(
        "The session was cut off",
        f"It ended by something else than your wish: {_ended(str(ended))}",
        [
            "Is the onsite in the list? Then connect again.",
            "It is not? Then it has lost its network or its power: it comes back by itself when these do.",
            "Is it cut off again and again? 'masterdev diagnose' during a session shows what is weak.",
        ],
    )
