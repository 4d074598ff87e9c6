"""The page over HTTP: which request gets what answer. What is refused before that is in guard."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from tundev.web import bodies, guard, state
from tundev.web.assets import INDEX, Asset
from tundev.web.guard import Refused
from tundev.web.listener import Connection
from tundev.web.page import Page
from tundev.web.places import Kind
from tundev.web.throttle import Throttle
from tundev.web.visitors import COOKIE, Visitors
from vtunlib.errors import NotAllowed, RdvError, UsageError
from vtunlib.version import VERSION

BODY_SECONDS = 10.0
"""From a request's head to the end of its body."""
SLOW_SECONDS = 10.0
"""How long who looks may take to take an event."""

HEADERS = {
    # connect-src: a page that has moved asks its new address whether it is there.
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' http:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "masterdev-web",
}
_STATUS: dict[type[RdvError], int] = {UsageError: 400, NotAllowed: 403}
_OTHER_STATUS = 409

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class App:
    """The handlers."""

    def __init__(self, page: Page, assets: Mapping[str, Asset]) -> None:
        self._page = page
        self._assets = assets
        self._visitors = Visitors()
        # Of each place its own: whoever tries PINs on the LAN keeps nobody at the adapter out.
        self._throttles = {kind: Throttle() for kind in Kind}
        self._judging = asyncio.Lock()

    def application(self) -> web.Application:
        """For aiohttp's runner."""
        made = web.Application(middlewares=[self._guarded], client_max_size=bodies.LONGEST)
        made.on_response_prepare.append(_prepare)
        made.add_routes(
            [
                web.get("/", self._index),
                web.get("/static/{name:.+}", self._static),
                web.get("/api/session", self._session),
                web.get("/api/state", self._state),
                web.get("/api/events", self._events, allow_head=False),
                web.post("/api/login", self._login),
                web.post("/api/connect", self._connect),
                web.post("/api/disconnect", self._disconnect),
            ]
        )
        return made

    # before and after each request

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection(request).asked()
        try:
            self._check(request)
            return await handler(request)
        except Refused as refused:
            told = state.error(NotAllowed.__name__, refused.text, refused.hint)
            return web.json_response(told, status=refused.status, headers=refused.headers)
        except RdvError as error:
            return web.json_response(state.told(error), status=_STATUS.get(type(error), _OTHER_STATUS))
        except web.HTTPException as answer:
            told = state.error(UsageError.__name__, answer.reason)
            allow = {"Allow": answer.headers["Allow"]} if "Allow" in answer.headers else {}
            return web.json_response(told, status=answer.status, headers=allow)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("a request to the page failed")
            return web.json_response(state.error("RdvError", "internal error"), status=500)

    def _check(self, request: web.Request) -> None:
        """Raises Refused."""
        listener = connection(request).listener
        guard.check_host(request.headers, listener.place, listener.port)
        if request.path.startswith("/api/"):
            guard.check_origin(request.headers)
        if request.method == "POST":
            guard.check_form(request.headers)
            if not self._visitors.holds(self._own_cookie(request), request.headers.get(guard.CSRF)):
                raise _not_own()

    def _own_cookie(self, request: web.Request) -> str:
        """Of one that has asked for a session. Raises Refused."""
        cookie = request.cookies.get(COOKIE)
        if cookie is None or not self._visitors.knows(cookie):
            raise _not_own()
        return cookie

    def _need_pin(self, request: web.Request) -> None:
        if not self._signed_in(request):
            raise Refused(401, "the PIN is asked for first", "sign in")

    def _signed_in(self, request: web.Request) -> bool:
        if self._page.settings.pin is None:
            return True
        return self._visitors.is_signed_in(request.cookies.get(COOKIE), _now())

    # the page's files

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return _asset(request, self._assets[INDEX])

    async def _static(self, request: web.Request) -> web.StreamResponse:
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        return _asset(request, asset)

    # who looks

    async def _session(self, request: web.Request) -> web.StreamResponse:
        cookie = request.cookies.get(COOKIE)
        if cookie is None or not self._visitors.knows(cookie):
            cookie = self._visitors.cookie()
        return self._welcome(request, cookie, signed_in=self._signed_in(request))

    async def _login(self, request: web.Request) -> web.StreamResponse:
        pin = bodies.pin(await _body(request))
        proof, place = self._page.settings.pin, connection(request).listener.place
        if proof is None:
            raise UsageError("no PIN is asked for here")
        throttle = self._throttles[place.kind]
        async with self._judging:  # one at a time: it is much work on purpose
            if wait := throttle.take(_now()):
                seconds = math.ceil(wait)
                hint = f"try again in {seconds} s"
                raise Refused(429, "too many wrong PINs", hint, {"Retry-After": str(seconds)})
            right = await asyncio.to_thread(proof.matches, pin)
        if not right:
            log.warning("a wrong PIN from %s", request.remote)
            raise NotAllowed("this is not the PIN", "it is in [web] of the master's tundev.toml")
        throttle.right()
        log.info("signed in from %s", request.remote)
        cookie = self._visitors.sign_in(request.cookies.get(COOKIE), _now())
        return self._welcome(request, cookie, signed_in=True)

    def _welcome(self, request: web.Request, cookie: str, *, signed_in: bool) -> web.StreamResponse:
        answer = web.json_response(
            {
                "pin_needed": self._page.settings.pin is not None,
                "signed_in": signed_in,
                "csrf": self._visitors.token(cookie),
                "version": VERSION,
                "place": connection(request).listener.place.kind,
            }
        )
        answer.set_cookie(COOKIE, cookie, path="/", httponly=True, samesite="Strict")
        return answer

    # what it shows

    async def _state(self, request: web.Request) -> web.StreamResponse:
        self._need_pin(request)
        place = connection(request).listener.place
        return web.Response(text=self._page.state(place.kind), content_type=guard.JSON)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._need_pin(request)
        # Another page's <img> names no origin, and could hold all streams; SameSite keeps our cookie from it.
        self._own_cookie(request)
        visitor = connection(request)
        reader = self._page.stream.open(visitor.listener.place.kind, self._page.steps())
        visitor.when_lost = reader.end
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        try:
            await answer.prepare(request)
            async for chunk in reader.chunks():
                if not self._signed_in(request):  # and who looks is here, so it is not idle
                    break
                async with asyncio.timeout(SLOW_SECONDS):
                    await answer.write(chunk.encode())
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._page.stream.close(reader)
        return answer

    # what it does

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        self._need_pin(request)
        await self._page.connect(bodies.wish(await _body(request)))
        return web.json_response({}, status=202)

    async def _disconnect(self, request: web.Request) -> web.StreamResponse:
        self._need_pin(request)
        bodies.nothing(await _body(request))
        await self._page.disconnect()
        return web.json_response({})


def connection(request: web.Request) -> Connection:
    """The connection that the request came by."""
    assert isinstance(request.protocol, Connection)
    return request.protocol


def _not_own() -> Refused:
    return Refused(403, "this is not a request of the page's own", "load the page again")


async def _prepare(_: web.Request, answer: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        if name != "Cache-Control" or name not in answer.headers:
            answer.headers[name] = value


async def _body(request: web.Request) -> bytes:
    """Raises Refused, or the HTTPException of a body that is too long."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None


def _asset(request: web.Request, asset: Asset) -> web.StreamResponse:
    headers = {"ETag": f'"{asset.tag}"', "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, content_type=asset.type, charset="utf-8", headers=headers)


def _now() -> float:
    return asyncio.get_running_loop().time()
