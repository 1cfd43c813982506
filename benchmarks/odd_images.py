"""Odd files, each in a process of its own: read or named, how long, how much memory.

    python benchmarks/odd_images.py FOLDER [--verbose]

Every file whose ending is one of an image is read twice: as a training would see it, and as `predict` would,
with all its pixels. A file is read, or named in one line; a traceback, a crash, more than 20 s or a GB of
memory is a failure. Prints how many of each, the slowest and the largest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

LIMIT_SECONDS, LIMIT_MB = 20, 1_000

CHILD = """
import resource, sys
from pathlib import Path
from sightline.base import SightlineError
from sightline.imaging import UnreadableImageError, decode_any, read_record
path = Path(sys.argv[1])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
record = read_record(path)
said = record.error
if not said:
    try:
        decoded = decode_any(path)
        said = f"READ {record.height}x{record.width}x{record.channels} {record.depth}"
    except (UnreadableImageError, SightlineError) as error:
        said = str(error)
print(" ".join(said.split()))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1000)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    from sightline.imaging import EXTENSIONS

    read, named, failed = 0, 0, 0
    slowest, largest = (0.0, ""), (0, "")
    files = sorted(p for p in options.folder.rglob("*") if p.is_file() and p.suffix.lower() in EXTENSIONS)
    for path in files:
        began = time.perf_counter()
        try:
            done = subprocess.run(
                [sys.executable, "-c", CHILD, os.fspath(path)],
                capture_output=True, text=True, timeout=LIMIT_SECONDS,
            )  # fmt: skip
            lines = done.stdout.splitlines()
            fine = done.returncode == 0 and len(lines) == 2
        except subprocess.TimeoutExpired:
            lines, fine = ["hangs", "0"], False
        seconds = time.perf_counter() - began
        said, megabytes = (lines[0], int(lines[1])) if len(lines) == 2 else ("crashes", 0)
        fine = fine and megabytes < LIMIT_MB
        slowest, largest = max(slowest, (seconds, path.name)), max(largest, (megabytes, path.name))
        if not fine:
            failed += 1
        elif said.startswith("READ "):
            read += 1
        else:
            named += 1
        if options.verbose or not fine:
            print(f"{'' if fine else 'FAILED '}{path.parent.name}/{path.name}: {said} ({megabytes} MB)")
    print(
        f"{len(files)} files: {read} read, {named} named, {failed} failed; "
        f"slowest {slowest[0]:.1f} s ({slowest[1]}), largest {largest[0]} MB ({largest[1]})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
