"""Bringing the network of a namespace to a desired state, and back."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from contextlib import suppress

from vtunlib import namespace as namespaces
from vtunlib.errors import NotFound, RdvError
from vtunlib.network.item import Item
from vtunlib.network.kernel import Kernel

log = logging.getLogger(__name__)


class Network:
    """What one owner wants of the network of a namespace; None is the caller's own.

    Synchronous: call it by asyncio.to_thread where a loop runs, and not from two
    threads at once. As a context manager it clears when left.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace
        self._done: dict[Hashable, tuple[Item, str | None]] = {}

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @property
    def items(self) -> tuple[Item, ...]:
        """What is set now, in the order in which it was done."""
        return tuple(item for item, _ in self._done.values())

    def set(self, items: Sequence[Item]) -> None:
        """Make `items` so, in order, after undoing in reverse what was set and is in them no more.

        Repeating it changes nothing, and repairs what was taken away meanwhile.
        Raises the first RdvError, NotFound without the namespace; what was done
        until then stays set, so that `clear` takes it away.
        """
        namespaces.inside(self.namespace, self._set, tuple(items))

    def adopt(self, items: Sequence[Item]) -> None:
        """Count `items` as set without touching them: an earlier process of this owner did it.

        `clear` then takes them away, or `set` what is in its items no more.
        """
        for item in items:
            self._done.setdefault(item.key, (item, None))

    def clear(self) -> None:
        """Undo all, in reverse. What is gone already, the namespace included, is no error.

        An item that cannot be undone does not keep the others, and stays set; the
        first error is raised at the end.
        """
        if self._done and namespaces.exists(self.namespace):
            with suppress(NotFound):  # it went this moment
                namespaces.inside(self.namespace, self._set, ())
        if not namespaces.exists(self.namespace):
            self._done.clear()

    def _set(self, items: tuple[Item, ...]) -> None:
        wanted = {item.key for item in items}
        if len(wanted) != len(items):
            raise RdvError("the desired network state names something twice")
        with Kernel() as kernel:
            self._undo(kernel, [key for key in reversed(self._done) if key not in wanted])
            former = {key: memory for key, (_, memory) in self._done.items()}
            for item in items:
                # Noted first: also what is only half done must be undone.
                self._done.pop(item.key, None)
                self._done[item.key] = (item, former.get(item.key))
                memory = item.do(kernel)
                if former.get(item.key) is None:
                    self._done[item.key] = (item, memory)

    def _undo(self, kernel: Kernel, keys: list[Hashable]) -> None:
        first: RdvError | None = None
        for key in keys:
            item, former = self._done[key]
            try:
                item.undo(kernel, former)
            except RdvError as error:
                log.warning("cannot undo %s: %s", item, error)
                first = first or error
            else:
                del self._done[key]
        if first is not None:
            raise first


def forget(items: Sequence[Item], namespace: str | None = None) -> None:
    """Undo `items` that a process that is dead by now has set. Raises as Network.clear."""
    network = Network(namespace)
    network.adopt(items)
    network.clear()
