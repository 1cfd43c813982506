"""Does bf16 cost accuracy? Pairs of runs with the same seed, one in each number format.

    python benchmarks/precision.py DATA [--model lenet5] [--seeds 10] [--epochs 5] [--csv precision.csv]

A pair shares its seed (initial weights, order, augmentation, dropout) and its split. Accuracy is that of
the best weights on the test images, computed in fp32 for both. Each finished run is a line of the CSV file;
what is there already is not run again, so that a killed benchmark goes on where it was. The interval is
Student's, of the mean of the pairs' differences.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import tempfile
from pathlib import Path

COLUMNS = ("data", "model", "epochs", "seed", "precision", "plan", "accuracy", "seconds", "torch")
FORMATS = ("fp32", "bf16")

Row = dict[str, str]
Key = tuple[str, ...]


def run(data: str, model: str, epochs: int, seed: int, precision: str) -> Row:
    """Train and judge once."""
    import torch
    import yaml

    from sightline.training import SilentReporter, train

    with tempfile.TemporaryDirectory() as folder:
        result = train(
            data, model=model, epochs=epochs, seed=seed, precision=precision, output=Path(folder) / "run",
            reporter=SilentReporter(),
        )  # fmt: skip
        plan = yaml.safe_load((result.run / "args.yaml").read_text())["plan"]
    assert result.evaluations[0].part == "test", f"{data} has no test images"
    assert plan["dtype"] == precision, plan
    values = (
        Path(data).name, model, epochs, seed, precision,
        f"{plan['memory_format']} x{plan['threads']}", repr(result.value), f"{result.seconds:.1f}",
        torch.__version__,
    )  # fmt: skip
    return dict(zip(COLUMNS, map(str, values), strict=True))


def key(row: Row) -> Key:
    return tuple(row[name] for name in ("data", "model", "epochs", "seed", "precision"))


def read(path: Path) -> dict[Key, Row]:
    """The runs that are done."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {key(row): row for row in csv.DictReader(file) if all(row.get(name) for name in COLUMNS)}


def append(path: Path, row: Row) -> None:
    new = not path.exists() or not path.stat().st_size
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())


def interval(differences: list[float]) -> tuple[float, float]:
    """Student's 95 % interval of their mean."""
    from scipy.stats import t

    mean, n = statistics.fmean(differences), len(differences)
    reach = float(t.ppf(0.975, n - 1)) * statistics.stdev(differences) / n**0.5
    return mean - reach, mean + reach


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a folder of class folders with a test part, or digits")
    parser.add_argument("--model", default="lenet5")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--csv", type=Path, default=Path("precision.csv"))
    options = parser.parse_args()
    done = read(options.csv)
    if done:
        print(f"{options.csv} has {len(done)} runs already")
    differences, seconds = [], []
    for seed in range(options.seeds):
        pair: dict[str, Row] = {}
        for precision in FORMATS if seed % 2 == 0 else FORMATS[::-1]:
            wanted = (Path(options.data).name, options.model, str(options.epochs), str(seed), precision)
            if wanted not in done:
                done[wanted] = run(options.data, options.model, options.epochs, seed, precision)
                append(options.csv, done[wanted])
            pair[precision] = done[wanted]
        fp32, bf16 = (100 * float(pair[precision]["accuracy"]) for precision in FORMATS)
        times = [float(pair[precision]["seconds"]) for precision in FORMATS]
        differences.append(bf16 - fp32)
        seconds.append(times)
        print(
            f"seed {seed}: fp32 {fp32:.2f} % in {times[0]:.1f} s ({pair['fp32']['plan']}), "
            f"bf16 {bf16:.2f} % in {times[1]:.1f} s ({pair['bf16']['plan']}), difference {bf16 - fp32:+.2f}",
            flush=True,
        )
    for index, precision in enumerate(FORMATS):
        of_one = [times[index] for times in seconds]
        print(
            f"{precision}: {statistics.median(of_one):.1f} s of training "
            f"({min(of_one):.1f} to {max(of_one):.1f})"
        )
    print(f"bf16 - fp32: mean {statistics.fmean(differences):+.3f} points, n={len(differences)} pairs")
    if len(differences) > 1:
        low, high = interval(differences)
        print(f"95 % interval {low:+.3f} to {high:+.3f} points (Student's t)")
    versions = sorted({row["torch"] for row in done.values()})
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"torch {', '.join(versions)}, Python {python}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
