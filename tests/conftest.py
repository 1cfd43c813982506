"""What every test stands on: no network, a cache of its own, real images in a folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are divided among the workers, and what they start
    _share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _share)))

import numpy as np
import pytest
from PIL import Image

from sightline.imaging import digits


class NetworkTouchedError(RuntimeError):
    """A test tried to reach the network."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection but those to this machine (Unix sockets, 127.0.0.1) is refused."""
    real, real_lookup = socket.socket.connect, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
            raise NetworkTouchedError(f"connection to {address}")
        real(self, address)

    def lookup(*args: Any, **kwargs: Any) -> Any:
        if args[0] != "127.0.0.1":
            raise NetworkTouchedError(f"look-up of {args[0]}")
        return real_lookup(*args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole session, not the user's."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write real digits as PNG files: `make_folder(layout)`, layout {folder: (digit, count)}."""

    def make(layout: dict[str, tuple[int, int]], name: str = "images", size: int = 8) -> Path:
        images, targets = digits()
        taken: dict[int, Iterator[int]] = {d: iter(np.flatnonzero(targets == d)) for d in range(10)}
        root = tmp_path / name
        for folder, (digit, count) in layout.items():
            (root / folder).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(images[next(taken[digit]), 0])
                if size != 8:
                    image = image.resize((size, size))
                image.save(root / folder / f"{i:03d}.png")
        return root

    return make


@pytest.fixture
def three_classes(make_folder: MakeFolder) -> Path:
    """A flat folder of three classes, 40 images each."""
    return make_folder({"one": (1, 40), "seven": (7, 40), "zero": (0, 40)})
