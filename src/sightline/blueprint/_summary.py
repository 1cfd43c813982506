"""The table of a network: size, parameters, multiply-adds, memory, field and lost pixels of each layer."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sightline.blueprint._effective import EffectiveField
from sightline.blueprint._field import Field, fields
from sightline.blueprint._graph import Blueprint, ModuleCall, Node, Shape
from sightline.blueprint._lost import LostPixels, lost_in, lost_pixels
from sightline.blueprint._memory import InferenceMemory, TrainingMemory, inference_memory
from sightline.blueprint._sums import sums_of
from sightline.blueprint._table import fitting_depth, table_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """A row: a node, or the nodes of one module folded into one."""

    name: str
    kind: str
    """What it does, as PyTorch names the function; of a folded module, its class."""
    input_shape: Shape
    """Of its first input, without the batch."""
    output_shape: Shape
    """Of its first output, without the batch."""
    settings: Mapping[str, Any]
    parameters: int
    shared: tuple[str, ...]
    """Parameters it reads that an earlier row has counted."""
    macs: int
    output_bytes: int
    """Of its outputs for the batch recorded, whether or not they have memory of their own."""
    field: Field | None
    lost: tuple[tuple[int, ...], ...]
    """For each spatial axis, the rows of its input that no window of it covers."""
    depth: int
    effective: tuple[float, ...] | None = None
    """The measured field, where it was measured."""
    nodes: int = 1
    """How many are folded into it."""
    sums: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        axes = len(self.lost)
        return {
            "name": self.name,
            "kind": self.kind,
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "kernel_size": _listed(self.settings.get("kernel_size")),
            "stride": _listed(self.settings.get("stride")),
            "padding": _listed(self.settings.get("padding")),
            "dilation": _listed(self.settings.get("dilation")),
            "groups": self.settings.get("groups"),
            "parameters": self.parameters,
            "shared": list(self.shared),
            "macs": self.macs,
            "output_bytes": self.output_bytes,
            "receptive_field": None if self.field is None else list(self.field.size),
            "jump": None if self.field is None else [_number(j) for j in self.field.jump],
            "effective_field": None if self.effective is None else list(self.effective),
            "centre": None if self.field is None else [_number(c) for c in self.field.centre],
            "lost_rows": list(self.lost[max(axes - 2, 0)]) if axes else [],
            "lost_columns": list(self.lost[axes - 1]) if axes > 1 else [],
            "nodes": self.nodes,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What there is to say of a network for one input."""

    blueprint: Blueprint
    layers: tuple[Layer, ...]
    """A row a node, in the order they ran."""
    inference: InferenceMemory
    training: TrainingMemory | None
    lost: LostPixels

    @functools.cached_property
    def field(self) -> Field | None:
        """Of the first output of the network."""
        made = [
            k
            for k, node in enumerate(self.blueprint.nodes)
            if set(node.outputs) & set(self.blueprint.outputs[:1])
        ]
        return self.layers[made[-1]].field if made else None

    def rows(self, depth: int | None = None) -> list[Layer]:
        """Rows of the table, with every module deeper than `depth` folded into one.

        Args:
            depth: 0 is the network in one row; None is every node.
        """
        if depth is None:
            return list(self.layers)
        found: list[Layer] = []
        k = 0
        folded = {
            c.nodes[0]: c
            for c in reversed(self.blueprint.calls)
            if c.depth == depth and c.nodes[1] > c.nodes[0]
        }
        while k < len(self.layers):
            call = folded.get(k)
            if call is None:
                found.append(self.layers[k])
                k += 1
            else:
                found.append(self._fold(call))
                k = call.nodes[1]
        return found

    def ends_of_rows(self, depth: int | None = None) -> list[str]:
        """Of each row of the text's table, the last node with a map and a field unlike the one before."""
        chosen = depth if depth is not None else fitting_depth(self)
        spatial = len(self.blueprint.input_shapes[0]) - 2
        found, k, before = [], 0, None
        for row in self.rows(chosen):
            inside = self.layers[k : k + row.nodes]
            k += row.nodes
            maps = [r for r in inside if len(r.output_shape) == spatial + 1 and max(r.output_shape[1:]) > 1]
            if maps and maps[-1].field is not None and maps[-1].field != before:
                found.append(maps[-1].name)
                before = maps[-1].field
        return found

    def _fold(self, call: ModuleCall) -> Layer:
        first, last = call.nodes
        rows = self.layers[first:last]
        return Layer(
            name=call.id or self.blueprint.name, kind=call.type,
            input_shape=call.input_shapes[0][1:] if call.input_shapes else (),
            output_shape=call.output_shapes[0][1:] if call.output_shapes else (), settings={},
            parameters=sum(r.parameters for r in rows), shared=(), macs=sum(r.macs for r in rows),
            output_bytes=rows[-1].output_bytes, field=rows[-1].field, lost=(), depth=call.depth,
            effective=next((r.effective for r in reversed(rows) if r.effective is not None), None),
            nodes=last - first,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As JSON; see DESIGN of the command `summary --json`."""
        b = self.blueprint
        return {
            "name": b.name,
            "inputs": [list(shape[1:]) for shape in b.input_shapes],
            "outputs": [list(shape[1:]) for shape in b.output_shapes],
            "batch": b.batch,
            "parameters": b.num_parameters,
            "trainable_parameters": sum(n for name, n in b.parameters.items() if name in b.trainable),
            "buffers": sum(b.buffers.values()),
            "macs": b.macs,
            "flops": b.flops,
            "macs_by_kind": b.macs_by_kind,
            "memory": self.memory(),
            "receptive_field": None if self.field is None else list(self.field.size),
            "lost": [list(rows) for rows in self.lost.rows],
            "uncounted": list(b.uncounted),
            "unread_parameters": list(b.unread),
            "recorded": b.how,
            "why_real": b.why_real,
            "data_dependent": list(b.data_dependent),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def memory(self) -> dict[str, Any]:
        """Bytes, by what they are for."""
        i = self.inference
        return {
            "parameter_bytes": i.parameters,
            "buffer_bytes": i.buffers,
            "input_bytes": i.inputs,
            "activation_bytes": sum(layer.output_bytes for layer in self.layers),
            "inference_peak_bytes": i.peak,
            "inference_peak_at": i.at,
            "training": None if self.training is None else self.training.to_dict(),
        }

    def text(self, depth: int | None = None, *, arithmetic: bool = False, totals: bool = True) -> str:
        """The table for a terminal, with its totals.

        Args:
            depth: As of `rows`; None chooses the deepest fold of at most 80 rows, and says so.
            arithmetic: Write the sums under each row.
            totals: Write the totals under the table.
        """
        return table_text(self, depth, arithmetic=arithmetic, totals=totals)

    def _repr_html_(self) -> str:
        return f"<pre style='line-height:1.25'>{html.escape(self.text())}</pre>"


def summarize(
    blueprint: Blueprint,
    *,
    training: TrainingMemory | None = None,
    effective: Mapping[str, EffectiveField] | None = None,
) -> Summary:
    """Read all that the table says from one recorded pass.

    Args:
        blueprint: From `record`.
        training: From `training_memory`, if it shall be told too.
        effective: From `effective_fields`, likewise.

    Example:
        >>> import torch
        >>> from sightline.blueprint import record
        >>> network = torch.nn.Conv2d(3, 10, 5, padding=2)
        >>> summarize(record(network, (1, 3, 32, 32))).layers[0].sums["parameters"]
        '(5*5*3 + 1)*10 = 760'
    """
    field_of = fields(blueprint)
    depth_of = _depths(blueprint)
    layers = tuple(
        _layer(blueprint, k, node, field_of, depth_of[k], (effective or {}).get(node.id))
        for k, node in enumerate(blueprint.nodes)
    )
    return Summary(
        blueprint=blueprint, layers=layers, inference=inference_memory(blueprint), training=training,
        lost=lost_pixels(blueprint),
    )  # fmt: skip


def _depths(blueprint: Blueprint) -> list[int]:
    depths = [0] * len(blueprint.nodes)
    for call in blueprint.calls:
        for k in range(*call.nodes):
            depths[k] = max(depths[k], call.depth + 1)
    return depths


def _layer(
    b: Blueprint,
    k: int,
    node: Node,
    field_of: Mapping[int, Field | None],
    depth: int,
    seen: EffectiveField | None,
) -> Layer:
    outputs = [b.values[v] for v in node.outputs]
    before = field_of.get(node.sources[0]) if node.sources and node.sources[0] >= 0 else None
    at_input = bool(node.sources) and node.sources[0] < 0
    return Layer(
        name=node.id, kind=node.kind,
        input_shape=node.input_shapes[0][1:] if node.input_shapes else (),
        output_shape=node.output_shapes[0][1:] if node.output_shapes else (),
        settings=node.settings, parameters=node.num_parameters, shared=node.shared, macs=node.macs,
        output_bytes=sum(v.num_bytes for v in outputs), field=field_of.get(k), lost=lost_in(node),
        depth=depth, effective=None if seen is None else seen.size,
        sums=sums_of(b, node, before, field_of.get(k), at_input=at_input),
    )  # fmt: skip


def _listed(setting: Any) -> Any:
    if setting is None:
        return None
    return [list(s) if isinstance(s, tuple) else s for s in setting]


def _number(number: Fraction | None) -> int | float | None:
    if number is None:
        return None
    return int(number) if number.denominator == 1 else float(number)
