"""QEMU's monitor (QMP): what a hand does to the machine from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.image.channel import Channel, Message
from tests.lab.process import LabError

DEADLINE = 20.0


class Monitor:
    """Commands and events, one after the other."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.events: list[Message] = []
        """All that came up to now, in their order."""
        self._channel.receive(DEADLINE)  # its greeting
        self.command("qmp_capabilities")

    def command(self, name: str, /, **arguments: Any) -> Any:
        """What the command returns; LabError with QEMU's own words where it is refused.

        An underscore in an argument's name is the hyphen of QEMU's.
        """
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._channel.send({"execute": name, "arguments": given})
        while True:
            message = self._channel.receive(DEADLINE)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise LabError(f"QEMU refuses {name}: {message['error']['desc']}")
            else:
                return message["return"]

    def wait_event(self, wanted: Callable[[Message], bool], *, what: str, deadline: float = DEADLINE) -> None:
        """Until an event comes, or has come, for which it is true."""
        until = time.monotonic() + deadline
        seen = 0
        while True:
            if any(wanted(event) for event in self.events[seen:]):
                return
            seen = len(self.events)
            try:
                message = self._channel.receive(max(0.0, until - time.monotonic()))
            except LabError as error:
                raise LabError(f"waiting until {what}: {error}") from None
            self.events.append(message)
