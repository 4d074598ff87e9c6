"""Who visits the page: a cookie each, a token bound to it, and whether the PIN was given.

A cookie is ours if it carries our mark, so nothing is kept for who only looks. What is kept is who
has given the PIN; it is gone with the process, and so is the mark.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

COOKIE = "tundev"
SIGNED_IN = 64
"""So many at once; the one that has not been seen for longest makes room."""
IDLE = 12 * 3600.0
"""Seconds without a request after which the PIN is asked for again: a working day."""


class Visitors:
    """All of them. `now` is of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._seen: dict[str, float] = {}

    def cookie(self) -> str:
        """A new one: 256 random bits and our mark on them."""
        random = secrets.token_urlsafe(32)
        return f"{random}.{self._mark('cookie', random)}"

    def knows(self, cookie: str | None) -> bool:
        """Whether it is one of ours."""
        random, _, mark = (cookie or "").partition(".")
        return hmac.compare_digest(_bytes(mark), self._mark("cookie", random).encode())

    def token(self, cookie: str) -> str:
        """What a page that may read our answers, and no other, can send along with this cookie."""
        return self._mark("token", cookie)

    def holds(self, cookie: str, token: str | None) -> bool:
        """Whether the token is this cookie's."""
        return hmac.compare_digest(_bytes(token or ""), self.token(cookie).encode())

    def sign_in(self, former: str | None, now: float) -> str:
        """The cookie of who has given the PIN: a new one, for the former may be somebody else's gift."""
        if former is not None:
            self._seen.pop(former, None)
        while len(self._seen) >= SIGNED_IN:
            del self._seen[min(self._seen, key=self._seen.__getitem__)]
        cookie = self.cookie()
        self._seen[cookie] = now
        return cookie

    def is_signed_in(self, cookie: str | None, now: float) -> bool:
        """Whether its holder has given the PIN, and was here not too long ago."""
        seen = self._seen.get(cookie or "")
        if cookie is None or seen is None:
            return False
        if now - seen > IDLE:
            del self._seen[cookie]
            return False
        self._seen[cookie] = now
        return True

    def _mark(self, use: str, text: str) -> str:
        return hmac.new(self._key, _bytes(f"{use}:{text}"), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    """Of a header, in which bytes that are no UTF-8 stand as surrogates."""
    return text.encode(errors="surrogatepass")
