"""Which requests are the page's own: pure.

Every other page in the laptop's browser can send requests here too. It cannot choose the Host, and
what it sends says so in Origin; it can neither read our answers, and with them the token, nor have
its browser send the token's header or JSON to another origin without asking us first, which we
never allow.
"""

from __future__ import annotations

from collections.abc import Mapping

from tundev.web.places import NAME, Kind, Place

CSRF = "X-CSRF"
"""The header that carries a visitor's token."""
HTTP_PORT = 80
JSON = "application/json"


class Refused(Exception):
    """A request that is not answered: HTTP status, what is wrong, for a person, and headers."""

    def __init__(
        self, status: int, text: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.hint = hint
        self.headers = headers or {}


def authorities(place: Place, port: int) -> set[str]:
    """What a Host header may say for the page in this place."""
    hosts = [str(place.address), *([NAME] if place.kind is Kind.PORT else [])]
    spelled = {f"{host}:{port}" for host in hosts}
    return spelled | set(hosts) if port == HTTP_PORT else spelled


def check_host(headers: Mapping[str, str], place: Place, port: int) -> None:
    """A name of elsewhere that was made to lead here (DNS rebinding) is not the page's. Raises Refused."""
    if headers.get("Host", "").lower() not in authorities(place, port):
        raise Refused(421, "this is not the page's address", f"it is {place.url}")


def check_origin(headers: Mapping[str, str]) -> None:
    """A browser names the page that asks, where it names one at all. Raises Refused.

    Sec-Fetch-Site is sent to trustworthy addresses only, so on plain HTTP it is seldom there.
    """
    origin = headers.get("Origin")
    own = f"http://{headers.get('Host', '').lower()}"
    if origin is not None and origin.lower() != own:
        raise Refused(403, "another page asks for this", "use the page itself")
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, "another page asks for this", "use the page itself")


def check_form(headers: Mapping[str, str]) -> None:
    """An HTML form cannot send JSON. Raises Refused."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Refused(415, f"expected Content-Type: {JSON}")
