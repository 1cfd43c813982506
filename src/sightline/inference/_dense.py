"""A network on whole images larger than its input: its fully connected layers as convolutions.

A fully connected layer that reads a map of 512x7x7 is a convolution of 7x7 without padding, and one that
reads a vector is a convolution of 1x1: the same weights, shaped otherwise. On a larger image such a network
answers at many places at once, as if its input were slid over the image (exactly so where nothing is padded).
Networks that end in global pooling take the larger image as they are. The network itself is not changed:
these layers are done otherwise while it runs.

Source: Simonyan, Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
    section 3.2; Sermanet et al. 2013, "OverFeat".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import Blueprint, Call, Node, execute, in_mode, record
from sightline.inference._crops import Pass, Showing, enlarged, larger_factor, log_mean, log_softmax
from sightline.inference._predictor import Predictor

_SCALES = (224 / 256, 1.0, 288 / 256)
"""VGG's Q for images of S = 256, as shares of it: S - 32, S, S + 32."""
_TOLERANCE = 1e-3
"""Of the largest output, by which the network and its dense form may differ at the trained size."""

_Rule = Callable[[Call], Any]

_ATTENTION = frozenset({"multi_head_attention", "scaled_dot_product_attention"})
_GLOBAL = frozenset({"mean", "amax"})
_ADAPTIVE = frozenset({"adaptive_avg_pool2d", "adaptive_max_pool2d"})
_FLATTENING = frozenset({"flatten", "view", "reshape", "squeeze"})
_PLACE_BY_PLACE = frozenset(
    {
        "relu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "sigmoid",
        "tanh", "softplus", "hardtanh", "hardswish", "hardsigmoid", "dropout", "alpha_dropout", "identity",
        "clone", "contiguous", "add", "sub", "mul", "div", "neg", "square", "batch_norm", "float", "to",
    }
)  # fmt: skip
"""What can be done to a map of vectors as to a vector."""


class Dense:
    """A network as it answers at every place of a larger image.

    Args:
        network: In any mode; it is run in evaluation mode, and left as it was.
        shape: (C, height, width) of the images it was trained on.
        name: What to call it in messages.

    Raises:
        ArgumentError: if it cannot be applied so; one line says why.

    Shape:
        (N, C, H, W) -> (N, classes, h, w); where the network pools globally, h and w are 1.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, int, int], name: str) -> None:
        self._network, self._name = network, name
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        with in_mode(network, training=False):
            blueprint = record(network, (1, *shape), name=name)
            self._rules = {call: _only(call, rule) for call, rule in _rules(blueprint, name).items()}
            self._check(torch.randn((2, *shape), generator=torch.Generator().manual_seed(0)).to(device))

    def __call__(self, x: Tensor) -> Tensor:
        """Answers at every place."""
        y = execute(self._network, x, rules=self._rules).output if self._rules else self._network(x)
        assert isinstance(y, Tensor)
        return y[:, :, None, None] if y.dim() == 2 else y

    def _check(self, x: Tensor) -> None:
        """Whether the dense form is the network at the trained size, and goes on at a larger one."""
        with torch.inference_mode():
            plain, alone = self._network(x), self._network(x[:1])
            if not isinstance(plain, Tensor) or plain.dim() != 2:
                raise _refused(self._name, "it does not return one vector of logits")
            close = _TOLERANCE * max(1e-6, float(plain.abs().max()))
            if float((plain[:1] - alone).abs().max()) > close:
                raise _refused(self._name, "its answer to an image depends on the others of its batch")
            try:
                same = self(x)
                larger = self(F.interpolate(x, tuple(side + side // 4 + 1 for side in x.shape[2:])))
            except Exception as error:  # the network may be anybody's, and refuse in any way
                why = (str(error).splitlines() or [""])[0][:150]
                raise _refused(self._name, f"images of another size do not go through ({why})") from error
            if same.shape != (*plain.shape, 1, 1) or float((same[..., 0, 0] - plain).abs().max()) > close:
                raise _refused(self._name, "as convolutions, its layers do not give what it gives")
            if larger.dim() != 4 or larger.shape[:2] != plain.shape:
                raise _refused(self._name, "on larger images it does not answer place by place")


def dense(predictor: Predictor) -> Showing:
    """The whole of a larger canvas at three scales, each mirrored, by the network made fully convolutional.

    The scales are VGG's for a fixed training scale S, in proportion: S - 32, S and S + 32 where S is 256. S
    is the model's own canvas where that holds more than the network sees; of any other model, images are
    framed 256/224 times as large in its own way. Softmaxes are averaged over the places, the mirror images
    and the scales, each scale counting the same.

    Args:
        predictor: The network, with its preprocessing.

    Raises:
        ArgumentError: if the network cannot be applied so; one line says why.
    """
    header = predictor.header
    shape = (predictor.canvas.channels, *predictor.preprocessing.size)
    form = Dense(predictor.network, shape, header.architecture.name)

    def answer(x: Tensor) -> Tensor:
        maps = [log_softmax(predictor, predictor.given(seen, form)) for seen in (x, x.flip(-1))]
        return log_mean(torch.stack([m.flatten(2) for m in maps]).movedim(3, 0).flatten(0, 1))

    factor = larger_factor(header)
    passes, sizes = [], []
    for scale in _SCALES:
        canvas, preprocessing = enlarged(header, factor * scale)
        passes.append(
            Pass(canvas=canvas, preprocessing=preprocessing.to(predictor.plan.device), answer=answer)
        )
        sizes.append("x".join(map(str, preprocessing.size)))
    protocol = f"dense: at {sizes[0]}, {sizes[1]} and {sizes[2]}, each mirrored too; mean of softmaxes"
    if header.temperature is not None:
        protocol += f" at temperature {header.temperature:.4g}"
    return Showing(protocol=protocol, passes=tuple(passes))


def _refused(name: str, why: str) -> ArgumentError:
    return ArgumentError(f"--crops dense: {name} cannot be applied to larger images: {why}")


# What becomes of each layer. A tensor is a map (it grows with the image), vectors at each place (it was one
# vector at the trained size, and is a map of vectors now), or one vector whatever the image's size.

_MAP, _PLACES, _ONE = "map", "places", "one"


def _rules(blueprint: Blueprint, name: str) -> Mapping[str, _Rule]:
    """What to do otherwise, by the id of the call; nothing where the network pools globally."""
    rules: dict[str, _Rule] = {}
    found: list[str] = []
    kernels: dict[int, tuple[int, int]] = {}  # of nodes that are vectors at each place and no layer's yet
    for k, node in enumerate(blueprint.nodes):
        given = [found[s] if s >= 0 else _MAP for s in node.sources]
        shape, made = (node.input_shapes or ((),))[0], (node.output_shapes or ((),))[0]
        if node.kind in _ATTENTION:
            raise _refused(name, f"{node.id} is attention, over as many places as it was trained on")
        if _PLACES in given:
            if node.kind == "linear":
                size = next(kernels.get(s, (1, 1)) for s in node.sources if s >= 0 and found[s] == _PLACES)
                rules[node.id] = _convolution(size)
            elif node.kind == "batch_norm":
                rules[node.id] = _normalisation
            elif node.kind not in _PLACE_BY_PLACE | _FLATTENING or made != shape or set(given) != {_PLACES}:
                raise _refused(name, f"{node.id} ({node.kind}) mixes the vector it flattens its map to")
            elif node.kind in _FLATTENING:
                rules[node.id] = _as_it_is
            if node.kind != "linear":
                _pass_on(kernels, k, node, name)
            found.append(_PLACES)
            continue
        if _MAP not in given:
            found.append(_ONE)
            continue
        found.append(_of_a_map(node, shape, made, name, rules, blueprint))
        if found[-1] == _PLACES:
            kernels[k] = (shape[2], shape[3])
    if not found or found[-1] == _MAP:
        raise _refused(name, "it has neither a fully connected layer to convert nor global pooling")
    return rules


def _of_a_map(
    node: Node,
    shape: tuple[int, ...],
    made: tuple[int, ...],
    name: str,
    rules: dict[str, _Rule],
    blueprint: Blueprint,
) -> str:
    """What a layer that reads a map makes of it."""
    if node.kind in _ADAPTIVE:
        if made[2:] == (1, 1):
            return _ONE
        if made != shape:
            sizes = " to ".join("x".join(map(str, s[2:])) for s in (shape, made))
            raise _refused(name, f"{node.id} changes its map from {sizes}, whatever the image's size")
        rules[node.id] = _as_it_is
        return _MAP
    if node.kind in _GLOBAL and made[2:] == (1,) * (len(made) - 2):
        return _ONE
    if node.kind == "linear":
        raise _refused(name, f"{node.id} is fully connected over a side of the map")
    if len(made) != 2:
        return _MAP
    if node.kind in _FLATTENING and len(shape) == 4 and made == (shape[0], math.prod(shape[1:])):
        before = blueprint.nodes[: blueprint.nodes.index(node)]
        if not any(n.kind.startswith("conv") for n in before):
            raise _refused(name, f"{node.id} flattens the image itself; there is no convolution before it")
        rules[node.id] = _as_it_is
        return _PLACES
    raise _refused(name, f"{node.id} ({node.kind}) makes a vector of its map in a way not converted")


def _pass_on(kernels: dict[int, tuple[int, int]], k: int, node: Node, name: str) -> None:
    """The size of map that the next fully connected layer reads, through layers between."""
    sizes = {kernels[s] for s in node.sources if s in kernels}
    if sizes:
        if sizes != {(1, 1)} and node.kind == "batch_norm":
            raise _refused(name, f"{node.id} normalises each place of the flattened map by itself")
        kernels[k] = max(sizes)


def _only(id: str, rule: _Rule) -> _Rule:  # noqa: A002
    """A rule of one call: a layer may be called as a kind is, `linear`."""
    return lambda call: rule(call) if call.id == id else call.run()


def _given(call: Call) -> Any:
    return call.args[0] if call.args else call.kwargs["input"]


def _as_it_is(call: Call) -> Any:
    return _given(call)


def _convolution(size: tuple[int, int]) -> Callable[[Call], Tensor]:
    """A fully connected layer that read a flattened map of this size, as a convolution of it."""

    def rule(call: Call) -> Tensor:
        x = _given(call)
        weight, bias = _weights(call)
        return F.conv2d(x, weight.reshape(len(weight), -1, *size), bias)

    return rule


def _weights(call: Call) -> tuple[Tensor, Tensor | None]:
    """Of a fully connected layer, whether a module or a function."""
    if call.module is not None:
        weight, bias = call.module.weight, call.module.bias
        assert isinstance(weight, Tensor)
        return weight, bias if isinstance(bias, Tensor) else None
    named = dict(zip(("input", "weight", "bias"), call.args, strict=False)) | dict(call.kwargs)
    return named["weight"], named.get("bias")


def _normalisation(call: Call) -> Any:
    """Batch norm of vectors, at each place."""
    if call.module is None:
        return call.run()
    layer: Any = call.module
    return F.batch_norm(
        _given(call), layer.running_mean, layer.running_var, layer.weight, layer.bias,
        training=layer.running_mean is None, eps=layer.eps,
    )  # fmt: skip
