"""What has gone through a session: the counters of its tunnel device on the onsite's side.

Bytes are those of IP packets (L3) or Ethernet frames (L2) without what vtun and SSH
add. The RDV's own questions through the legs (rdv.sessions.probing) are among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from rdv.sessions import glue
from vtunlib.errors import NotFound, RdvError
from vtunlib.namespace import inside
from vtunlib.network.kernel import Kernel


@dataclass(frozen=True)
class Traffic:
    """Bytes each way, since the session began."""

    to_onsite: int
    from_onsite: int


def read(namespace: str) -> Traffic | None:
    """The traffic of the session in that namespace; None where it, or its tunnel device, is gone.

    It blocks for some milliseconds: call it in a thread. Raises RdvError.
    """

    def count() -> Traffic | None:
        with Kernel() as kernel:
            link = kernel.link(glue.ONSITE)
        # The kernel hands over to vtund what is sent on the device, and receives what vtund writes.
        return None if link is None else Traffic(to_onsite=link.sent, from_onsite=link.received)

    try:
        return inside(namespace, count)
    except NotFound:
        return None


def known(namespace: str) -> Traffic | None:
    """The same, and None too where it cannot be read: for showing, and for the audit."""
    try:
        return read(namespace)
    except (RdvError, OSError):
        return None


async def of_all(namespaces: Iterable[str]) -> list[Traffic | None]:
    """The same of each of these, without keeping the loop."""
    return await asyncio.gather(*(asyncio.to_thread(known, namespace) for namespace in namespaces))
