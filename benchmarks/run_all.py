"""Every benchmark, one after the other, on an idle machine.

    python benchmarks/run_all.py [DATA]

DATA is a folder with `fashion-mnist-png/` and `cifar10-jpg/`, each with `train/<class>/` and
`test/<class>/`; without it, what needs them is left out and said.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALONE = (
    ["startup.py"],
    ["demo.py"],
    ["keep_memory.py", "--model", "lecture_cnn"],
    ["keep_memory.py", "--model", "resnet20"],
    ["kill_and_resume.py", "--n", "50"],
)
ON_DATA = (
    ("throughput.py", "fashion-mnist-png", "lecture_cnn"),
    ("throughput.py", "cifar10-jpg", "resnet20"),
)


def main() -> int:
    commands = [list(command) for command in ALONE]
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for script, name, model in ON_DATA:
        if data is not None and (data / name).is_dir():
            commands.append([script, str(data / name), "--model", model])
        else:
            print(f"left out, for want of {name}: {script} --model {model}")
    failed = 0
    for script, *arguments in commands:
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        failed += bool(
            subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode
        )
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
