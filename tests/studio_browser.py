"""The studio as the tests meet it: over HTTP, and in Debian's chromium.

A test module imports the fixtures it uses: `from studio_browser import browser, open_page, studio`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from sightline.studio import Settings, create_app

CHROMIUM = Path("/usr/bin/chromium")
TOKEN = "a-token-of-the-tests"


@dataclasses.dataclass(frozen=True)
class Studio:
    """One that is served."""

    settings: Settings

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def first(self) -> str:
        return f"{self.address}/?token={self.settings.token}"


@contextlib.contextmanager
def serving(*roots: Path, **settings: Any) -> Iterator[Studio]:
    """Serve the studio from a thread, on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        chosen = Settings(roots=roots, port=port, **{"token": TOKEN, **settings})
        config = uvicorn.Config(create_app(chosen), log_level="error", lifespan="off", ws="none")
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Studio(chosen)
        finally:
            server.should_exit = True
            thread.join(10)


def client_of(served: Studio) -> httpx.Client:
    """A client that has been let in and speaks as our own page."""
    return httpx.Client(
        base_url=served.address,
        headers={"origin": served.address},
        cookies={f"sightline-{served.settings.port}": served.settings.token},
        timeout=60,
        verify=False,  # there is no TLS here, and its context takes half a second
    )


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a studio whose one root is the test's folder."""
    with serving(tmp_path) as served, client_of(served) as speaking:
        yield speaking


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio whose one root is an empty folder."""
    with serving(tmp_path_factory.mktemp("root")) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium; a test that asks for it is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not there")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield running
        running.close()


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Open pages: `open_page(studio, "/lecture")`, or of a file `open_page(None, "file:///...")`.

    After the test, nothing may stand in the console of any, and none may have asked another machine.
    """
    contexts, said, asked = [], [], []

    def opened(served: Studio | None, path: str = "/", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        if served is not None:
            page.goto(f"{served.address}{path}?token={served.settings.token}")
            own = (f"{served.address}/", "data:", "blob:")
        else:
            page.goto(path)
            own = (path, "data:", "blob:")
        page.own_addresses = own
        return page

    yield opened
    owned = tuple(own for context in contexts for page in context.pages for own in page.own_addresses)
    for context in contexts:
        context.close()
    assert not said, said
    assert not [url for url in asked if not url.startswith(owned)]
