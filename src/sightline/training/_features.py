"""What the head of a trained network is given: features of some images, computed once and kept.

They are computed in evaluation mode, in fp32, without augmentation. Always fp32, whatever the plan: the
network is judged in fp32, and features that are kept for other runs must not depend on which number format
was faster on the day they were made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline._version import __version__
from sightline.base import (
    ArgumentError,
    DataError,
    StorageError,
    allocate,
    cache_folder,
    storage_errors,
    sweep_abandoned,
)
from sightline.blueprint import in_mode
from sightline.data import ImageSet
from sightline.training._job import Job

_FORMAT = 1
"""Of features that are kept. Raise it with every change in what is computed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """The last layer of a network: its logits are a linear function of the features it is given."""

    path: str
    module: nn.Linear | nn.Conv2d
    factor: float
    """What the network multiplies the layer's output by."""

    def become(self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> None:
        """Take on weights that give the logits, (classes, features), and biases, (classes,)."""
        with torch.no_grad():
            wanted = torch.from_numpy(weight / np.float32(self.factor))
            self.module.weight.copy_(wanted.view_as(self.module.weight))
            if bias is not None:
                assert self.module.bias is not None
                self.module.bias.copy_(torch.from_numpy(bias / np.float32(self.factor)))


def find_head(job: Job) -> Head:
    """The layer that gives the logits, tried out: it is linear, and all that comes after it is, too.

    It may be a fully connected layer without or with bias, or a 1x1 convolution whose maps are averaged; the
    network may multiply its output by a number. The network is left as it was.

    Raises:
        ArgumentError: if it is not so; it says what is instead.
    """
    network, path = job.network, job.architecture.head or _last_linear(job)
    what = f"{path} of {job.architecture.name}"
    modules = dict(network.named_modules())
    if path not in modules:
        raise ArgumentError(f"a linear probe needs the layer that gives the logits; there is no {what}")
    module = modules[path]
    plain = isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.stride, module.groups) == ((1, 1), (1, 1), 1)
        and module.padding in ((0, 0), "same", "valid")
    )
    if not plain or not isinstance(dict(module.named_parameters(recurse=False)).get("weight"), nn.Parameter):
        kind = type(module).__name__
        raise ArgumentError(
            f"a linear probe needs a fully connected layer or a 1x1 convolution as head; {what} is a {kind}"
        )
    assert isinstance(module, nn.Linear | nn.Conv2d)
    _check_own(network, path, module, what)
    answers: list[Tensor] = []

    def give(_: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
            raise ArgumentError(f"{what} is not given one tensor, by its place")
        return torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1)).to(inputs[0])

    def replace(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        own = _weighted(inputs[0], module)
        if own is None or not torch.allclose(own, output, rtol=1e-3, atol=1e-4):
            raise ArgumentError(f"{what} is not a plain linear layer of one vector, or map, an image")
        answers.append(torch.randn(output.shape, generator=torch.Generator().manual_seed(len(answers))))
        return answers[-1].to(output, copy=True)  # what comes after may work in place

    with contextlib.ExitStack() as handle:  # what it is really given by random weights may be too large
        handle.callback(module.register_forward_pre_hook(give).remove)
        output = _tried(job, [(module, replace)])
    if len(answers) != 1:
        raise ArgumentError(f"{what} is used {len(answers)} times for an image; a linear probe needs once")
    told = answers[0].flatten(2).mean(dim=2) if answers[0].dim() > 2 else answers[0]
    if not isinstance(output, Tensor) or output.shape != told.shape:
        raise ArgumentError(f"the output of {job.architecture.name} is not that of {what}")
    output = output.float().cpu()
    factor = float((output * told).sum() / (told * told).sum())
    if factor == 0 or not torch.allclose(output, factor * told, rtol=1e-4, atol=1e-5):
        raise ArgumentError(
            f"the logits are not linear in {what}: something after it (a ReLU, a normalisation) changes "
            f"them, so no regression gives its weights; train it instead: --recipe fine_tune"
        )
    return Head(path, module, factor)


def _last_linear(job: Job) -> str:
    """The fully connected layer that is used last, of a network whose record names no head."""
    used: list[str] = []
    linear = [(name, m) for name, m in job.network.named_modules() if isinstance(m, nn.Linear)]

    def note(name: str) -> Callable[..., None]:
        return lambda *_: used.append(name)

    _tried(job, [(module, note(name)) for name, module in linear])
    if not used:
        raise ArgumentError(
            f"a linear probe needs a fully connected last layer (nn.Linear); {job.architecture.name} has none"
        )
    return used[-1]


def _check_own(network: nn.Module, path: str, module: nn.Module, what: str) -> None:
    """Whether the head's parameters are its alone: fitting them must change nothing else."""
    own = {id(parameter) for parameter in module.parameters()}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if id(parameter) in own and not name.startswith(f"{path}."):
            raise ArgumentError(f"{what} shares its weights with {name}; a linear probe would change both")


def _weighted(x: Tensor, module: nn.Linear | nn.Conv2d) -> Tensor | None:
    """What a plain layer of these weights would give; None if it is given something else."""
    if isinstance(module, nn.Linear):
        return F.linear(x, module.weight, module.bias) if x.dim() == 2 else None
    return F.conv2d(x, module.weight, module.bias) if x.dim() == 4 else None


def _tried(job: Job, hooks: list[tuple[nn.Module, Callable[..., Any]]]) -> Any:
    """What the network gives for two images of noise while these layers are watched."""
    shape = (2, job.preprocessing.channels, *job.preprocessing.size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with contextlib.ExitStack() as handles, in_mode(job.network, training=False), torch.no_grad():
        for module, hook in hooks:
            handles.callback(module.register_forward_hook(hook).remove)
        return job.network(job.plan.place_images(x))


# -- features ------------------------------------------------------------------------------------------


def features_of(
    job: Job,
    images: ImageSet,
    head: Head,
    ids: NDArray[np.int64],
    frozen: str,
    each: Callable[[], None],
) -> tuple[NDArray[np.float32], bool]:
    """What the head is given for some images, from the cache or by one pass over them.

    Args:
        job: The run.
        images: The set.
        head: Of the run's network.
        ids: Which images.
        frozen: The network's `frozen_digest`.
        each: Called after each batch; it may raise to stop, and then nothing is kept.

    Returns:
        (N, features), mapped from its file, and whether it was there already.

    Raises:
        DataError: if a feature is not finite, or a file can no longer be read.
    """
    path = _path(job, images, ids, frozen)
    shape = (len(ids), head.module.weight.shape[1])
    with contextlib.suppress(OSError, ValueError, EOFError):
        stored: NDArray[np.float32] = np.load(path, mmap_mode="r")
        if stored.shape == shape and stored.dtype == np.float32:
            return stored, True
    partial = path.with_name(f"{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        try:
            array = _reserved(partial, shape)
        except StorageError as error:  # without a cache it is only slower next time
            job.reporter.note(f"features are not kept: {error}")
            fresh = np.empty(shape, dtype=np.float32)
            _fill(job, images, head, ids, fresh, each)
            return fresh, False
        _fill(job, images, head, ids, array, each)
        with storage_errors(path):
            array.flush()
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r"), False


def _fill(
    job: Job,
    images: ImageSet,
    head: Head,
    ids: NDArray[np.int64],
    array: NDArray[np.float32],
    each: Callable[[], None],
) -> None:
    """One pass over some images; each row of the array becomes what the head is given for one."""
    given: list[Tensor] = []

    def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given.append(inputs[0])

    plan = dataclasses.replace(job.plan, dtype="fp32", compile=False)
    size = job.recipe.batch_size
    order = [ids[start : start + size] for start in range(0, len(ids), size)]
    done, began = 0, job.clock()
    handle = head.module.register_forward_pre_hook(take)
    try:
        with in_mode(job.network, training=False), torch.inference_mode():
            for batch in job.source.batches(order):
                job.network(plan.place_images(job.preprocessing(batch.images.to(plan.device))))
                x = given.pop()
                if x.dim() > 2:
                    x = x.flatten(2).mean(dim=2)  # n c h w -> n c: a 1x1 convolution gives its own mean
                rows = x.float().cpu().numpy()
                finite = np.isfinite(rows).all(axis=1)
                if not finite.all():
                    name = images.names[int(batch.ids[int(np.argmin(finite))])]
                    raise DataError(
                        f"{name}: what {head.path} is given for it is not finite; are the weights whole?"
                    )
                array[done : done + len(rows)] = rows
                done += len(rows)
                pace = f"{done / max(job.clock() - began, 1e-9):.0f} images/s"
                job.reporter.progress("computing features", done, len(ids), pace.__str__)
                each()
    finally:
        handle.remove()


def frozen_digest(job: Job, head: Head) -> str:
    """Of everything that features depend on in a network: its structure, and all tensors but the heads'."""
    ends = tuple(f"{path}." for path in (head.path, *job.architecture.auxiliary_heads))
    key = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(job.network.state_dict(keep_vars=True).items()):
        if not name.startswith(ends):
            key.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            raw = tensor.detach().cpu().contiguous().flatten()
            key.update(raw.view(torch.uint8).numpy().data)
    return key.hexdigest()


def _path(job: Job, images: ImageSet, ids: NDArray[np.int64], frozen: str) -> Path:
    """Where features are kept: by content of weights and images, and by all that lies between them."""
    architecture = job.architecture
    about = [
        _FORMAT, __version__, torch.__version__, torch.device(job.plan.device).type, frozen,
        architecture.name, architecture.arguments, architecture.source_digest, str(job.network),
        job.preprocessing.settings(), repr(job.source.canvas),
    ]  # fmt: skip
    key = hashlib.blake2b(json.dumps(about, default=str).encode(), digest_size=16)
    for index in ids:
        key.update(f"{images.digests[int(index)]}\n".encode())
    return cache_folder("features") / f"{key.hexdigest()}.npy"


def _reserved(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    """An array in a new file, its blocks really on the disk: a full disk says so here, not as a bus error."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(path.parent)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        array.flush()
        with path.open("r+b") as file:
            allocate(file, path.stat().st_size)
    return array
