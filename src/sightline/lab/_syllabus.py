"""The lecture in slide order, and how one of its stops is run."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from sightline.base import ArgumentError, did_you_mean, write_json
from sightline.lab._entry import Entry, Page, Setting

ORDER = (
    "nutshell",
    "why-cnns",
    "invariance",
    "tasks",
    "convolution",
    "kernels",
    "padding",
    "pooling",
    "one-dimension",
    "stride",
    "sizes",
    "neuron",
    "features",
    "lenet",
    "alexnet",
    "vgg",
    "revolution",
    "keras",
    "softmax",
    "filter-shapes",
    "kernel-sizes",
    "strides-pooling",
    "depth",
)
"""Names of entries, each `ENTRY` of a module of `entries`; a hyphen in a name is an underscore there."""


@functools.cache
def syllabus() -> tuple[Entry, ...]:
    """Every entry, in the order of the slides."""
    modules = (importlib.import_module(f"{__package__}.entries._{n.replace('-', '_')}") for n in ORDER)
    return tuple(module.ENTRY for module in modules)


def find_entry(name: str) -> Entry:
    """The entry of that name.

    Raises:
        ArgumentError: if there is none, with close matches.
    """
    for entry in syllabus():
        if entry.name == name:
            return entry
    raise ArgumentError(f"ENTRY {name!r} is not in the syllabus; {did_you_mean(name, ORDER)}")


def run_entry(entry: Entry, setting: Setting, folder: Path) -> tuple[Page, Path]:
    """Run an entry and leave `<entry>/index.html`, one self-contained page, and `<entry>/numbers.json`.

    Args:
        entry: Of the syllabus.
        setting: How.
        folder: Where its folder is made; a page of an earlier run is replaced.

    Raises:
        ArgumentError: as `check_setting`.
        StorageError: if the disk refuses; an older page is untouched.
    """
    check_setting(entry, setting)
    page = entry.run(setting)
    path = folder / entry.name / "index.html"
    from sightline.lab._page import write_entry

    write_entry(path, entry, page)
    write_json(path.with_name("numbers.json"), {"entry": entry.name, "live": setting.live, **page.numbers})
    return page, path


def check_setting(entry: Entry, setting: Setting) -> None:
    """Whether an entry can be run so.

    Raises:
        ArgumentError: if it has no `--live` form, or no use for images, or there are none.
    """
    if setting.live and entry.live_seconds is None:
        raise ArgumentError(f"--live: {entry.name} always computes everything; leave it out")
    if setting.data is not None and not entry.takes_data:
        takers = ", ".join(one.name for one in syllabus() if one.takes_data) or "none"
        raise ArgumentError(f"--data: {entry.name} uses no images of yours; entries that do: {takers}")
    if setting.data is not None and not setting.data.exists():
        raise ArgumentError(f"--data {setting.data} does not exist")
