"""Broken files of every kind that is read: no traceback, no crash, no hang, no gigabyte.

    python benchmarks/fuzz.py [--cases 100000] [--seed 0] [--only KIND ...] [--keep FOLDER] [--json FILE]

Small valid files (`fuzz_seeds.py`) are broken by draws that depend on nothing but the seed
(`fuzz_cases.py`), and given to the public functions in a process of their own. Allowed are: it is read, and
then what comes back is whole (shape, type, finite values, and one answer from all functions); or it is
refused by an `UnreadableImageError` or a `SightlineError` whose message is one line without control
characters. A failure is any other exception, a warning, a dead process, more than 10 s of the processor or
60 s in all, or 10^9 bytes of address space more than before the case. Cases that fail are kept, with what
went wrong. `noisy` counts cases in which a C library wrote to standard error by itself.

Of an index that is broken and was not sealed again the answer must be that of no index. Linux only.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_cases import case
from fuzz_seeds import SEEDS, Files, small_pngs, valid

LIMIT_SECONDS = 10.0
"""Of the processor: a machine may be busy."""
LIMIT_WAIT = 60.0
"""Seconds of a clock: what waits for something uses no processor."""
LIMIT_BYTES = 10**9
SHARES = {
    "png": 9,
    "apng": 3,
    "jpeg": 8,
    "gif": 7,
    "bmp": 4,
    "webp": 4,
    "tiff": 20,
    "netpbm": 5,
    "jpeg2000": 6,
    "fits": 4,
    "csv": 7,
    "idx": 5,
    "cifar": 2,
    "npz": 5,
    "index": 3,
    "split": 2,
    "model": 2,
    "weights": 2,
    "args": 1,
    "names": 1,
}
"""Percent of the cases that each kind has."""
PAGES = ("", "first", "max", "channels", "1", "2")
COUNTS = ("cases", "read", "named", "failures", "slowest", "peak", "noisy", "seconds")
EXAMPLES = 3
"""How many cases of one failure are kept."""

_ODD_LETTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no message and no class name holds: controls, ends of lines, halves of letters."""


class WrongError(Exception):
    """What came back is not what may come back."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise WrongError(what)


# -- what is done with a case ------------------------------------------------------------------------------


def check_message(error: BaseException | str) -> None:
    text = str(error)
    require(bool(text) and not _ODD_LETTERS.search(text) and len(text) < 2000, f"message {text[:3000]!r}")
    seen: Any = error
    while isinstance(seen, BaseException):
        require(not isinstance(seen, MemoryError), f"over 1 GB: {text[:300]}")
        seen = seen.__cause__ or seen.__context__
    require("MemoryError" not in text and "llocate" not in text, f"over 1 GB: {text[:300]}")


def check_values(values: Any, where: str) -> None:
    require(values.ndim == 3 and values.size > 0, f"{where}: shape {values.shape}")
    require(values.dtype in (np.uint8, np.uint16, np.float32), f"{where}: {values.dtype}")
    require(bool(np.isfinite(values).all()) if values.dtype == np.float32 else True, f"{where}: not finite")


def image(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.imaging import (
        Canvas,
        UnreadableImageError,
        decode_array,
        picture,
        read_framed,
        read_record,
    )

    (content,) = files.values()
    pages = PAGES[int(rng.choice(6, p=[0.4, 0.2, 0.1, 0.15, 0.05, 0.1]))]
    path = folder / f"image.{rng.choice(['png', 'jpg', 'tif', 'fits', 'gif'])}"
    path.write_bytes(content)
    record = read_record(path, pages)
    path.unlink()
    if record.error:
        check_message(record.error)
    read = not record.error
    try:
        values = decode_array(content, pages=pages)
    except UnreadableImageError as error:
        check_message(error)
        require(not read, f"read_record reads it, decode_array says {error}")
        values = None
    if values is not None:
        check_values(values, "decode_array")
        require(read, f"decode_array reads it, read_record says {record.error}")
        told = (record.height, record.width, record.channels, record.depth)
        own = (*values.shape, values.dtype.name)
        require(told == own, f"read_record says {told}, decode_array {own}")
    try:
        if rng.random() < 0.5:
            shown = picture(content, pages=pages)
            require(shown.mode in ("L", "RGB"), f"picture: mode {shown.mode}")
            require(values is None or shown.size == values.shape[1::-1], f"picture: {shown.size}")
        else:
            depth = record.depth if read else "uint8"
            canvas = Canvas(16, 12, int(rng.choice([1, 3])), depth, pages)
            framed = read_framed(content, canvas, reduced=bool(rng.random() < 0.5))
            check_values(framed.pixels, "read_framed")
            require(framed.pixels.shape == (canvas.channels, 16, 12), f"framed: {framed.pixels.shape}")
            require(values is None or framed.size == values.shape[:2], f"framed: of {framed.size}")
            require(bool(np.isfinite(framed.transform).all()), f"framed: {framed.transform}")
    except UnreadableImageError as error:
        check_message(error)
    return read


def check_set(images: Any) -> None:
    count = len(images)
    require(count > 0 and len(set(images.names)) == count, f"{count} images, {images.names!r:.300}")
    require(not any(map(_ODD_LETTERS.search, images.classes)), f"classes {images.classes!r:.300}")
    targets = images.targets
    require(
        targets.shape == (count,) and 0 <= targets.min() <= targets.max() < len(images.classes), "targets"
    )
    require(images.sizes.shape == (count, 2) and images.sizes.min() > 0, f"sizes {images.sizes}")
    require(len(images.digests) == count and len(images.parts) == count, "columns differ in length")
    for finding in images.findings:
        check_message(finding.line())
    if images.pixels is not None:
        require(images.pixels.shape[:2] == (count, images.channels), f"pixels {images.pixels.shape}")
        for pixels in images.pixels[:4]:
            check_values(pixels, "pixels")


def image_set(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.data import listed_sources, open_images

    inside = folder / "set"
    inside.mkdir()
    for name, content in files.items():
        (inside / name).write_bytes(content)
    lone = next((name for name in files if name.endswith((".csv", ".npz"))), None)
    source = inside / lone if lone else inside if rng.random() < 0.7 else inside / next(iter(files))
    training, allow_unreadable = (bool(draw < 0.5) for draw in rng.random(2))
    if source.suffix == ".csv" and rng.random() < 0.2:
        return len(listed_sources(str(source))) > 0
    check_set(open_images(source, training=training, allow_unreadable=allow_unreadable))
    return True


class Index:
    """A folder of images, what it is without an index, and the index that opening it left."""

    def __init__(self, folder: Path) -> None:
        from sightline.base import cache_folder

        os.environ["SIGHTLINE_CACHE"] = str(folder / "cache of the index")
        self.images = folder / "indexed"
        for k, (name, content) in enumerate(small_pngs().items()):
            path = self.images / "ab"[k % 2] / name.removeprefix("!")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (self.images / "a" / "bad.png").write_bytes(b"no image")
        self.truth = self._opened()
        (self.path,) = cache_folder("index").iterdir()
        self.whole = self.path.read_bytes()

    def _opened(self) -> Any:
        from sightline.data import open_images

        images = open_images(self.images, training=False, allow_unreadable=True)
        found = (tuple(images.names), tuple(images.digests), images.sizes.tolist(), images.left_out)
        return (*found, tuple(finding.line() for finding in images.findings))

    def __call__(self, folder: Path, files: Files, rng: np.random.Generator) -> bool:
        import io
        import zipfile

        (content,) = files.values()
        self.path.write_bytes(content)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                sealed = archive.testzip() is None  # what has its checksum is believed
        except Exception:  # broken in any way: never to be used
            sealed = False
        found = self._opened()
        require(sealed or found == self.truth, f"with a broken index {found}, without {self.truth}")
        return sealed


def split(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.data import recorded_split

    (folder / "split.csv").write_bytes(*files.values())
    for name, (part, digest) in recorded_split(folder / "split.csv").items():
        require(isinstance(name, str) and part in ("train", "val", "test"), f"{name!r:.200}: {part!r}")
        require(isinstance(digest, str), f"digest {digest!r}")
    return True


def args(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.records import RunFolder

    (folder / "args.yaml").write_bytes(*files.values())
    require(isinstance(RunFolder.open(folder).read_args(), dict), "no dict")
    return True


def names(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.inference import read_belongings

    (folder / "names.txt").write_bytes(*files.values())
    classes = read_belongings(None, None, folder / "names.txt").classes
    require(classes is not None and len(set(classes)) == len(classes), "names are not different")
    require(not any(name[0] == "\ufeff" for name in classes or ()), f"names {classes!r:.300}")
    require(not any(map(_ODD_LETTERS.search, classes or ())), f"names {classes!r:.300}")
    return True


def weights(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.records import read_weights

    (folder / "weights").write_bytes(*files.values())
    state = read_weights(folder / "weights")
    require(len(state) > 0 and all(tensor.numel() >= 0 for tensor in state.values()), "no tensors")
    return True


def model(folder: Path, files: Files, rng: np.random.Generator) -> bool:
    from sightline.inference import load_predictor
    from sightline.machine import Plan
    from sightline.records import read_header

    path = folder / "model.safetensors"
    path.write_bytes(*files.values())
    (folder / "digit.png").write_bytes(small_pngs()["!a.png"])
    header = read_header(path)
    require(len(header.classes) > 0, "no classes")
    if rng.random() < 0.7:
        predictor = load_predictor(str(path), Plan(device="cpu", threads=1))
        (prediction,) = predictor.predict([("digit", folder / "digit.png")])
        if prediction.error:
            check_message(prediction.error)
        else:
            require(prediction.probabilities.shape == (len(prediction.classes),), "probabilities")
    return True


Act = Callable[[Path, Files, np.random.Generator], bool]
ACTS: dict[str, Act] = {
    **dict.fromkeys(("csv", "idx", "cifar", "npz"), image_set),
    "split": split,
    "args": args,
    "names": names,
    "weights": weights,
    "model": model,
}


# -- the worker --------------------------------------------------------------------------------------------


def board(path: Path, create: bool = False) -> Any:
    """What worker and watcher share: a row of `COUNTS` a kind, and one of what is being done since when."""
    if create:
        path.write_bytes(bytes(8 * len(COUNTS) * (len(SEEDS) + 1)))
    with path.open("r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0), dtype=np.float64).reshape(-1, len(COUNTS))


def work(folder: Path, keep: Path, seed: int, plan: list[tuple[str, int, int]]) -> None:
    """Do cases of some kinds, each from a number to another."""
    import faulthandler

    import torch  # noqa: F401  -- so that importing it counts in no case

    import sightline.data
    import sightline.inference  # noqa: F401
    from sightline.base import SightlineError

    if "fits" in [kind for kind, *_ in plan]:
        import astropy.io.fits  # noqa: F401
    shared = board(folder / "board")
    os.environ["SIGHTLINE_CACHE"] = str(folder / "cache")
    own_error = os.dup(2)
    noise = os.open(folder / "noise", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(noise, 1)
    os.dup2(noise, 2)
    faulthandler.enable(noise)
    heard: list[str] = []
    warnings.simplefilter("always")

    def hear(message: Warning | str, category: type[Warning], *where: object) -> None:
        heard.append(f"warned: {category.__name__}: {message}\n{''.join(traceback.format_stack()[:-1])}")

    warnings.showwarning = hear  # type: ignore[assignment]
    reset = os.open("/proc/self/clear_refs", os.O_WRONLY)
    found: dict[str, int] = {}
    for kind, start, stop in plan:
        inside = folder / "case"
        seeds = valid(kind)
        act: Act = Index(folder) if kind == "index" else ACTS.get(kind, image)
        if isinstance(act, Index):
            seeds = [{"index.npz": act.whole}]
        check_seeds(kind, seeds, act, folder, allowed=SightlineError)
        row = shared[list(SEEDS).index(kind)]
        for number in range(start, stop):
            shutil.rmtree(inside, ignore_errors=True)
            inside.mkdir()
            files, rng = case(kind, number, seed, seeds)
            before, quiet = _memory("VmSize"), os.lseek(noise, 0, os.SEEK_END)
            resident = _memory("VmRSS")
            os.write(reset, b"5")
            resource.setrlimit(resource.RLIMIT_AS, (before + LIMIT_BYTES, resource.RLIM_INFINITY))
            shared[-1, 3] = time.process_time()
            shared[-1, :3] = list(SEEDS).index(kind), number, time.monotonic()
            begun = time.process_time()
            failure = ""
            try:
                outcome = "read" if act(inside, files, rng) else "named"
            except SightlineError as error:
                outcome = "named"
                try:
                    check_message(error)
                except WrongError as wrong:
                    failure = f"{type(error).__name__}: {wrong}\n{_where(error)}"
            except MemoryError as error:
                failure = f"over 1 GB\n{_where(error)}"
            except Exception as error:
                failure = f"{type(error).__name__}: {str(error)[:3000]}\n{_where(error)}"
            seconds = time.process_time() - begun
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            shared[-1, 2] = 0
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident
            row[COUNTS.index("noisy")] += os.lseek(noise, 0, os.SEEK_END) > quiet
            if not failure and heard:
                failure = heard[0]
            heard.clear()
            row[COUNTS.index("cases")] += 1
            row[COUNTS.index("failures" if failure else outcome)] += 1
            row[COUNTS.index("slowest")] = max(row[COUNTS.index("slowest")], seconds)
            row[COUNTS.index("peak")] = max(row[COUNTS.index("peak")], peak)
            row[COUNTS.index("seconds")] += seconds
            if failure:
                kept(keep, kind, number, files, failure, found)
    os.dup2(own_error, 2)


def check_seeds(kind: str, seeds: list[Files], act: Act, folder: Path, allowed: type[Exception]) -> None:
    """Whether files that are not broken are read, in one way of reading or another."""
    for k, seed in enumerate(seeds):
        whole = {name.removeprefix("!"): content for name, content in seed.items()}
        for attempt in range(12):
            shutil.rmtree(folder / "case", ignore_errors=True)
            (folder / "case").mkdir()
            try:
                if act(folder / "case", whole, np.random.default_rng(attempt)) or kind == "index":
                    break
            except allowed:
                continue
        else:
            raise SystemExit(f"{kind}: valid file {k} is not read")


def _memory(field: str) -> int:
    place = {"VmSize": 0, "VmRSS": 1}[field]
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[place]) * mmap.PAGESIZE


def _where(error: BaseException) -> str:
    """The last lines of ours and of all that an error passed."""
    return "".join(traceback.format_exception(error))[-6000:]


def signature(failure: str) -> str:
    """What failures of one cause have in common: the first line without numbers, and the deepest place."""
    first, *rest = failure.splitlines()
    first = re.sub(r"/\S+/case/", "", first)
    places = [line.strip() for line in rest if line.lstrip().startswith("File ")]
    ours = [place for place in places if "sightline" in place]
    first = "".join("#" if c.isdigit() else c for c in first[:70])
    return f"{first} | {' < '.join(place.rpartition('/')[2] for place in [*ours[-1:], *places[-1:]])}"


def kept(keep: Path, kind: str, number: int, files: Files, failure: str, found: dict[str, int]) -> None:
    """Write a case that failed, if few of its cause are there."""
    cause = f"{kind}: {signature(failure)}"
    found[cause] = found.get(cause, 0) + 1
    with (keep / "failures.jsonl").open("a") as file:
        file.write(json.dumps({"kind": kind, "number": number, "cause": cause}) + "\n")
    if found[cause] <= EXAMPLES:
        place = keep / f"{kind}-{number}"
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        (place / "failure.txt").write_text(failure, errors="backslashreplace")


# -- the watcher -------------------------------------------------------------------------------------------


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(cases: int, seed: int, kinds: list[str], keep: Path, folder: Path) -> Any:
    """All cases; the worker is replaced where it dies or hangs. -> the board's rows."""
    shared = board(folder / "board", create=True)
    total = sum(SHARES[kind] for kind in kinds)
    plan = [(kind, 0, max(1, round(cases * SHARES[kind] / total))) for kind in kinds]
    found: dict[str, int] = {}
    while plan:
        command = [sys.executable, str(Path(__file__).resolve()), "--work", str(folder), "--keep", str(keep)]
        shared[-1] = 0
        worker = subprocess.Popen([*command, "--seed", str(seed)], stdin=subprocess.PIPE)
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(plan).encode())
        worker.stdin.close()
        hung = False
        while worker.poll() is None:
            time.sleep(0.05)
            since = shared[-1, 2]
            used = _processor_seconds(worker.pid) - shared[-1, 3]
            if since and (used > LIMIT_SECONDS or time.monotonic() - since > LIMIT_WAIT):
                hung = True
                worker.kill()
        if worker.returncode == 0:
            break
        place, number = int(shared[-1, 0]), int(shared[-1, 1])
        if not shared[-1, 2]:
            said = (folder / "noise").read_text(errors="replace")[-3000:]
            raise SystemExit(f"the worker failed in no case: {worker.returncode}\n{said}")
        kind = list(SEEDS)[place]
        row = shared[place]
        row[COUNTS.index("cases")] += 1
        row[COUNTS.index("failures")] += 1
        said = (folder / "noise").read_text(errors="replace")[-3000:]
        failure = "more than its seconds" if hung else f"died by {-worker.returncode}\n{said}"
        if kind != "index":
            kept(keep, kind, number, case(kind, number, seed, valid(kind))[0], failure, found)
        rest = [part for part in plan if part[0] not in kinds[: kinds.index(kind) + 1]]
        (stop,) = (stop for name, _, stop in plan if name == kind)
        plan = [(kind, number + 1, stop), *rest]
    return shared


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(SEEDS), metavar="KIND")
    parser.add_argument("--keep", type=Path, help="folder for cases that fail; default a new one")
    parser.add_argument("--json", type=Path, help="file for the table")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.keep, options.seed, json.load(sys.stdin))
        return 0
    keep = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-failures-"))
    keep.mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in SEEDS if not options.only or kind in options.only]
    left_out = [kind for kind in kinds if kind != "index" and not valid(kind)]
    if left_out:
        print(f"left out, for want of the extra science: {', '.join(left_out)}")
    kinds = [kind for kind in kinds if kind not in left_out]
    with tempfile.TemporaryDirectory() as folder:
        shared = run(options.cases, options.seed, kinds, keep, Path(folder))
        rows = {
            kind: dict(zip(COUNTS, shared[list(SEEDS).index(kind)].tolist(), strict=True)) for kind in kinds
        }
    heads = "".join(
        f"{head:>9}" for head in ("cases", "read", "named", "failures", "slowest s", "peak MB", "ms")
    )
    print(f"{'kind':<10}{heads}")
    total = {
        name: (max if name in ("slowest", "peak") else sum)(row[name] for row in rows.values())
        for name in COUNTS
    }
    for kind, row in {**rows, "all": total}.items():
        counts = "".join(f"{int(row[name]):>9,}" for name in COUNTS[:4])
        each = 1000 * row["seconds"] / max(1, row["cases"])
        most = f"{row['slowest']:>9.2f}{row['peak'] / 1e6:>9.0f}{int(row['noisy']):>9,}"
        print(f"{kind:<10}{counts}{most}{each:>9.2f}")
    log = keep / "failures.jsonl"
    failures = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    causes: dict[str, list[int]] = {}
    for failure in failures:
        causes.setdefault(failure["cause"], []).append(failure["number"])
    for cause, numbers in sorted(causes.items(), key=lambda item: -len(item[1])):
        print(f"{len(numbers):>6}  {cause}  (case {numbers[0]})")
    if causes:
        print(f"kept in {keep}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "causes": causes}))
    return 1 if causes else 0


if __name__ == "__main__":
    sys.exit(main())
