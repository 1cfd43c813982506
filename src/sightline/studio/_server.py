"""The server: pages, the API of each tab, and how it is started."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from sightline.base import ArgumentError, SightlineError
from sightline.studio import _image, _lecture, _network
from sightline.studio._security import Guard
from sightline.studio._settings import RefusedError, Settings

TABS = ("lecture", "network", "image")
"""Of the page; each has a router under /api and a module `tab-NAME.js`."""
STATIC = Path(str(resources.files(__package__))) / "static"

_WARM_AFTER = 2.0
"""Seconds from the first page to loading PyTorch, which would hold up what the page asks for."""


def create_app(settings: Settings) -> FastAPI:
    """The studio as an application, for a server or for a test.

    Args:
        settings: How it is run; its port is the one the browser speaks to.
    """
    # FastAPI's own pages about the API load scripts from elsewhere; newer versions can report to a collector.
    app = FastAPI(
        title="Sightline",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    for router in (_lecture.router, _network.router, _image.router):
        app.include_router(router(settings))
    app.add_exception_handler(SightlineError, _said)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _fault)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    warm = _once(lambda: threading.Timer(_WARM_AFTER, _warm))

    @app.get("/{path:path}")
    def page(path: str) -> Response:
        """The one page, whose script reads the rest of the address."""
        if path and path.split("/")[0] not in TABS:
            raise RefusedError(404, f"there is no page /{path}")
        warm()
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-store"})

    app.add_middleware(Guard, settings=settings)
    return app


def serve(
    roots: tuple[Path, ...] = (),
    *,
    port: int = 8765,
    device: str | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the studio on this machine until it is interrupted.

    Args:
        roots: Folders in which the browser may name files; the current one where empty.
        port: Where; 0 for a free one.
        device: Where networks run; chosen where None.
        browser: Open one.
        say: Is told the address, which lets in whoever has it.

    Raises:
        ArgumentError: if the port is taken, or a root is no folder.
        KeyboardInterrupt: once it was interrupted and has ended.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "it is no port"
            raise ArgumentError(
                f"--port {port} cannot be used ({why.lower()}); give another, or 0 for a free one"
            ) from error
        settings = Settings(
            roots=roots, port=listener.getsockname()[1], token=secrets.token_urlsafe(24), device=device
        )
        address = f"http://127.0.0.1:{settings.port}/?token={settings.token}"
        app = create_app(settings)
        say(address)
        if browser and _has_display():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )
        server.run(sockets=[listener])


def _has_display() -> bool:
    """Whether a browser would have a window; one of text would take the terminal."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _once(make: Callable[[], threading.Timer]) -> Callable[[], None]:
    """Start a timer the first time, and never again."""
    lock = threading.Lock()

    def start() -> None:
        if lock.acquire(blocking=False):
            timer = make()
            timer.daemon = True
            timer.start()

    return start


def _warm() -> None:
    import torch  # noqa: F401  -- so that the first network does not wait for it


def _error(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": " ".join(text.split())}, status)


def _said(request: Request, error: Any) -> JSONResponse:
    """An error that a user can mend.

    A browser writes every status from 400 on to its console, even of a line that is only half typed, so that
    our own page, which says who it is, is answered with 200 and the line.
    """
    text, status = " ".join(str(error).split()), error.status if isinstance(error, RefusedError) else 400
    if request.headers.get("x-sightline") == "page":
        return JSONResponse({"refused": text, "status": status})
    return _error(status, text)


def _misread(request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _error(400, f"{where}: {first['msg']}")


def _unknown(request: Request, error: Any) -> JSONResponse:
    return _error(error.status_code, f"{request.url.path}: {error.detail}".lower())


def _fault(request: Request, error: Exception) -> JSONResponse:
    return _error(500, f"a fault of the studio ({type(error).__name__}); its terminal says more")
