"""The guest agent: commands in the machine, over a virtio port and not over the network under test."""

from __future__ import annotations

import base64
import random
import shlex
import time
from collections.abc import Sequence
from typing import Any

from tests.image.channel import Channel
from tests.lab.process import LabError, Result

PORT = "org.qemu.guest_agent.0"
"""The port's name, which udev in the guest knows the agent by."""
DEADLINE = 240.0
"""Emulated, on a host that does other things too, each second of the guest may take ten."""
# Seconds; the agent tells no event when a command has ended, and says in the journal that it was asked.
EVERY = 0.1
SELDOM = 2.0
_DELIMITER = b"\xff"


class Agent:
    """qemu-guest-agent, as it answers on the port's socket."""

    def __init__(self, channel: Channel, machine: str) -> None:
        self._machine = machine
        self._channel = channel

    def greet(self, deadline: float) -> None:
        """Until it answers: what was said before, to it or to one that ran earlier, is over then."""
        number = random.randrange(2**31)  # noqa: S311  # a mark, no secret
        self._channel.send({"execute": "guest-sync", "arguments": {"id": number}}, before=_DELIMITER)
        until = time.monotonic() + deadline
        while self._channel.receive(max(0.0, until - time.monotonic())).get("return") != number:
            pass

    def _ask(self, name: str, **arguments: Any) -> Any:
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._channel.send({"execute": name, "arguments": given})
        answer = self._channel.receive(DEADLINE)
        if "error" in answer:
            raise LabError(f"{self._machine}: the guest agent refuses {name}: {answer['error']['desc']}")
        return answer["return"]

    def clock(self) -> float:
        """What the machine's clock says now; seconds since the epoch."""
        nanoseconds: int = self._ask("guest-get-time")
        return nanoseconds / 1e9

    def run(
        self, argv: Sequence[str], *, deadline: float = DEADLINE, stdin: str | None = None, check: bool = True
    ) -> Result:
        """Run a command to its end; LabError on a non-zero exit code unless check is False."""
        started = time.monotonic()
        given = {} if stdin is None else {"input_data": base64.b64encode(stdin.encode()).decode()}
        environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb"]
        asked = self._ask(
            "guest-exec", path=argv[0], arg=list(argv[1:]), env=environment, capture_output=True, **given
        )
        while not (state := self._ask("guest-exec-status", pid=asked["pid"]))["exited"]:
            if time.monotonic() - started > deadline:
                raise LabError(f"{self._machine}: no end within {deadline:g} s: {shlex.join(argv)}")
            time.sleep(max(EVERY, min(SELDOM, (time.monotonic() - started) / 10)))
        out, err = (
            base64.b64decode(state.get(name, "")).decode(errors="replace")
            for name in ("out-data", "err-data")
        )
        # Ended by a signal: as a shell says it.
        code = state.get("exitcode", 128 + state.get("signal", 0))
        result = Result(tuple(argv), code, out, err, time.monotonic() - started)
        return result.check(self._machine) if check else result
