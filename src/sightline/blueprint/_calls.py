"""Every layer and every functional operation of one forward pass, by name, as it is called.

Modules are met by standing in for `nn.Module.__call__` while the pass runs, functions (`F.relu`, `+`,
`torch.cat`) by a `TorchFunctionMode`; the network itself gets no hook and is not changed. Recording and live
execution share this walk, and so the ids.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sightline.base import ArgumentError

_KINDS = {
    "BatchNorm1d": "batch_norm", "BatchNorm2d": "batch_norm", "BatchNorm3d": "batch_norm",
    "SyncBatchNorm": "batch_norm", "InstanceNorm1d": "instance_norm", "InstanceNorm2d": "instance_norm",
    "InstanceNorm3d": "instance_norm", "Upsample": "interpolate", "UpsamplingNearest2d": "interpolate",
    "UpsamplingBilinear2d": "interpolate", "MultiheadAttention": "multi_head_attention", "SiLU": "silu",
    "PReLU": "prelu", "ELU": "elu", "CELU": "celu", "SELU": "selu", "GELU": "gelu", "GLU": "glu",
    "RReLU": "rrelu", "LSTM": "lstm", "GRU": "gru", "RNN": "rnn", "Softmax2d": "softmax",
}  # fmt: skip
_FUNCTIONS = {
    "iadd": "add", "radd": "add", "sub": "sub", "isub": "sub", "rsub": "sub", "imul": "mul", "rmul": "mul",
    "multiply": "mul", "truediv": "div", "rtruediv": "div", "itruediv": "div", "true_divide": "div",
    "divide": "div", "concat": "cat", "concatenate": "cat", "rmatmul": "matmul", "imatmul": "matmul",
    "mm": "matmul", "bmm": "matmul", "multi_head_attention_forward": "multi_head_attention", "fn": "function",
}  # fmt: skip
_PLAIN = frozenset(
    {
        "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "element_size",
        "get_device", "is_floating_point", "is_complex", "is_contiguous", "is_same_size", "is_tensor",
        "is_storage", "is_nonzero", "has_names", "data_ptr", "item", "tolist", "numpy", "untyped_storage",
        "storage", "backward", "register_hook", "requires_grad_", "retain_grad", "result_type", "can_cast",
        "equal", "allclose", "type", "is_set_to", "sym_size", "dim_order", "_is_view", "is_shared", "finfo",
        "iinfo", "__len__", "__bool__", "__int__", "__float__", "__index__", "__contains__", "__hash__",
        "__repr__", "__format__", "__iter__", "__dlpack__", "__array__", "__deepcopy__", "__reduce_ex__",
        "__setstate__",
    }
)  # fmt: skip
"""Functions that return no tensor, or change none: they are asked about tensors, and are no operation."""
_LEAVING = frozenset({"numpy", "tolist", "__array__", "__dlpack__"})
"""Functions that hand a tensor's numbers to something that is not PyTorch."""
_VIEW_PROPERTIES = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})


@dataclasses.dataclass(slots=True)
class Call:
    """A layer or a function about to run."""

    id: str
    kind: str
    path: str
    """Module path of the layer, or of the module that calls the function."""
    module: nn.Module | None
    """The layer; None for a function."""
    owner: nn.Module
    """The layer, or the module that calls the function."""
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def run(self) -> Any:
        """What it returns, done as it would be without us."""
        return self.function(*self.args, **self.kwargs)


class Visitor(Protocol):
    """What is done at each call."""

    def enter(self, path: str, id: str, module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: A002
        """A module that holds others, or runs functions, begins."""

    def leave(self, output: Any) -> None:
        """It has returned."""

    def visit(self, call: Call) -> Any:
        """Run a layer or function, and return what it returns."""

    def taken_out(self, args: tuple[Any, ...]) -> None:
        """Numbers leave PyTorch."""


class _Functions(TorchFunctionMode):
    """Functions called with tensors, outside layers."""

    def __init__(self, walk: Walk) -> None:
        super().__init__()
        self._walk = walk

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._walk.function(func, args, kwargs or {})


class Walk:
    """One forward pass, call by call.

    Args:
        network: Run as it is.
        visitor: Told of every call.
    """

    def __init__(self, network: nn.Module, visitor: Visitor) -> None:
        self._paths = {id(module): path for path, module in network.named_modules()}
        self._visitor = visitor
        self._within: list[tuple[str, nn.Module]] = [("", network)]
        self._times: dict[str, int] = {}
        self._inside_layer = 0
        self.failure: tuple[Exception, str, nn.Module, Call | None] | None = None
        """The last exception that came up, the module it came up in, and the call."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Meet every call of this thread while it is entered."""
        thread = threading.get_ident()
        original: Callable[..., Any]

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._inside_layer or threading.get_ident() != thread or id(module) not in self._paths:
                return original(module, *args, **kwargs)
            return self._module(original, module, args, kwargs)

        with ONE_AT_A_TIME:
            original = nn.Module.__call__
            nn.Module.__call__ = call  # type: ignore[method-assign]
            try:
                with _Functions(self):
                    yield
            finally:
                nn.Module.__call__ = original  # type: ignore[method-assign]

    def _module(
        self, original: Callable[..., Any], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = self._paths[id(module)]
        name = self._numbered(path)
        if is_layer(module):
            self._inside_layer += 1
            try:
                return self._visitor.visit(
                    Call(
                        name,
                        module_kind(module),
                        path,
                        module,
                        module,
                        lambda *a, **k: original(module, *a, **k),
                        args,
                        kwargs,
                    )
                )
            finally:
                self._inside_layer -= 1
        self._within.append((path, module))
        self._visitor.enter(path, name, module, (*args, *kwargs.values()))
        output = None
        try:
            output = original(module, *args, **kwargs)
        except Exception as error:
            self.failed(error)
            raise
        finally:
            self._visitor.leave(output)
            self._within.pop()
        return output

    def failed(self, error: Exception, call: Call | None = None) -> None:
        """Remember where an exception came up first."""
        if self.failure is None or self.failure[0] is not error:
            self.failure = (error, *self._within[-1], call)

    def function(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Meet a function; `kwargs` are its own."""
        if self._inside_layer:
            return function(*args, **kwargs)
        kind = function_kind(function)
        if not kind:
            if getattr(function, "__name__", "") in _LEAVING:
                self._visitor.taken_out(args)
            return function(*args, **kwargs)
        path, owner = self._within[-1]
        call = Call(
            self._numbered(f"{path}:{kind}"), kind, path, None, owner, function, args, kwargs
        )  # fmt: skip
        self._inside_layer += 1
        try:
            return self._visitor.visit(call)
        finally:
            self._inside_layer -= 1

    def _numbered(self, name: str) -> str:
        times = self._times[name] = self._times.get(name, 0) + 1
        return name if times == 1 else f"{name}#{times}"

    @property
    def here(self) -> tuple[str, nn.Module]:
        """Path and module that are running."""
        return self._within[-1]


ONE_AT_A_TIME = threading.RLock()
"""A pass stands in for `nn.Module.__call__` of the whole process."""


def is_layer(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's own layers, and so one node; others are looked into."""
    home = type(module).forward.__module__ or ""
    if not home.startswith(("torch.nn.modules.", "torch.nn.quant")):
        return False
    return home.rsplit(".", 1)[-1] not in ("container", "transformer", "module")


def module_kind(module: nn.Module) -> str:
    """What a layer does, as PyTorch names the function.

    Example:
        >>> module_kind(nn.ConvTranspose2d(1, 1, 2)), module_kind(nn.BatchNorm2d(3))
        ('conv_transpose2d', 'batch_norm')
    """
    name = next(
        (
            c.__name__
            for c in type(module).__mro__
            if c.__module__.startswith("torch.nn") and not c.__name__.startswith(("_", "Parametrized"))
        ),
        type(module).__name__,
    )
    if name in _KINDS:
        return _KINDS[name]
    return (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().replace("re_lu", "relu")
    )


def function_kind(function: Any) -> str:
    """What a function does, in the same words; empty where it is no operation on tensors.

    Example:
        >>> function_kind(torch.Tensor.__iadd__), function_kind(torch.relu_), function_kind(torch.Tensor.size)
        ('add', 'relu', '')
    """
    known = _KIND_OF.get(function)
    if known is None:
        known = _KIND_OF[function] = _read_kind(function)
    return known


_KIND_OF: dict[Any, str] = {}


def _read_kind(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        about = getattr(getattr(function, "__self__", None), "__name__", "")
        return about if about in _VIEW_PROPERTIES else ""
    if name in ("__set__", "__delete__") or name in _PLAIN:
        return ""
    plain = name.strip("_")
    return _FUNCTIONS.get(plain, plain)


def tensors_in(content: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, list | tuple):
        for item in content:
            yield from tensors_in(item)
    elif isinstance(content, Mapping):
        for item in content.values():
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(content) and not isinstance(content, type):
        for field in dataclasses.fields(content):
            yield from tensors_in(getattr(content, field.name))


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside `torch.compile`, `DataParallel` or `DistributedDataParallel`.

    Raises:
        ArgumentError: if it, or a part of it, is a scripted or traced module, whose layers cannot be seen.
    """
    if not isinstance(network, nn.Module):
        raise ArgumentError(f"the network must be an nn.Module; it is {network!r}")
    compiled = getattr(network, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return unwrapped(compiled)
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(network.module)
    for path, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            what = f"its part {path}" if path else "it"
            raise ArgumentError(
                f"{type(network).__name__} cannot be looked into: {what} is a scripted or traced module; "
                "give the Python module it was made from"
            )
    return network
