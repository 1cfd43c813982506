"""Small valid files of every kind that is read: what `fuzz_cases.py` breaks."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from PIL import Image

Files = dict[str, bytes]
"""The files of one set by name; one that is called `!name` is not changed."""

SCIENCE = all(importlib.util.find_spec(name) for name in ("imagecodecs", "astropy"))
"""Whether the extra `science` is installed."""

_RNG = np.random.default_rng(6)
_TAG_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def _values(*shape: int, dtype: str = "u1", top: int | None = None) -> Any:
    if dtype.startswith("f"):
        return _RNG.normal(size=shape).astype(dtype)
    return _RNG.integers(0, top or np.iinfo(dtype).max, shape).astype(dtype)


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def _image(mode: str, size: tuple[int, int] = (11, 9)) -> Image.Image:
    smooth = Image.fromarray(_values(3, 4, 3)).resize(size, Image.Resampling.BILINEAR)
    if mode == "I;16":
        return Image.fromarray(_values(size[1], size[0], dtype="u2"))
    if mode == "F":
        return Image.fromarray(_values(size[1], size[0], dtype="f4"))
    image = smooth.convert("RGB" if mode in ("LAB", "La") else mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(_values(size[1], size[0])))
    return image


def _tiff(values: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **settings)
    return re.sub(rb"(?<=urn:uuid:)[0-9a-f-]{36}", b"0" * 36, file.getvalue())  # drawn anew each time


def tiff_entries(content: bytes) -> list[tuple[int, int, int]]:
    """Of each tag of a TIFF or BigTIFF: where its entry, its count and its value lie."""
    order: Any = "big" if content[:2] == b"MM" else "little"
    big = content[2:4] in (b"+\0", b"\0+")
    wide, entry, start = (8, 20, 8) if big else (4, 12, 4)

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], order)

    found: list[tuple[int, int, int]] = []
    at, count_size = number(start, wide), 8 if big else 2
    for _ in range(4):
        count = number(at, count_size) if 0 < at < len(content) else 0
        for k in range(min(count, 40)):
            here = at + count_size + k * entry
            size = _TAG_SIZES.get(number(here + 2, 2), 1) * number(here + 4, wide)
            inline = here + 4 + wide
            found.append((here, here + 4, inline if size <= wide else number(inline, wide)))
        at = number(at + count_size + count * entry, wide)
    return found


def _packed_tiff(bits: int) -> bytes:
    """Samples of fewer than 16 bits side by side, which no writer here makes: 16-bit rows, told otherwise."""
    content = bytearray(_tiff(_values(7, bits // 2, dtype="u2"), photometric="minisblack"))
    for at, _, value in tiff_entries(bytes(content)):
        tag = int.from_bytes(content[at : at + 2], "little")
        if tag in (256, 258):
            content[value : value + 2] = (8 if tag == 256 else bits).to_bytes(2, "little")
    return bytes(content)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(bits: int, colour: int, interlaced: bool, extra: bytes = b"") -> bytes:
    """Any PNG; of an interlaced one each pass is written out."""
    height, width, channels = 9, 11, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
    rows = b""
    for top, left, down, right in passes:
        tall, wide = -(-(height - top) // down), -(-(width - left) // right)
        length = -(-wide * channels * bits // 8)
        rows += b"".join(bytes([_RNG.integers(5)]) + _RNG.bytes(length) for _ in range(tall))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    data = zlib.compress(rows)
    palette = _chunk(b"PLTE", _RNG.bytes(3 << bits)) if colour == 3 else b""
    parts = [_chunk(b"IHDR", header), palette, extra, _chunk(b"IDAT", data[:20]), _chunk(b"IDAT", data[20:])]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


def _pngs() -> list[bytes]:
    contents = [_png(8, 0, False), _png(16, 0, False), _png(8, 2, True), _png(8, 6, False), _png(8, 4, True)]
    contents += [_png(bits, 3, bits == 4, _chunk(b"tRNS", b"\x00\x80")) for bits in (1, 4, 8)]
    contents += [_png(1, 0, False), _png(16, 0, True, _chunk(b"tRNS", b"\x01\x00"))]
    contents += [_png(8, 2, False, _chunk(b"tRNS", bytes(6)) + _chunk(b"gAMA", struct.pack(">I", 45455)))]
    if SCIENCE:
        contents += [_png(16, 2, False), _png(16, 6, True), _png(16, 4, False)]
    exif = Image.Exif()
    exif[0x0112] = 6
    return [*contents, _saved(_image("RGB"), "PNG", exif=exif)]


def _frames(kind: str, mode: str, count: int, **settings: Any) -> bytes:
    images = [_image(mode) for _ in range(count)]
    return _saved(images[0], kind, save_all=True, append_images=images[1:], **settings)


def _jpegs() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 5
    image = _image("RGB", (37, 29))
    return [
        _saved(image, "JPEG"),
        _saved(image, "JPEG", progressive=True, quality=60),
        _saved(_image("L", (37, 29)), "JPEG", optimize=True),
        _saved(_image("CMYK"), "JPEG"),
        _saved(image, "JPEG", exif=exif, subsampling=0, dpi=(72, 72)),
        _saved(image, "JPEG", restart_marker_blocks=2, comment=b"a word"),
        _frames("MPO", "RGB", 2),
    ]


def _gifs() -> list[bytes]:
    return [
        _saved(_image("P"), "GIF"),
        _saved(_image("L"), "GIF", interlace=1),
        _saved(_image("P"), "GIF", transparency=3),
        _frames("GIF", "L", 3, duration=10),
        _frames("GIF", "RGB", 3, disposal=2, loop=0),
    ]


def _bmps() -> list[bytes]:
    contents = [_saved(_image(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    runs = b"\x03\x01\x02\x05\x00\x00\x00\x03\x01\x02\x03\x00\x00\x02\x02\x01\x03\x07\x00\x01"
    head = struct.pack("<IiiHHIIiiII", 40, 8, 3, 1, 8, 1, len(runs), 2835, 2835, 256, 0)
    size = 14 + len(head) + 1024
    return [
        *contents,
        struct.pack("<2sIHHI", b"BM", size + len(runs), 0, 0, size) + head + _RNG.bytes(1024) + runs,
    ]


def _webps() -> list[bytes]:
    contents = [_saved(_image("RGB"), "WEBP"), _saved(_image("RGBA"), "WEBP", lossless=True)]
    return [*contents, _saved(_image("RGBA"), "WEBP", quality=40), _frames("WEBP", "RGB", 3, duration=10)]


def _tiffs() -> list[bytes]:
    grey = {"photometric": "minisblack"}
    sixteen, colour = _values(18, 17, dtype="u2"), _values(18, 17, 3)
    contents = [
        _tiff(_values(9, 11), **grey),
        _tiff(sixteen, byteorder=">", **grey),
        _tiff(_values(9, 11, dtype="u2", top=4096), **grey),
        _tiff(_values(9, 11, dtype="u4", top=1 << 20), bigtiff=True, **grey),
        _tiff(_values(9, 11, dtype="f4"), rowsperstrip=2, **grey),
        _tiff(_values(9, 11, dtype="f8"), byteorder=">", **grey),
        _tiff(_values(9, 11, dtype="i2"), **grey),
        _tiff(colour, photometric="rgb"),
        _tiff(_values(3, 18, 17, dtype="u2"), photometric="rgb", planarconfig="separate"),
        _tiff(_values(9, 11, 4, dtype="u2"), photometric="rgb", extrasamples=["unassalpha"]),
        _tiff(sixteen, tile=(16, 16), **grey),
        _tiff(_values(9, 11) > 100, **grey),
        _tiff(_values(9, 11), photometric="miniswhite"),
        _tiff(_values(9, 11), photometric="palette", colormap=_values(3, 256, dtype="u2")),
        _tiff(_values(9, 11, 4), photometric="separated"),
        _tiff(_values(3, 9, 11, dtype="u2"), bigtiff=True, metadata=None, **grey),
        _tiff(_values(2, 3, 9, 11, dtype="u2"), imagej=True, metadata={"axes": "ZCYX"}),
        _tiff(_values(2, 2, 9, 11, dtype="u2"), ome=True, metadata={"axes": "TCYX"}, **grey),
        _tiff(_values(2, 9, 11), metadata={"axes": "ZYX"}, **grey),
        *map(_packed_tiff, (4, 12)),
        *(_saved(_image(mode), "TIFF") for mode in ("1", "P", "LA", "RGBA", "CMYK", "F", "I;16")),
        _saved(_image("1"), "TIFF", compression="group4"),
        *(_saved(_image("RGB"), "TIFF", compression=f"tiff_{name}") for name in ("lzw", "adobe_deflate")),
        _saved(_image("RGB"), "TIFF", compression="jpeg"),
        _frames("TIFF", "RGB", 2, compression="packbits"),
    ]
    if SCIENCE:
        packers = ("lzw", "zlib", "zstd", "packbits", "lzma", "png", "jpeg2000")
        contents += [_tiff(sixteen, compression=name, **grey) for name in packers]
        contents += [
            _tiff(sixteen, compression="zlib", predictor=True, tile=(16, 16), **grey),
            _tiff(_values(9, 11, dtype="f4"), compression="zlib", predictor=True, **grey),
            _tiff(colour, compression="lzw", photometric="rgb", rowsperstrip=4, predictor=True),
            _tiff(colour, compression="jpeg", photometric="rgb"),
            _tiff(_values(9, 11, dtype="u2", top=4096), compression="jpeg", bitspersample=12, **grey),
        ]
    return contents


def _netpbms() -> list[bytes]:
    def text(count: int, top: int) -> bytes:
        return " ".join(map(str, _RNG.integers(0, top, count))).encode() + b"\n"

    return [
        b"P1\n# a word\n5 4\n" + text(20, 2),
        b"P2 5 4 255\n" + text(20, 256),
        b"P2\n5 4\n# deep\n4095\n" + text(20, 4096),
        b"P3\n3 2\n65535\n" + text(18, 65536),
        b"P4\n11 9\n" + _RNG.bytes(18),
        b"P5 11 9 255\n" + _RNG.bytes(99),
        b"P5\n11 9\n65535\n" + _RNG.bytes(198),
        b"P6\n5 4\n255\n" + _RNG.bytes(60),
        b"P6 # a word\n5 4\n1023\n" + _values(60, dtype="u2", top=1024).astype(">u2").tobytes(),
        b"Pf\n5 4\n-1.0\n" + _values(20, dtype="f4").tobytes(),
    ]


def _jpeg2000s() -> list[bytes]:
    contents = [_saved(_image(mode, (37, 29)), "JPEG2000") for mode in ("L", "RGB", "RGBA", "LA")]
    contents.append(_saved(_image("RGB", (37, 29)), "JPEG2000", no_jp2=True, irreversible=True))
    contents.append(_saved(_image("L", (37, 29)), "JPEG2000", tile_size=(16, 16), num_resolutions=2))
    if SCIENCE:
        import imagecodecs

        deep = _values(29, 37, 3, dtype="u2")
        contents += [imagecodecs.jpeg2k_encode(deep[:, :, k].squeeze(), level=0) for k in ([0], slice(None))]
        contents.append(imagecodecs.jpeg2k_encode(deep >> 4, bitspersample=12, codecformat="j2k", level=0))
    return contents


def _fits() -> list[bytes]:
    if not SCIENCE:
        return []
    from astropy.io import fits

    def written(*units: Any) -> bytes:
        file = io.BytesIO()
        fits.HDUList(list(units)).writeto(file)
        return file.getvalue()

    scaled = fits.PrimaryHDU(_values(9, 11, dtype="u2"))
    packed = fits.CompImageHDU(_values(9, 11, dtype="i2"))
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    return [
        written(scaled),
        written(fits.PrimaryHDU(_values(3, 9, 11, dtype="f4"))),
        written(fits.PrimaryHDU(), table, fits.ImageHDU(_values(9, 11))),
        written(fits.PrimaryHDU(), packed),
    ]


def sealed_npz(members: Files, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def _npzs() -> list[Files]:
    labels = np.arange(6) % 2
    sets: list[dict[str, Any]] = [
        {"x_train": _values(6, 8, 8), "y_train": labels, "x_test": _values(2, 8, 8), "y_test": labels[:2]},
        {"images": _values(6, 8, 8, 3), "labels": np.array(["cat", "dog"])[labels]},
        {"images": _values(6, 5, 20, 20, dtype="u2"), "labels": labels, "classes": np.array(["a", "b"])},
        {
            "train_images": _values(6, 8, 8, dtype="f4"),
            "train_labels": labels[:, None].astype("u1"),
            "more": labels,
        },
    ]
    return [{"set.npz": npz(k % 2 == 1, **arrays)} for k, arrays in enumerate(sets)]


def _idx(values: Any, kind: int) -> bytes:
    return bytes([0, 0, kind, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def _idxs() -> list[Files]:
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    eight = _idx(_values(6, 8, 8), 8)
    numbers = _idx(np.arange(6, dtype="u1") % 2, 8)
    deep = _idx(_values(6, 8, 8).astype(">i2"), 0x0B)
    zipped = {
        f"{name}.gz": gzip.compress(body, mtime=0) for name, body in ((images, eight), (labels, numbers))
    }
    names = b"cat\ndog\n"
    test = {name.replace("train", "t10k"): body for name, body in ((images, eight), (labels, numbers))}
    return [
        {images: eight, labels: numbers},
        zipped,
        {images: deep, labels: _idx((np.arange(6) % 2).astype(">i4"), 0x0C), "classes.txt": names},
        {images: eight, labels: numbers, **test},
        {images: _idx(_values(6, 8, 8).astype(">f4"), 0x0D), labels: numbers, "classes.txt": names},
    ]


def _cifars() -> list[Files]:
    def records(count: int, start: int) -> bytes:
        return b"".join(bytes([k % 2] * start) + _RNG.bytes(3072) for k in range(count))

    ten, hundred = "\n".join(map(str, range(10))).encode(), "\n".join(map(str, range(100))).encode()
    return [
        {"data_batch_1.bin": records(4, 1), "test_batch.bin": records(2, 1), "batches.meta.txt": ten},
        {"train.bin": records(4, 2), "fine_label_names.txt": hundred},
        {"data_batch_1.bin": records(4, 1)},
    ]


def small_pngs() -> Files:
    """Four grey images, which the sets that only list files have beside them."""
    return {f"!{name}.png": _saved(_image("L"), "PNG") for name in "abcd"}


def _csvs() -> list[Files]:
    rows = "a.png,cat\nb.png,dog\nc.png,cat\nd.png,dog\n"
    sides = ("train", "train", "val", "test")
    parts = "".join(f"{row},{side}\n" for row, side in zip(rows.split(), sides, strict=True))
    texts = [
        f"path,label\n{rows}",
        f"path,label,split\n{parts}",
        "path:one,path:two,label,plate\na.png,b.png,cat,1\nc.png,d.png,dog,2\n",
        "\ufeff" + f"path;label\r\n{rows}".replace(",", ";").replace("\n", "\r\n"),
        'path\tlabel\t"a note"\na.png\t"cat, or not"\t"x ""y"" z"\n./b.png\tdögs\t\n',
    ]
    return [{"set.csv": text.encode(), **small_pngs()} for text in texts]


def _yaml() -> bytes:
    return b"""sightline: 0.1.0
data: {source: images, classes: [cat, dog], pages: ''}
model: {name: lenet5, arguments: {}}
preprocessing: &p {mean: [0.5], std: [0.25]}
recipe:
  epochs: 5
  lr: 1.0e-3
  name: "d\\u00f6g"
seed: 0
split_seed: 0
plan: *p
"""


def _tables() -> list[bytes]:
    rows = "".join(f"c/{k}.png,c,{part},{'ab' * 16}\n" for k, part in enumerate(("train", "val", "test")))
    return [
        f"path,class,part,digest\n{rows}".encode(),
        f'path,class,part,digest\n"d ""x"", y.png"{rows}'.encode(),
    ]


def _names() -> list[bytes]:
    return [
        b"cat\ndog\n",
        "\ufeffcat\r\ndög\r\n\r\n".encode(),
        b"\n".join(f"class {k}".encode() for k in range(99)),
    ]


def _safetensors(metadata: dict[str, str] | None, **tensors: Any) -> bytes:
    import safetensors.numpy

    return safetensors.numpy.save(tensors, metadata)


def model_header() -> dict[str, Any]:
    """What the file of a small trained network says."""
    import dataclasses

    from sightline.records import ArchitectureReference, ModelHeader, SplitReference, versions

    reference = ArchitectureReference(name="mlp", num_classes=2, in_channels=1, input_size=(8, 8))
    return dataclasses.asdict(
        ModelHeader(
            architecture=reference,
            classes=("cat", "dog"),
            canvas=(8, 8),
            preprocessing={"size": [8, 8], "fit": "none", "mean": [0.5], "std": [0.25]},
            objective="cross_entropy",
            objective_settings={"label_smoothing": 0.1},
            split=SplitReference(digest="ab" * 16, seed=0, rule="by hash"),
            scores={"accuracy": 0.9},
            temperature=1.25,
            versions=versions(),
        )
    )


def _models() -> list[bytes]:
    import torch

    from sightline.zoo import get_architecture

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = get_architecture("mlp").build(num_classes=2, in_channels=1, input_size=(8, 8))
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return [_safetensors({"sightline": json.dumps(model_header())}, **state)]


def _weights() -> list[bytes]:
    import torch

    def saved(content: Any, new: bool) -> bytes:
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=new)
        written = file.getvalue()
        for k, place in enumerate(sorted(set(re.findall(rb"[0-9]{12,}", written)))):  # places in memory
            written = written.replace(place, b"%d" % k * len(place))
        return written

    state = {"module.a.weight": torch.ones(3, 4), "module.a.bias": torch.arange(3)}
    pickled = [saved({"state_dict": state, "epoch": 3}, True), saved(state, False)]
    return [
        *pickled,
        npz(w=np.ones((3, 4)), b=np.arange(3)),
        npz(True, w=_values(4, dtype="f4")),
        _safetensors(None, w=np.ones(2)),
    ]


def _as_images(make: Callable[[], list[bytes]]) -> Callable[[], list[Files]]:
    return lambda: [{"image": content} for content in make()]


SEEDS: dict[str, Callable[[], list[Files]]] = {
    "png": _as_images(_pngs),
    "apng": _as_images(lambda: [_frames("PNG", mode, 3, duration=10) for mode in ("L", "RGB", "RGBA")]),
    "jpeg": _as_images(_jpegs),
    "gif": _as_images(_gifs),
    "bmp": _as_images(_bmps),
    "webp": _as_images(_webps),
    "tiff": _as_images(_tiffs),
    "netpbm": _as_images(_netpbms),
    "jpeg2000": _as_images(_jpeg2000s),
    "fits": _as_images(_fits),
    "csv": _csvs,
    "idx": _idxs,
    "cifar": _cifars,
    "npz": _npzs,
    "index": list,  # written by opening a folder: see `fuzz.py`
    "split": lambda: [{"split.csv": text} for text in _tables()],
    "model": lambda: [{"model.safetensors": content} for content in _models()],
    "weights": lambda: [{"weights": content} for content in _weights()],
    "args": lambda: [{"args.yaml": _yaml()}],
    "names": lambda: [{"names.txt": content} for content in _names()],
}
"""Valid sets of files by kind."""


def valid(kind: str) -> list[Files]:
    """The valid files of a kind, which are the same whatever else was made before."""
    _RNG.bit_generator.state = np.random.default_rng(zlib.crc32(kind.encode())).bit_generator.state
    return SEEDS[kind]()
