"""The benchmarks of speed and of small networks, one after the other, on an idle machine.

    python benchmarks/run_all.py [DATA [KERAS_PYTHON [STRANGERS_PYTHON]]]

DATA is a folder with `fashion-mnist-png/`, `mnist-png/` and `cifar10-jpg/`, each with `train/<class>/` and
`test/<class>/`; KERAS_PYTHON the interpreter of an environment with Keras 3, TensorFlow, JAX and torch;
STRANGERS_PYTHON of one with torchvision, timm and torchinfo.
What is not there is left out and said. Some three hours. Each other script of this folder says how it is run.
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
    ["budget.py"],
    ["accuracy.py", "--what", "digits_folds"],
)
ON_DATA: tuple[tuple[str, str, list[str]], ...] = (
    ("throughput.py", "fashion-mnist-png", ["--model", "lecture_cnn"]),
    ("throughput.py", "cifar10-jpg", ["--model", "resnet20"]),
    ("open_images.py", "mnist-png", []),
    ("accuracy.py", "mnist-png", ["--what", "mnist"]),
    ("accuracy.py", "fashion-mnist-png", ["--what", "fashion"]),
    ("precision.py", "mnist-png", ["--csv", "precision.csv"]),
)
BESIDE_KERAS: tuple[tuple[str, str, list[str]], ...] = (
    ("peers.py", "fashion-mnist-png", ["--model", "lecture_cnn", "--mixed", "--where"]),
    ("peers.py", "cifar10-jpg", ["--model", "resnet20", "--mixed", "--where"]),
    ("time_to_accuracy.py", "fashion-mnist-png", []),
)


BESIDE_STRANGERS = ("strangers.py", "summary_speed.py", "memory.py")


def main() -> int:
    commands = [list(command) for command in ALONE]
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    keras = ["--keras-python", sys.argv[2]] if len(sys.argv) > 2 else None
    strangers = ["--strangers-python", sys.argv[3]] if len(sys.argv) > 3 else []
    commands += [[script, *strangers] for script in BESIDE_STRANGERS]
    for script, name, arguments in (*ON_DATA, *BESIDE_KERAS):
        peers = (script, name, arguments) in BESIDE_KERAS
        if data is not None and (data / name).is_dir() and (keras or not peers):
            commands.append([script, str(data / name), *arguments, *(keras if peers and keras else [])])
        else:
            want = f"{name} and Keras" if peers else name
            print(f"left out, for want of {want}: {script} {' '.join(arguments)}")
    failed = 0
    for script, *arguments in commands:
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        failed += bool(
            subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode
        )
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
