"""Processes that help: from any script, gone with their parent, no half-made files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.data import open_batches, open_images
from sightline.imaging import Canvas

UNGUARDED = """
import sys
print("the script runs", flush=True)
import sightline.data._index as index, sightline.data._batches as batches
index._PARALLEL_FROM = batches._PARALLEL_FROM = 1
from sightline.data import open_images, open_batches
from sightline.imaging import Canvas
images = open_images(sys.argv[1])
memory = open_batches(images, Canvas(8, 8, 1))
workers = open_batches(images, Canvas(8, 8, 1), budget_mb=0)
order = [[0, 5], [119]]
import numpy as np
order = [np.array(o) for o in order]
for one, two in zip(memory.batches(order), workers.batches(order)):
    assert (one.images == two.images).all()
print(len(images), memory.path, workers.path, __file__.endswith(sys.argv[0]))
"""


def test_a_script_needs_no_guard(three_classes: Path, in_tmp: Path) -> None:
    Path("script.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, "script.py", str(three_classes)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the script runs", "120 memory workers True"]


ORPHANS = """
import sys, time
from sightline.machine import worker_pool
with worker_pool() as pool:
    print(*{pool.submit(__import__("os").getpid).result() for _ in range(20)}, flush=True)
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
def test_workers_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    assert all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not any(alive(pid) for pid in workers))


def test_what_a_dead_process_left_half_made_is_swept(three_classes: Path, tmp_path: Path) -> None:
    from sightline.data import open_batches, open_images
    from sightline.imaging import Canvas

    folder = Path(os.environ["SIGHTLINE_CACHE"]) / "pixels"
    folder.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, mine = folder / f"a-{child.pid}-x.partial", folder / f"b-{os.getpid()}-x.partial"
    dead.touch()
    mine.touch()
    open_batches(open_images(three_classes), Canvas(9, 9, 1))
    assert not dead.exists()
    assert mine.exists()
    mine.unlink()


SLOW = """
import sys, time
from sightline.cli import main
sys.argv = ["sightline", "train", sys.argv[1], "--output", "run"]
import sightline.training._set_up as s
def slow(*a, **k):
    print("opening", flush=True)
    time.sleep(30)
s.open_images = slow
main()
"""


def test_ctrl_c_before_training_is_one_line(three_classes: Path, in_tmp: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(three_classes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "opening\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert errors.strip() == "sightline: interrupted"
    assert not Path("run").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc, and glibc's allocator")
def test_decoding_workers_do_not_grow(tmp_path: Path) -> None:
    """Batches of some megabytes, epoch after epoch: what a worker holds stays what it was."""
    from multiprocessing import active_children

    from sightline.imaging import photograph

    picture = Image.fromarray(photograph("china"))
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(64):
            picture.crop((i, i, i + 160, i + 160)).save(tmp_path / "set" / name / f"{i}.jpg")
    images = open_images(str(tmp_path / "set"))
    source = open_batches(images, Canvas(160, 160, 3), path="workers", workers=1)
    held = []
    for _ in range(8):
        for batch in source.batches(np.array_split(np.arange(128), 2), training=True):
            assert len(batch) == 64
        (worker,) = active_children()
        status = Path(f"/proc/{worker.pid}/status").read_text()
        held.append(int(status.split("RssAnon:")[1].split()[0]) / 1000)
    assert max(held[3:]) - held[2] < 8, f"megabytes held after each epoch: {held}"
