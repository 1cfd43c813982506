"""How long the studio takes: to its first byte from nothing, and to its first paint in a browser.

    python benchmarks/studio.py [--n 7] [--chromium /usr/bin/chromium]

A process each time, after one that is not counted. Paint is counted from the start of the navigation to the
address with its token, so with its redirection; `first entry` is when the tab Lecture stands with its title.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

COMMAND = [str(Path(sys.executable).parent / "sightline"), "studio", "--port", "0", "--no-browser"]
PAINT = """() => new Promise((done) => {
  new PerformanceObserver((list) => {
    for (const one of list.getEntriesByName("first-contentful-paint")) done(one.startTime);
  }).observe({ type: "paint", buffered: true });
})"""


class Once(urllib.request.HTTPRedirectHandler):
    """Leaves a redirection as it is."""

    def redirect_request(self, *_: Any) -> None:
        return None


def first_byte(address: str) -> None:
    """Ask for the address until something answers."""
    with contextlib.suppress(urllib.error.HTTPError):  # 303, which buys a cookie
        urllib.request.build_opener(Once).open(address, timeout=30).read(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=7)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    figures: dict[str, list[float]] = {
        "process start to first byte": [],
        "first paint": [],
        "first entry": [],
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
        for i in range(arguments.n + 1):
            started = time.perf_counter()
            with subprocess.Popen(
                COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                address = process.stdout.readline().strip()
                first_byte(address)
                byte = time.perf_counter() - started
                context = browser.new_context(viewport={"width": 1280, "height": 720})
                page = context.new_page()
                page.goto(address, wait_until="commit")
                page.wait_for_selector(".entry h1")
                entry = page.evaluate("performance.now()") / 1000
                paint = page.evaluate(PAINT) / 1000
                context.close()
                process.terminate()
            if i:
                for name, value in zip(figures, (byte, paint, entry), strict=True):
                    figures[name].append(value)
        browser.close()
    for name, values in figures.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<28} {middle:.3f} s ({low:.3f} to {high:.3f}), n={len(values)}")


if __name__ == "__main__":
    main()
