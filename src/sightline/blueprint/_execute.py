"""Run a network live, with every layer and function by the name that `record` gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor, nn

from sightline.base import ArgumentError, did_you_mean
from sightline.blueprint._calls import Call, Walk, tensors_in, unwrapped
from sightline.blueprint._record import attributes_kept
from sightline.blueprint._walk import in_mode

Rule = Callable[[Call], Any]
"""Given a call about to run, returns what it shall return; `call.run()` is what it would have returned."""


@dataclasses.dataclass(frozen=True)
class Execution:
    """What one live pass gave."""

    output: Any
    """Whatever the network returns."""
    captured: Mapping[str, Any]
    """Outputs of the nodes asked for, by id; they hold gradients where the pass did."""
    ran: tuple[str, ...]
    """Ids of all calls, in order."""


def execute(
    network: nn.Module,
    *inputs: Tensor,
    capture: Collection[str] | Callable[[str], bool] = (),
    rules: Mapping[str, Rule] | None = None,
    training: bool = False,
) -> Execution:
    """Run a network on real inputs, keep the outputs of some nodes, do some of them otherwise.

    Gradients flow as the caller's `torch.no_grad` or `torch.enable_grad` has it, captured outputs included.
    What later layers write in place does not change what was captured. The network is left as it was.

    Args:
        network: Any module.
        inputs: For its `forward`, on its device.
        capture: Ids of nodes (see `record`), or a function that says so of an id.
        rules: By id, or by kind (`relu`): what to do instead. An id goes before a kind.
        training: Run it in training mode.

    Raises:
        ArgumentError: if a captured or ruled id is never met; it names close ones.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
        >>> execute(network, torch.zeros(1, 1, 5, 5), capture=["0"]).captured["0"].shape
        torch.Size([1, 2, 3, 3])
    """
    network = unwrapped(network)
    visitor = _Executor(capture, rules or {})
    with in_mode(network, training=training), attributes_kept(network), Walk(network, visitor).watching():
        output = network(*inputs)
    asked = () if callable(capture) else capture
    for name in (*asked, *(key for key in rules or {} if "." in key or ":" in key)):
        if name not in visitor.ran:
            raise ArgumentError(
                f"no node {name!r} was met in {type(network).__name__}; {did_you_mean(name, visitor.ran)}"
            )
    return Execution(output, visitor.captured, tuple(visitor.ran))


class _Executor:
    """Visits a live pass."""

    def __init__(self, capture: Collection[str] | Callable[[str], bool], rules: Mapping[str, Rule]) -> None:
        self._wanted = capture if callable(capture) else set(capture).__contains__
        self._rules = rules
        self.captured: dict[str, Any] = {}
        self.ran: dict[str, None] = {}

    def enter(self, path: str, id: str, module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: A002
        """Nothing is done for modules that hold others."""

    def leave(self, output: Any) -> None:
        """Nothing, either."""

    def taken_out(self, args: tuple[Any, ...]) -> None:
        """Nor here."""

    def visit(self, call: Call) -> Any:
        """Run it, by its rule if it has one, and keep its output if asked to."""
        self.ran[call.id] = None
        rule = self._rules.get(call.id) or self._rules.get(call.kind)
        output = call.run() if rule is None else rule(call)
        if self._wanted(call.id):
            self.captured[call.id] = output
            return _passed_on(output)
        return output


def _passed_on(output: Any) -> Any:
    """A copy for the layers that follow, so that they may write into it."""
    if isinstance(output, Tensor):
        return output.clone() if output.is_floating_point() or output.is_complex() else output
    if isinstance(output, tuple) and not hasattr(output, "_fields") and any(True for _ in tensors_in(output)):
        return tuple(_passed_on(item) for item in output)
    return output
