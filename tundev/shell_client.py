"""The device's end of the tundev shell: sends command lines, tells answers apart.

Lines are written at once and answered in order, so several may be under way:
that saves round trips, and it is how a wait is ended (any line sent during a
wait ends it). pexpect reads in a thread of its own, for its asyncio support is
broken from Python 3.11 on; the loop never blocks on it.

What the server says is not trusted: an answer has a size, a deadline, and no
control characters.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pexpect
from pexpect import fdpexpect

from vtunlib import words
from vtunlib.errors import ProtocolError, RdvError, RdvUnreachable, Timeout, from_shell
from vtunlib.words import Wait, Word

log = logging.getLogger(__name__)

OPEN_SECONDS = 30.0
"""How long the first prompt may take: TCP, keys and login on a slow link."""
ANSWER_SECONDS = 15.0
WAIT_GRACE = 15.0
"""Seconds added to WAIT_SECONDS until a wait without an answer counts as a dead connection."""
ANSWER_LIMIT = 4 * 1024 * 1024
"""Characters of one answer: thousands of onsites with all that is known of each."""

_NOT_LOGGED = "tunnel_secret:"
"""How the one line of an answer begins that is in no log."""
_WAITS = frozenset({Word.WAIT_CHANGE, Word.WAIT_MASTER_CONNECTION})

Command = tuple[Word, Sequence[str]]


@dataclass
class _UnderWay:
    """A line that was sent and is not answered yet."""

    line: str
    deadline: float
    answer: asyncio.Future[list[str]] = field(repr=False)


class _Stream(fdpexpect.fdspawn):  # type: ignore[misc]
    """A descriptor for pexpect that counts what came in since the last prompt."""

    unanswered = 0

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        data: str = super().read_nonblocking(size, timeout)
        self.unanswered += len(data)
        if self.unanswered > ANSWER_LIMIT:
            raise ProtocolError(f"the RDV's answer is longer than {ANSWER_LIMIT} characters")
        return data


class Shell:
    """The tundev shell of `account` at the other end of `sock`, which it owns from now on.

    An async context manager: entered, the first prompt was seen. Raises
    RdvUnreachable where the connection ends, or what the server said before it
    ended it; Timeout; ProtocolError.
    """

    def __init__(self, sock: socket.socket, account: str, *, open_seconds: float = OPEN_SECONDS) -> None:
        self._sock = sock
        self._prompt = re.compile(r"(?:\A|\n)" + re.escape(words.prompt(account)))
        self._open_seconds = open_seconds
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._queue: queue.SimpleQueue[_UnderWay | None] = queue.SimpleQueue()
        self._under_way: list[_UnderWay] = []
        self._lost: RdvError | None = None
        self._thread = threading.Thread(target=self._read, name="tundev-shell", daemon=True)

    async def __aenter__(self) -> Shell:
        self._sock.setblocking(False)
        self._thread.start()
        try:
            await self._opened
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; what is under way fails."""
        self._fail(RdvUnreachable("the connection to the RDV server was closed"))
        with suppress(OSError):  # the other end was faster
            self._sock.shutdown(socket.SHUT_RDWR)
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        self._sock.close()

    async def ask(self, word: Word, *arguments: str) -> list[str]:
        """The lines of the answer. Raises the RdvError that the server answered."""
        return await self.send([(word, arguments)])[0]

    async def wait(self, word: Word) -> Wait:
        """The answer of one of the two waits. Raises ProtocolError on any other word."""
        lines = await self.ask(word)
        try:
            return Wait(lines[0] if lines else "")
        except ValueError:
            raise ProtocolError(f"the RDV answered {word} with {' '.join(lines)!r}") from None

    def send(self, commands: Sequence[Command]) -> list[asyncio.Future[list[str]]]:
        """Write the command lines in one go; each future is the answer to one of them.

        A future that nobody awaits is no error. Raises UsageError on what is no
        command line, and what the connection was lost by.
        """
        composed = [(word, words.compose(word, *arguments)) for word, arguments in commands]
        if self._lost is not None:
            raise self._lost
        under_way = []
        for word, line in composed:
            deadline = words.WAIT_SECONDS + WAIT_GRACE if word in _WAITS else ANSWER_SECONDS
            answer: asyncio.Future[list[str]] = self._loop.create_future()
            answer.add_done_callback(_retrieve)
            under_way.append(_UnderWay(line, deadline, answer))
        data = "".join(f"{line}\n" for _, line in composed).encode()
        try:
            sent = self._sock.send(data)
        except OSError:
            sent = 0
        if sent != len(data):
            # ssh takes nothing any more, or is gone; half a line cannot be taken back.
            lost = RdvUnreachable("the connection to the RDV server takes nothing any more")
            self._fail(lost)
            raise lost
        self._under_way += under_way
        for item in under_way:
            log.debug("sent: %s", item.line)
            self._queue.put(item)
        return [item.answer for item in under_way]

    # In the thread

    def _read(self) -> None:
        stream = _Stream(
            self._sock.fileno(), maxread=65536, encoding="utf-8", codec_errors="replace", use_poll=True
        )
        stream.delayafterread = None
        try:
            self._answer(stream, self._open_seconds)
            self._call(self._settle_opened)
            while (item := self._queue.get()) is not None:
                self._call(self._settle, item, self._answer(stream, item.deadline))
        except (pexpect.EOF, OSError):  # OSError: ssh has ended with a line of ours unread (unix(7))
            self._call(self._fail, _last_words(str(stream.before)))
        except pexpect.TIMEOUT:
            self._call(self._fail, Timeout("the RDV server does not answer"))
        except RdvError as error:
            self._call(self._fail, error)
        except Exception as error:
            log.exception("reading from the RDV server failed")
            self._call(self._fail, RdvError(f"reading from the RDV server failed: {error}"))

    def _answer(self, stream: _Stream, deadline: float) -> str:
        stream.unanswered = 0
        stream.expect([self._prompt], timeout=deadline)
        return str(stream.before)

    def _call(self, function: object, *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, so nobody waits any more
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]

    # In the loop

    def _settle_opened(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _settle(self, item: _UnderWay, answer: str) -> None:
        if item in self._under_way:
            self._under_way.remove(item)
        if item.answer.done():
            return
        lines = answer.splitlines() if answer else []
        told = [_NOT_LOGGED if line.startswith(_NOT_LOGGED) else line for line in lines]
        log.debug("answered: %s: %r", item.line, told)
        error: RdvError | None = from_shell(lines[0]) if lines else None
        if error is None and any(not line.isprintable() for line in lines):
            error = ProtocolError("the RDV's answer holds control or unprintable characters")
        if error is not None:
            item.answer.set_exception(error)
        else:
            item.answer.set_result(lines)

    def _fail(self, error: RdvError) -> None:
        if self._lost is None:
            self._lost = error
        if not self._opened.done():
            self._opened.set_exception(self._lost)
            self._opened.exception()
        while self._under_way:
            item = self._under_way.pop()
            if not item.answer.done():
                item.answer.set_exception(self._lost)


def _retrieve(answer: asyncio.Future[list[str]]) -> None:
    if not answer.cancelled():
        answer.exception()


def _last_words(text: str) -> RdvError:
    """Why the server closed the connection, where it said so."""
    for line in reversed(text.splitlines()):
        error = from_shell(line.strip())
        if error is not None:
            return error
    return RdvUnreachable("the RDV server closed the connection")
