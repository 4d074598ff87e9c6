"""Lines as a device sends them: bounded, UTF-8, and refused whole where they are not."""

from __future__ import annotations

import asyncio

from vtunlib import words
from vtunlib.errors import UsageError


class Lines:
    """The lines of a connection. A partial line before its end is none."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._overlong = False

    async def next(self) -> str:
        """The next line without its end. Raises EOFError, UsageError on a line that cannot be taken."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) >= words.LINE_LIMIT:
                self._buffer.clear()
                self._overlong = True
            data = await self._reader.read(words.LINE_LIMIT)
            if not data:
                raise EOFError
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        overlong, self._overlong = self._overlong or len(line) >= words.LINE_LIMIT, False
        if overlong:
            raise UsageError(f"the line is longer than {words.LINE_LIMIT} bytes")
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise UsageError("the line is not UTF-8") from None
