"""A kernel on one's own image: the play `filter`."""

from __future__ import annotations

import base64
import collections
import hashlib
import io
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightline.base import ArgumentError
from sightline.studio._plays import computed_words, matrix_of
from sightline.studio._settings import RefusedError, Settings, confined

SIDE = 720
"""An image with a longer side is made smaller first: it is looked at, and sent after each change."""
_KEPT = 8
_NAMES = ("china", "flower", "digit:0 to digit:1796")


class Uploads:
    """The images a browser sent last, in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[str, tuple[str, bytes]] = collections.OrderedDict()

    def add(self, content: bytes, name: str) -> str:
        """Keep it, and say what it is called from now on."""
        key = f"upload:{hashlib.blake2b(content, digest_size=8).hexdigest()}"
        with self._lock:
            self._kept[key] = (name, content)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return key

    def find(self, key: str) -> tuple[str, bytes]:
        """Its name and its content.

        Raises:
            RefusedError: if it is not there any more.
        """
        with self._lock:
            if key not in self._kept:
                raise RefusedError(404, f"that image is no longer here ({_KEPT} are kept); send it again")
            return self._kept[key]


def picture_of(settings: Settings, uploads: Uploads, text: str) -> tuple[str, Any]:
    """What an image is called, and its pixels: (H, W) of a grey one, or (H, W, 3).

    Raises:
        ArgumentError: if there is none of that name.
        RefusedError: if it lies outside the roots, or is not there.
        DataError: if it cannot be read.
    """
    from sightline.imaging import named_picture, picture_pixels

    if text.startswith("upload:"):
        name, content = uploads.find(text)
        return name, picture_pixels(content, name)
    if re.fullmatch(r"china|flower|digit(:.*)?", text) and not Path(text).exists():
        return text, named_picture(text)
    path = confined(settings, text)
    if not path.is_file():
        raise RefusedError(404, f"there is no image {text!r}; embedded are {', '.join(_NAMES)}")
    return path.name, named_picture(str(path))


def filter_values(settings: Settings, uploads: Uploads, given: Mapping[str, Any]) -> dict[str, Any]:
    """An image under a kernel, as PNG, with the rule by which it is shown.

    Args:
        settings: Which folders an image may lie in.
        uploads: Images sent before.
        given: image; kernel (a name, text or rows of numbers); flip; signed; pad (reflect).

    Raises:
        ArgumentError: if the kernel is none, or larger than the image.
        RefusedError: as `picture_of`.
        DataError: if the image cannot be read.
    """
    from sightline.reference import Kernel, filter_image, grey_levels, number_text
    from sightline.reference import kernel as read_kernel

    asked = given.get("kernel", "identity")
    if isinstance(asked, list):
        found = Kernel("yours", matrix_of(asked, "the kernel", 225), "as given")
    else:
        found = read_kernel(str(asked)[:2000])
    if found.matrix.size > 225:
        raise ArgumentError(f"the kernel has {found.matrix.size} numbers; 15x15 are laid on at most")
    name, pixels = picture_of(settings, uploads, str(given.get("image", "china")))
    full = f"{pixels.shape[0]}x{pixels.shape[1]}"
    pixels = _smaller(pixels)
    pad = str(given.get("pad", "reflect"))
    flip = bool(given.get("flip"))
    response = filter_image(pixels, found.matrix, padding=pad, flip=flip)
    levels = grey_levels(response, found.matrix, signed=bool(given.get("signed")))
    size = f"{pixels.shape[0]}x{pixels.shape[1]}"
    return {
        "name": name,
        "size": size if size == full else f"{size}, made smaller from {full}",
        "source": _png(pixels),
        "picture": _png(levels.pixels),
        "small": max(pixels.shape[:2]) < 100,
        "kernel": [[number_text(v) for v in row] for row in found.matrix.tolist()],
        "kernel_text": found.text if found.matrix.size <= 49 else f"{found.matrix.shape[0]} rows",
        "what": found.what,
        "sum": f"the weights add up to {number_text(float(found.matrix.sum()))}",
        "computed": computed_words(flip, found.is_symmetric),
        "shown": f"answers from {levels.low:.4g} to {levels.high:.4g}; {levels.text}",
    }


def kernel_list() -> list[dict[str, str]]:
    """The classic kernels, for a menu."""
    from sightline.reference import KERNEL_NAMES
    from sightline.reference import kernel as read_kernel

    return [{"name": name, "what": read_kernel(name).what} for name in KERNEL_NAMES]


def _smaller(pixels: Any) -> Any:
    import numpy as np
    from PIL import Image

    longest = max(pixels.shape[:2])
    if longest <= SIDE:
        return pixels
    size = tuple(max(1, round(n * SIDE / longest)) for n in (pixels.shape[1], pixels.shape[0]))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _png(pixels: Any) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
