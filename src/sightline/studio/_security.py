"""Who is let in: one browser of this machine, which has the token.

The studio starts work, and a network may be a Python file of the user. So a request must be addressed to
this machine by name (a page elsewhere whose name is made to point here has another Host), carry the cookie
that the token bought, and, where it can change anything, come from our own page. What comes is bounded.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.studio._settings import RefusedError, Settings

POLICY = (
    # Styles of elements, not sheets, may stand in a page: those of plots. Pictures may come as data.
    "default-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def cookie_name(settings: Settings) -> str:
    """A name for each port: cookies of one machine are shared by all its ports."""
    return f"sightline-{settings.port}"


class Guard:
    """Lets in what is allowed; everything else has an answer of one line."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{settings.port}" for name in names}
        if settings.port == 80:
            self._hosts |= set(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return  # neither a socket nor anything else is spoken here
        headers = Headers(scope=scope)
        try:
            moved = self._admit(scope, headers)
            if moved is not None:
                cookie = f"{cookie_name(self._settings)}={self._settings.token}"
                await _answer(
                    send,
                    303,
                    "",
                    (
                        (b"location", moved.encode("ascii", "replace")),
                        (b"set-cookie", f"{cookie}; HttpOnly; SameSite=Strict; Path=/".encode()),
                        (b"cache-control", b"no-store"),
                    ),
                )
                return
            self._bound(headers)
        except RefusedError as refused:
            await _answer(send, refused.status, str(refused))
            return
        await self._pass_on(scope, receive, send)

    def _admit(self, scope: Scope, headers: Headers) -> str | None:
        """Where to go on, for one who brings the token; None for one who has been let in before."""
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            raise RefusedError(403, f"the studio answers to 127.0.0.1:{self._settings.port} alone")
        changes = scope["method"] not in ("GET", "HEAD")
        if changes and headers.get("origin") not in {f"http://{host}" for host in self._hosts}:
            raise RefusedError(403, "the studio takes orders from its own page alone")
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        brought = dict(query).get("token")
        if brought is not None and not changes and self._is_token(brought):
            rest = urlencode([(key, value) for key, value in query if key != "token"])
            path = "/" + scope.get("raw_path", b"/").decode("latin-1").lstrip("/")  # never another host
            return f"{path}?{rest}" if rest else path
        cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(self._settings), "")
        if not self._is_token(cookie):
            raise RefusedError(403, "open the address that sightline studio has printed, with its token")
        return None

    def _is_token(self, text: str) -> bool:
        token = self._settings.token
        return bool(token) and secrets.compare_digest(text.encode(), token.encode())

    def _bound(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:20]) > self._settings.upload_bytes:
            raise RefusedError(413, _too_large(self._settings))

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes, and add our headers to what goes."""
        taken, started = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._settings.upload_bytes:
                raise RefusedError(413, _too_large(self._settings))
            return message

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                kept = [(key, value) for key, value in message["headers"] if key != b"server"]
                has_cache = any(key == b"cache-control" for key, _ in kept)
                cache = [] if has_cache else [(b"cache-control", b"no-cache")]
                message = {**message, "headers": [*kept, *cache, *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, bounded, with_headers)
        except RefusedError as refused:
            if started:
                raise
            await _answer(send, refused.status, str(refused))


def _too_large(settings: Settings) -> str:
    return f"that is too large: a file may have {settings.upload_bytes / 1e6:g} MB"


async def _answer(send: Send, status: int, text: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = (json.dumps({"error": text}) + "\n").encode() if text else b""
    kind = (b"content-type", b"application/json")
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [kind, length, *more, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})
