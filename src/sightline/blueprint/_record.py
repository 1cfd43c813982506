"""Record a network: one forward pass, without numbers where that is possible."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import TorchDispatchMode

from sightline.base import ArgumentError
from sightline.blueprint._calls import ONE_AT_A_TIME, Call, Walk, tensors_in, unwrapped
from sightline.blueprint._count import multiply_adds
from sightline.blueprint._graph import Blueprint, ModuleCall, Node, Operation, Ref, Shape, Value
from sightline.blueprint._settings import read_settings
from sightline.blueprint._shortcuts import run
from sightline.blueprint._trouble import explain
from sightline.blueprint._walk import in_mode

_DECIDING = frozenset(
    {"aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten._unique2", "aten.equal"}
)
"""Operations after which the numbers have their say in what runs."""


class PassError(ArgumentError):
    """An input does not go through a network; holds what was recorded up to there."""

    def __init__(self, where: str, why: str, blueprint: Blueprint, call: Call | None) -> None:
        super().__init__(f"{where} failed: {why}")
        self.where = where
        """The input, and the layer that did not take it."""
        self.blueprint = blueprint
        """Everything before the failure."""
        self.call = call
        """The layer or function that failed; None where the network's own code did."""


def record(
    network: nn.Module, *inputs: Tensor | Sequence[int], name: str = "", training: bool = False
) -> Blueprint:
    """Read a network from one forward pass.

    The pass runs on PyTorch's `meta` device, where shapes are worked out and nothing is computed; where that
    fails (a network that looks at its numbers, a tensor that is no parameter), it runs with numbers, and the
    blueprint says so. The network is left as it was: mode, hooks, gradients, buffers, attributes.

    Args:
        network: Any module, on any device; its parameters may be on `meta`.
        inputs: Tensors, or shapes with the batch axis, for each argument of its `forward`.
        name: What to call it; the class's name if empty.
        training: Record it in training mode.

    Raises:
        PassError: if the inputs do not go through; it names the layer and holds what was recorded before it.
        ArgumentError: if the network is scripted, or has lazy layers that never saw an input.

    Example:
        >>> record(nn.Sequential(nn.Conv2d(3, 10, 5, padding=2), nn.ReLU()), (1, 3, 32, 32)).macs
        768000
    """
    # Alone: another recording may have put its own tensors in place of this network's parameters. And not
    # in inference mode, where composite operations would not be taken apart.
    with ONE_AT_A_TIME, torch.inference_mode(False):
        return _checked(network, inputs, name, training=training)


def _checked(network: nn.Module, inputs: Sequence[Any], name: str, *, training: bool) -> Blueprint:
    network = unwrapped(network)
    name = name or type(network).__name__
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            raise ArgumentError(f"{name} has a lazy layer that never saw an input: {key} has no shape yet")
    given = [_given(x, network) for x in inputs]
    try:
        return _record(network, given, name, training=training)
    except PassError as error:
        clause = explain(error.call, _fits(network, given, training=training)) if error.call else ""
        if not clause:
            raise
        raise PassError(error.where, clause, error.blueprint, error.call) from error.__cause__


def _record(network: nn.Module, given: Sequence[Tensor], name: str, *, training: bool) -> Blueprint:
    """`record`, without a word on what would mend it."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    try:
        on_meta = [x.to("meta") for x in given]
        return _Recorder(network, name, "meta").run(_on_meta(state), on_meta, training=training)
    except PassError as error:
        if any(tensor.is_meta for tensor in state.values()):
            raise
        why = str(error.__cause__ or error).strip().splitlines()[0]
    device = next((t.device for t in state.values()), torch.device("cpu"))
    real = [x.to(device, copy=True) if not x.is_meta else _numbers(x, device) for x in given]
    copies = {id(t): _copy(t) for t in state.values()}
    kept = {key: copies[id(t)] for key, t in state.items()}
    return _Recorder(network, name, "real", why).run(kept, real, training=training)


def _fits(network: nn.Module, given: Sequence[Tensor], *, training: bool) -> Callable[[int], bool] | None:
    """Says whether square images of a size go through, where there is one image and no number is needed."""
    if len(given) != 1 or given[0].dim() != 4:
        return None
    state = _on_meta({**dict(network.named_parameters()), **dict(network.named_buffers())})

    def fits(size: int) -> bool:
        image = torch.empty((*given[0].shape[:2], size, size), dtype=given[0].dtype, device="meta")
        try:
            _Recorder(network, "", "meta").run(state, [image], training=training)
        except PassError:
            return False
        return True

    return fits


def _given(like: Any, network: nn.Module) -> Tensor:
    """An input as it was given, or one of that shape in the network's number format."""
    if isinstance(like, Tensor):
        return like
    if not isinstance(like, list | tuple | torch.Size) or not all(
        isinstance(n, int) and n >= 0 for n in like
    ):
        raise ArgumentError(
            f"an input must be a tensor or a shape of whole numbers, as (1, 3, 224, 224); it is {like!r}"
        )
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    return torch.empty(tuple(like), dtype=dtype, device="meta")


def _numbers(like: Tensor, device: torch.device) -> Tensor:
    """An input to try: noise, the same each time; zeros where only integers fit."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype, device=device)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, dtype=like.dtype, generator=generator).to(device)


def _on_meta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A tensor without numbers for each of a state; one for tensors that are the same."""
    seen: dict[int, Tensor] = {}
    for tensor in state.values():
        if id(tensor) not in seen:
            seen[id(tensor)] = _like(tensor)
    return {key: seen[id(tensor)] for key, tensor in state.items()}


def _copy(tensor: Tensor) -> Tensor:
    copied = tensor.detach().clone()
    return nn.Parameter(copied, requires_grad=False) if isinstance(tensor, nn.Parameter) else copied


def _like(tensor: Tensor) -> Tensor:
    with torch.no_grad():
        on_meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return nn.Parameter(on_meta, requires_grad=False) if isinstance(tensor, nn.Parameter) else on_meta


@contextlib.contextmanager
def attributes_kept(network: nn.Module) -> Iterator[None]:
    """Every module's own attributes again as they are now: what a `forward` left is taken away."""
    held: list[Any] = [module.__dict__ for module in network.modules()]
    held += [value for own in held for value in own.values() if isinstance(value, dict | list | set)]
    tensors = [v for own in held if isinstance(own, dict) for v in own.values() if type(v) is Tensor]
    before = [(content, content.copy() if content else ()) for content in held]
    numbers = [(tensor, tensor.detach().clone()) for tensor in tensors if not tensor.is_meta]
    try:
        yield
    finally:
        for now, kept in before:
            if not _same_things(now, kept):
                now.clear()
                (now.extend if isinstance(now, list) else now.update)(kept)
        for tensor, kept in numbers:
            tensor.data.copy_(kept)


def _same_things(a: Any, b: Any) -> bool:
    """Whether two dicts, lists or sets hold the very same things in the same order."""
    if len(a) != len(b) or not a:
        return len(a) == len(b)
    both = (a.values(), b.values()) if isinstance(a, dict) else (a, b)
    return all(x is y for x, y in zip(*both, strict=True))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands on what PyTorch's dispatcher runs."""

    def __init__(self, told: Callable[[Any, tuple[Any, ...], Mapping[str, Any], Any], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._told = told

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # PyTorch's compiler would be imported to be told to look away: seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = run(func, args, kwargs or {})
        self._told(func, args, kwargs or {}, output)
        return output


class _Recorder:
    """Visits a pass, and writes down what it meets. Used once."""

    def __init__(self, network: nn.Module, name: str, how: str, why_real: str = "") -> None:
        self._network, self._name, self._how, self._why_real = network, name, how, why_real
        self._walk = Walk(network, self)
        self._values: list[Value] = []
        self._operations: list[Operation] = []
        self._nodes: list[Node] = []
        self._calls: list[ModuleCall | None] = []
        self._open: list[tuple[int, str, str, nn.Module, int, tuple[Shape, ...]]] = []
        self._value_of: dict[int, int] = {}  # id of a tensor -> value
        self._kept: list[Tensor] = []  # so that no id is given twice
        self._storages: dict[int, int] = {}
        self._made_by: dict[int, int] = {}  # value -> node; -1 - k for input k
        self._written: dict[int, list[int]] = {}  # storage -> values made by writing into it
        self._weights_of: dict[int, tuple[str, ...]] = {}  # value made of weights alone -> their names
        self._claimed: set[str] = set()
        self._sizes = {key: p.numel() for key, p in network.named_parameters()}
        self._deciding: dict[str, None] = {}
        self._current: Call | None = None
        self._trouble: Call | None = None
        self._pending = 0  # first operation of the node that runs
        self._inputs: tuple[int, ...] = ()

    # ------------------------------------------------------------------ the pass

    def run(self, state: dict[str, Tensor], inputs: list[Tensor], *, training: bool) -> Blueprint:
        network = self._network
        for key, tensor in state.items():
            if id(tensor) not in self._value_of:
                self._register(tensor, from_input=False, parameter=key)
        self._inputs = tuple(self._register(x, from_input=True) for x in inputs)
        for k, value in enumerate(self._inputs):
            self._made_by[value] = -1 - k
        outputs: tuple[int, ...] = ()
        with (
            ONE_AT_A_TIME,
            torch.no_grad(),
            torch.random.fork_rng(devices=[]),
            in_mode(network, training=training),
            attributes_kept(network),
        ):
            try:
                with self._walk.watching(), _Operations(self._operation):
                    result = torch.func.functional_call(network, state, tuple(inputs))
            except Exception as error:  # the network may be a user's, and fail in any way
                message = self._message(error, inputs)
                raise PassError(*message, self._blueprint((), training), self._trouble) from error
            outputs = tuple(self._read(t)[0] for t in tensors_in(result))
        return self._blueprint(outputs, training)

    def _message(self, error: Exception, inputs: Sequence[Tensor]) -> tuple[str, str]:
        failure = self._walk.failure
        path, owner, call = "", self._network, None
        if failure is not None and failure[0] is error:
            _, path, owner, call = failure
        self._trouble = call
        where = f"{path or 'the network itself'} ({type(owner).__name__})"
        if call is not None:
            layer = f"layer {call.path} ({type(call.module).__name__})" if call.path else "the layer itself"
            where = layer if call.module is not None else f"{call.kind} in {where}"
        shapes = [] if call is None else [by_x(t.shape) for t in tensors_in(call.args[:1])]
        given = f" given {' and '.join(shapes)}" if shapes else ""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        sizes = " and ".join(by_x(x.shape) for x in inputs) or "nothing"
        return f"{self._name} cannot take an input of {sizes}: {where}{given}", reason

    def _blueprint(self, outputs: tuple[int, ...], training: bool) -> Blueprint:
        network = self._network
        parameters = dict(network.named_parameters())
        buffers = dict(network.named_buffers())
        return Blueprint(
            name=self._name,
            inputs=self._inputs,
            outputs=outputs,
            values=tuple(self._values),
            operations=tuple(self._operations),
            nodes=tuple(self._nodes),
            calls=tuple(call for call in self._calls if call is not None),
            parameters={key: p.numel() for key, p in parameters.items()},
            trainable=frozenset(key for key, p in parameters.items() if p.requires_grad),
            buffers={key: b.numel() for key, b in buffers.items()},
            parameter_bytes=sum(p.numel() * p.element_size() for p in parameters.values()),
            buffer_bytes=sum(b.numel() * b.element_size() for b in buffers.values()),
            how=self._how,
            why_real=self._why_real,
            data_dependent=tuple(self._deciding),
            training=training,
        )

    # ------------------------------------------------------------------ values

    def _register(self, tensor: Tensor, *, from_input: bool, parameter: str = "") -> int:
        try:
            storage = tensor.untyped_storage()
            key, num_bytes = storage._cdata, storage.nbytes()
        except RuntimeError:  # a sparse or nested tensor has none
            key, num_bytes = -id(tensor), tensor.numel() * tensor.element_size()
        number = self._storages.setdefault(key, len(self._storages))
        value = len(self._values)
        self._values.append(
            Value(tuple(tensor.shape), tensor.dtype, number, num_bytes, from_input, parameter)
        )
        self._value_of[id(tensor)] = value
        self._kept.append(tensor)
        return value

    def _read(self, tensor: Tensor) -> tuple[int, ...]:
        """The value a tensor is now, and those written into its memory since."""
        value = self._value_of.get(id(tensor))
        if value is None:  # a constant that is no parameter
            value = self._register(tensor, from_input=False)
        writes = self._written.get(self._values[value].storage)
        if writes is None:
            return (value,)
        return (value, *(w for w in writes if w > value))

    # ------------------------------------------------------------------ operations

    def _operation(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        name = func._schema.name.replace("::", ".")
        reads = [v for t in tensors_in((args, kwargs)) for v in self._read(t)]
        from_input = any(self._values[v].from_input for v in reads)
        macs, counted = multiply_adds(func, args, output)
        arguments = self._described(args)
        keywords = {key: self._described(item) for key, item in kwargs.items()} if kwargs else {}
        mutated = _mutated(func, args, kwargs)
        made: list[int] = []
        for tensor in mutated:
            made.append(self._register(tensor, from_input=from_input or self._was_from_input(tensor)))
            self._written.setdefault(self._values[made[-1]].storage, []).append(made[-1])
        for tensor in tensors_in(output):
            if not any(tensor is m for m in mutated):
                known = self._value_of.get(id(tensor))
                made.append(known if known is not None else self._register(tensor, from_input=from_input))
        if not from_input:
            names = tuple(dict.fromkeys(n for v in reads for n in self._names(v)))
            for value in made:
                self._weights_of[value] = names
        masks = name.startswith("aten.index") and any(
            t.dtype in (torch.bool, torch.uint8) for t in tensors_in(args[1:2])
        )
        if (name in _DECIDING or masks) and from_input:
            self._deciding[self._current.id if self._current else self._maker(reads)] = None
        if made or macs:
            self._operations.append(
                Operation(
                    name,
                    len(self._nodes) if from_input or macs else -1,
                    arguments,
                    keywords,
                    tuple(reads),
                    tuple(made),
                    macs,
                    bool(mutated),
                    counted or not from_input,
                )
            )
        if self._current is None and made and (from_input or macs):  # nothing above claimed it
            path, owner = self._walk.here
            self._close(self._walk._numbered(f"{path}:{name}"), name, path, owner, False, (), made)

    def _maker(self, reads: Sequence[int]) -> str:
        """The node that made the first of these values; the module that runs where none did."""
        for node in (self._made_by.get(v, -1) for v in reads):
            if 0 <= node < len(self._nodes):
                return self._nodes[node].id
        return self._walk.here[0] or self._name

    def _was_from_input(self, tensor: Tensor) -> bool:
        value = self._value_of.get(id(tensor))
        return value is not None and self._values[value].from_input

    def _names(self, value: int) -> tuple[str, ...]:
        own = self._values[value].parameter
        return (own,) if own else self._weights_of.get(value, ())

    def _described(self, content: Any) -> Any:
        if isinstance(content, Tensor):
            return Ref(self._value_of[id(content)])
        if isinstance(content, list | tuple):
            return tuple(self._described(item) for item in content)
        return content

    # ------------------------------------------------------------------ nodes

    def visit(self, call: Call) -> Any:
        """Run a layer or function, and make a node of it."""
        outer, self._current, start = self._current, call, len(self._operations)
        given = list(tensors_in((call.args, call.kwargs)))
        reads = [v for t in given for v in self._read(t)]
        try:
            output = call.run()
        except Exception as error:
            self._current = outer
            self._walk.failed(error, call)
            raise
        made = []
        results = list(tensors_in(output))
        if call.module is not None and any(r is g for r in results for g in given) and not self._wrote(start):
            output, results = self._passed_on(output, given)
        self._current = outer
        for tensor in results:
            value = self._value_of.get(id(tensor))
            if value is None:
                value = self._register(tensor, from_input=any(self._values[v].from_input for v in reads))
            made.append(value)
        before = {self._values[v].storage for v in reads}
        for operation in self._operations[start:]:
            for value in operation.outputs if operation.mutates else ():
                written = self._values[value]
                if written.from_input and written.storage in before and value not in made:
                    made.append(value)
        ran = self._operations[start:]
        macs = sum(operation.macs for operation in ran)
        passed = call.module is None and all(
            v in reads for v in made
        )  # `contiguous()` that had nothing to do
        matters = any(self._values[v].from_input for v in made) and not passed
        if (matters or macs) and (made or macs):
            self._close(
                call.id, call.kind, call.path, call.owner, call.module is not None, reads, made, start
            )
        return output

    def taken_out(self, args: tuple[Any, ...]) -> None:
        """Numbers leave PyTorch: what is made of them is not followed."""
        if any(self._was_from_input(t) for t in tensors_in(args)):
            self._deciding[self._walk.here[0] or self._name] = None

    def _wrote(self, start: int) -> bool:
        return any(operation.mutates for operation in self._operations[start:])

    def _passed_on(self, output: Any, given: list[Tensor]) -> tuple[Any, list[Tensor]]:
        """The output of a layer that does nothing (dropout in evaluation), as a tensor of its own."""
        if not isinstance(output, Tensor):
            return output, list(tensors_in(output))
        value = self._value_of[id(output)]
        old = self._values[value]
        itself = torch.ops.aten.alias.default(output)
        if id(itself) not in self._value_of:
            self._register(itself, from_input=old.from_input)
        if value in self._weights_of:
            self._weights_of[self._value_of[id(itself)]] = self._weights_of[value]
        return itself, [itself]

    def _close(
        self, id: str, kind: str, path: str, owner: nn.Module, is_module: bool,  # noqa: A002
        reads: Sequence[int], made: Sequence[int], start: int | None = None,
    ) -> None:  # fmt: skip
        """Make a node of the operations since `start`, or of the last one."""
        index = len(self._nodes)
        first = len(self._operations) - 1 if start is None else start
        ran = self._operations[first:]
        inside = {o for operation in ran for o in operation.outputs}
        own = set(made) - set(reads)
        outside = list(dict.fromkeys([*reads, *(v for o in ran for v in o.inputs if v not in inside)]))
        outside = [v for v in outside if v not in own]
        names = dict.fromkeys(n for v in outside for n in self._names(v))
        if is_module:
            prefix = f"{path}." if path else ""
            names |= dict.fromkeys(prefix + n for n, _ in owner.named_parameters())
        all_parameters = self._sizes
        names = {n: None for n in names if n in all_parameters}
        new = tuple(n for n in names if n not in self._claimed)
        self._claimed.update(new)
        flowing = [v for v in outside if self._values[v].from_input]
        sources = tuple(dict.fromkeys(self._made_by[v] for v in flowing if v in self._made_by))
        outputs = tuple(v for v in dict.fromkeys(made))
        writes = {self._values[o].storage for o in outputs} & {self._values[v].storage for v in flowing}
        self._nodes.append(
            Node(
                id=id,
                kind=kind,
                module=path,
                module_type=type(owner).__name__,
                is_module=is_module,
                sources=tuple(s for s in sources if s != index),
                input_shapes=tuple(self._values[v].shape for v in flowing),
                output_shapes=tuple(self._values[v].shape for v in outputs),
                settings=read_settings(ran, self._values),
                parameters=new,
                shared=tuple(n for n in names if n not in new),
                num_parameters=sum(all_parameters[n] for n in new),
                macs=sum(operation.macs for operation in ran),
                inputs=tuple(outside),
                outputs=outputs,
                operations=(first, len(self._operations)),
                in_place=bool(writes) and any(operation.mutates for operation in ran),
            )
        )
        for v in outputs:
            self._made_by[v] = index

    # ------------------------------------------------------------------ modules that hold others

    def enter(self, path: str, id: str, module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: A002
        """A module begins."""
        shapes = tuple(tuple(t.shape) for t in tensors_in(args))
        self._open.append((len(self._calls), path, id, module, len(self._nodes), shapes))
        self._calls.append(None)

    def leave(self, output: Any) -> None:
        """It has returned."""
        position, path, id, module, first, shapes = self._open.pop()  # noqa: A001
        self._calls[position] = ModuleCall(
            path=path, id=id, type=type(module).__name__, parent=self._open[-1][0] if self._open else -1,
            depth=len(self._open), nodes=(first, len(self._nodes)), input_shapes=shapes,
            output_shapes=tuple(tuple(t.shape) for t in tensors_in(output)),
        )  # fmt: skip


def by_x(shape: Sequence[int]) -> str:
    """A shape as people write it.

    Example:
        >>> by_x((1, 3, 224, 224))
        '1x3x224x224'
    """
    return "x".join(str(n) for n in shape)


_MUTATING: dict[Any, tuple[tuple[int, ...], tuple[str, ...]]] = {}


def _mutated(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Tensors an operation writes into."""
    if func not in _MUTATING:
        written = [
            (k, a.name)
            for k, a in enumerate(func._schema.arguments)
            if a.alias_info is not None and a.alias_info.is_write
        ]
        _MUTATING[func] = (tuple(k for k, _ in written), tuple(n for _, n in written))
    positions, names = _MUTATING[func]
    if not positions:
        return []
    given = [args[k] for k in positions if k < len(args)] + [kwargs[n] for n in names if n in kwargs]
    return list(tensors_in(given))
