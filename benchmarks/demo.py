"""The whole of `sightline demo`: seconds and accuracy, with nothing cached.

python benchmarks/demo.py [--n 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=3)
    n = parser.parse_args().n
    seconds = []
    for _ in range(n):
        with tempfile.TemporaryDirectory() as folder:
            command = [str(Path(sys.executable).parent / "sightline"), "demo", "--json"]
            environment = os.environ | {"SIGHTLINE_CACHE": f"{folder}/cache"}
            started = time.perf_counter()
            done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
        result = json.loads(done.stdout)
        print(f"{seconds[-1]:.1f} s, accuracy {100 * result['value']:.2f} % ({result['part']}), {result}")
    print(f"median {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), n={n}")


if __name__ == "__main__":
    main()
