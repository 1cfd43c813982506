"""One forward pass, watched: where shapes break, and where numbers stop being finite."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sightline.base import ArgumentError
from sightline.blueprint._shortcuts import run


def run_once(
    network: nn.Module,
    input_shape: tuple[int, ...],
    what: str,
    *,
    batch: int = 1,
    training: bool = False,
) -> Any:
    """What a network returns for a batch of zeros; the network is left as it was.

    Args:
        network: Takes one tensor.
        input_shape: (C, H, W).
        what: The network as the user calls it, for the message.
        batch: Images.
        training: Run it as in training rather than as in evaluation.

    Raises:
        ArgumentError: if the input does not go through; it names the layer, what it was given, and why.
    """
    inside: list[tuple[str, nn.Module, str]] = []

    def enter(name: str, module: nn.Module, inputs: tuple[object, ...]) -> None:
        shapes = [_by_x(tuple(x.shape[1:])) for x in inputs if isinstance(x, Tensor)]
        inside.append((name, module, ", ".join(shapes)))

    def leave(name: str, module: nn.Module, inputs: tuple[object, ...]) -> None:
        inside.pop()

    parameter = next(iter(network.parameters()), None)
    device = parameter.device if parameter is not None else None
    on_meta = device is not None and device.type == "meta"
    short = _Short() if on_meta else contextlib.nullcontext()  # type: ignore[no-untyped-call]
    make = torch.empty if on_meta else torch.zeros  # on `meta` zeros come from a slow kernel, and are none
    with in_mode(network, training=training), _watching(network, enter, leave), torch.no_grad(), short:
        try:
            return network(make(batch, *input_shape, device=device))
        except Exception as error:  # the network may be a user's, and fail in any way
            layer = "its forward"
            if inside:
                name, module, given = inside[-1]
                layer = f"layer {name or '(the network itself)'} ({type(module).__name__}), given {given},"
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            size = f"{batch} images of " if training else ""
            raise ArgumentError(
                f"{what} cannot take an input of {size}{_by_x(input_shape)}: {layer} failed: {reason}"
            ) from error


class _Short(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """On `meta`, shapes without PyTorch's own kernels where those are slow to load."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # PyTorch's compiler would be imported to be told to look away: seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def output_shape(network: nn.Module, input_shape: tuple[int, ...], what: str) -> tuple[int, ...]:
    """Shape of the tensor a network returns for one input, without the batch axis.

    Arguments and errors as `run_once`; it is an error, too, if the network returns no tensor.
    """
    result = run_once(network, input_shape, what)
    if not isinstance(result, Tensor):
        raise ArgumentError(f"{what} returns {type(result).__name__}, not a tensor of raw outputs")
    return tuple(result.shape[1:])


def first_non_finite(network: nn.Module, images: Tensor) -> str:
    """The first layer whose weights or output hold a value that is not finite, for a finding.

    Args:
        network: The network; it is left as it was.
        images: A preprocessed batch, (N, C, H, W).
    """
    if not torch.isfinite(images).all():
        return "the input images"
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return f"the weights {name}"
    found: list[str] = []

    def leave(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        leaf = not any(True for _ in module.children())
        if leaf and isinstance(output, Tensor) and not torch.isfinite(output).all():
            found.append(f"the output of layer {name} ({type(module).__name__})")

    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for name, module in network.named_modules():
            handle = module.register_forward_hook(lambda m, i, o, name=name: leave(name, m, i, o))
            hooks.callback(handle.remove)
        network(images)
        for name, buffer in network.named_buffers():  # batch statistics, which training mode moves
            buffer.copy_(buffers[name])
    return found[0] if found else "the loss alone: every layer's output is finite"


@contextlib.contextmanager
def in_mode(network: nn.Module, *, training: bool) -> Iterator[None]:
    """Training or evaluation mode while it is entered; afterwards every module's own mode, and buffers.

    Args:
        network: The network.
        training: Which mode.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()} if training else {}
    network.train(training)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for name, buffer in buffers.items():
                network.get_buffer(name).copy_(buffer)


@contextlib.contextmanager
def _watching(
    network: nn.Module,
    enter: Callable[[str, nn.Module, tuple[object, ...]], None],
    leave: Callable[[str, nn.Module, tuple[object, ...]], None],
) -> Iterator[None]:
    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            before = module.register_forward_pre_hook(lambda m, i, name=name: enter(name, m, i))
            after = module.register_forward_hook(lambda m, i, o, name=name: leave(name, m, i))
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        yield


def _by_x(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
