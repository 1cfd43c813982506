"""What the browser calls a model, a network or an image: read, confined, opened once and kept for a while."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sightline.base import ArgumentError, DataError, ModelFileError, did_you_mean
from sightline.studio._settings import RefusedError, Settings, confined

if TYPE_CHECKING:
    from sightline.views import Picture, Subject

_MOST_FOLDERS, _DEEPEST, _MOST_FOUND = 2000, 5, 200
"""Of a search for model files: folders looked into, how deep, files listed."""
_PASSED_OVER = frozenset({"node_modules", "site-packages", "__pycache__", "resume", "snapshots"})
_MODELS, _MODEL_BYTES = 6, 1_500_000_000
_UPLOADS = 8
"""Kept at once: opened models, bytes of their weights, pictures that were sent."""

T = TypeVar("T")


class Kept(Generic[T]):
    """The last things that were made, by what they were made of.

    Args:
        most: How many.
        weight: What one of them weighs; nothing where None.
        heaviest: What all may weigh together; the last one made is always kept.
    """

    def __init__(self, most: int, weight: Callable[[T], int] | None = None, heaviest: int = 0) -> None:
        self._most, self._weight, self._heaviest = most, weight, heaviest
        self._things: OrderedDict[Any, T] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._things)

    def find(self, key: Any) -> T | None:
        """What was kept under a key; it is the last to go, now."""
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
            return self._things.get(key)

    def keep(self, key: Any, thing: T) -> T:
        """Keep a thing, and let go of the oldest that are too many."""
        with self._lock:
            self._things[key] = thing
            self._things.move_to_end(key)
            while len(self._things) > 1 and self._too_much():
                self._things.popitem(last=False)
        return thing

    def make(self, key: Any, maker: Callable[[], T]) -> T:
        """What was kept under a key, else made now."""
        found = self.find(key)
        return self.keep(key, maker()) if found is None else found

    def _too_much(self) -> bool:
        if len(self._things) > self._most:
            return True
        return self._weight is not None and sum(map(self._weight, self._things.values())) > self._heaviest


# ---------------------------------------------------------------------- what a model is called


def model_spec(settings: Settings, text: str) -> str:
    """What the browser calls a model, as `resolve` reads it: paths made absolute, and confined.

    Args:
        settings: Have the folders.
        text: A zoo name, `NAME@FILE`, `NAME@public`, `FILE.py:NAME`, a run folder, or a model file.

    Raises:
        RefusedError: if a path lies outside the folders.
        ArgumentError: if it names nothing.
    """
    text = text.strip()
    if not text or "\0" in text:
        raise ArgumentError("no model is named")
    name, at, file = text.rpartition("@")
    if not at or confined(settings, text).exists():
        return _network(settings, text)
    if file == "public":
        return f"{_network(settings, name)}@public"
    weights = confined(settings, file)
    if not weights.exists():
        raise RefusedError(404, f"there is no file {file}")
    return f"{_network(settings, name)}@{weights}"


def _network(settings: Settings, text: str) -> str:
    from sightline.zoo import list_architectures

    file, colon, name = text.rpartition(":")
    if colon and file.endswith(".py"):
        code = confined(settings, file)
        if not code.is_file():
            raise RefusedError(404, f"there is no file {file}")
        return f"{code}:{name}"
    known = [a.name for a in list_architectures()]
    if text in known and not Path(text).exists():
        return text
    path = confined(settings, text)
    if path.exists():
        return str(path)
    what = "file or folder" if "/" in text else "network or file"
    raise RefusedError(404, f"there is no {what} {text!r}; {did_you_mean(text, known)}")


def is_design(text: str) -> bool:
    """Whether a text is a line of `sightline design`: a shape, and layers behind it."""
    return re.match(r"\s*[\d_?]+([x,][\d_?]+)*\s+[a-z]", text) is not None


def stamp(spec: str) -> tuple[tuple[str, int, int], ...]:
    """What tells whether the files of a model are still those that were read."""
    found = []
    for part in re.split(r"@|:(?=[^/\\]*$)", spec):
        path = Path(part)
        files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) if path.is_absolute() else []
        found += [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files]
    return tuple(found)


# ---------------------------------------------------------------------- what there is


def choices(settings: Settings) -> dict[str, Any]:
    """What can be looked at: the zoo, runs, model files."""
    from sightline.zoo import list_architectures

    runs, files, all_seen = _found(settings)
    return {
        "zoo": [a.to_dict() for a in list_architectures()],
        "runs": runs,
        "files": files,
        "all_seen": all_seen,
        "roots": [str(root) for root in settings.roots],
    }


def _found(settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool]:
    runs: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    budget = [_MOST_FOLDERS]
    for root in settings.roots:
        for folder in _folders(root, 0, budget):
            if len(runs) + len(files) >= _MOST_FOUND:
                return runs, files, False
            try:
                is_run = (folder / "args.yaml").is_file()
                models = sorted(folder.glob("*.safetensors"))
            except OSError:
                continue
            if is_run:
                told = _run(settings, folder)
                runs += [told] if told is not None else []
            else:
                files += [told for file in models if (told := _file(settings, file)) is not None]
    runs.sort(key=lambda run: -run["written"])
    return runs, files, budget[0] > 0


def _folders(folder: Path, depth: int, budget: list[int]) -> Iterator[Path]:
    """A folder and those below it, runs not gone into; links are not followed."""
    budget[0] -= 1
    yield folder
    if depth >= _DEEPEST or (folder / "args.yaml").is_file():
        return
    try:
        below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
    except OSError:
        return
    for path in below:
        if budget[0] <= 0:
            return
        if not path.name.startswith(".") and path.name not in _PASSED_OVER:
            yield from _folders(path, depth + 1, budget)


def _run(settings: Settings, folder: Path) -> dict[str, Any] | None:
    """A run that has weights; None of one that has none yet, or cannot be read."""
    weights = next((folder / f"{n}.safetensors" for n in ("best", "last")
                    if (folder / f"{n}.safetensors").is_file()), None)  # fmt: skip
    return None if weights is None else _told(settings, folder, weights)


def _file(settings: Settings, file: Path) -> dict[str, Any] | None:
    return _told(settings, file, file)


def _told(settings: Settings, spec: Path, weights: Path) -> dict[str, Any] | None:
    from sightline.records import read_header

    try:
        header = read_header(weights)
        written = weights.stat().st_mtime
    except (ModelFileError, OSError):  # weights alone, or no model of ours
        return None
    built = header.architecture
    return {
        "spec": spelt(settings, spec),
        "model": built.name,
        "source": built.source,
        "input_shape": [built.in_channels, *built.input_size],
        "classes": len(header.classes),
        "scores": dict(header.scores),
        "written": written,
    }


def spelt(settings: Settings, path: Path) -> str:
    """A path as the browser is told it: from the first root, where it lies in that."""
    first = settings.roots[0]
    return str(path.relative_to(first)) if path.is_relative_to(first) else str(path)


# ---------------------------------------------------------------------- what is opened and kept


class Opened:
    """Models and pictures that were opened, and pictures that were sent: in memory alone, the last ones.

    Args:
        settings: Of the studio.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._subjects: Kept[Subject] = Kept(_MODELS, _size, _MODEL_BYTES)
        self._sent: Kept[tuple[str, bytes]] = Kept(_UPLOADS)
        self._numbered = 0
        self._lock = threading.Lock()

    def subject(self, text: str, classes: str = "") -> Subject:
        """A model ready to be looked at. The caller holds `WORK`.

        Args:
            text: As of `model_spec`.
            classes: A file with the names of its outputs, if its weights came alone.

        Raises:
            RefusedError: if it may not be named, or is not there.
            SightlineError: as `open_subject`.
        """
        from sightline.inference import read_belongings
        from sightline.views import open_subject

        spec = model_spec(self._settings, text)
        device = self._settings.device or "auto"
        file = confined(self._settings, classes) if classes else None
        names = read_belongings(None, None, file).classes or ()
        key = (spec, stamp(spec), names)
        return self._subjects.make(key, lambda: open_subject(spec, device=device, classes=names))

    def receive(self, name: str, content: bytes) -> str:
        """Keep a picture that was sent. -> what it is called from now on.

        Raises:
            DataError: if it is none that can be read.
        """
        from sightline.imaging import UnreadableImageError, decode_array

        try:
            decode_array(content)
        except UnreadableImageError as error:
            raise DataError(f"{name}: {error}") from error
        with self._lock:
            self._numbered += 1
            number = self._numbered
        key = f"sent:{number}"
        self._sent.keep(key, (name, content))
        return key

    def picture(self, subject: Subject, image: str) -> Picture:
        """A picture as a model is given it.

        Args:
            subject: The model.
            image: `china`, `flower`, `digit:N`, what `receive` called it, or a path.

        Raises:
            RefusedError: if it may not be named, or is not there any more.
            DataError: if it cannot be read.
        """
        if image.startswith("sent:"):
            found = self._sent.find(image)
            if found is None:
                raise RefusedError(404, "that picture is no longer kept; drop it again")
            name, content = found
            return subject.picture(content, name=name)
        if image in ("china", "flower") or re.fullmatch(r"digit:\d+", image):
            return subject.picture(image)
        path = confined(self._settings, image)
        if not path.is_file():
            raise RefusedError(404, f"there is no picture {image!r}; china, flower and digit:0 need no file")
        return subject.picture(path, name=image)


def _size(subject: Subject) -> int:
    return sum(p.numel() * p.element_size() for p in subject.network.parameters())
