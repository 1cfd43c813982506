"""Parameters and multiply-adds of the zoo and of strangers' networks, against torch's own count.

    python benchmarks/strangers.py --strangers-python PYTHON [--only TEXT] [--json FILE]

PYTHON belongs to an environment that holds the same torch, torchvision and timm; Sightline itself is taken
from this checkout. The zoo is recorded in this process.

Each network is built without numbers (on `meta`) where its code allows it, otherwise on the CPU, and recorded
for one example. Beside it: `sum(p.numel())`, and half of what `torch.utils.flop_counter.FlopCounterMode`
counts in a pass of the same network over the same input (it counts two flops a multiply-add). Where the two
differ, the operations are compared one by one. A difference is explained where it comes from operations that
`flop_counter` has no formula for, whose size is then worked out here a second time, from shapes seen by a
dispatch mode that knows nothing of ours. What we could not count is printed. Ends with 1 if a network cannot
be recorded or a difference stays unexplained. The time is that of one `record`, in passing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

IMAGE = (1, 3, 224, 224)
CLIP = (1, 3, 16, 112, 112)

ON_AN_IMAGE = """
    alexnet vgg11 vgg16_bn googlenet resnet18 resnet50 resnet152 resnext50_32x4d wide_resnet50_2
    densenet121 squeezenet1_1 shufflenet_v2_x1_0 mnasnet1_0 mobilenet_v2 mobilenet_v3_large
    mobilenet_v3_small efficientnet_b0 efficientnet_v2_s regnet_y_400mf regnet_x_1_6gf convnext_tiny
    swin_t swin_v2_t vit_b_16 maxvit_t fcn_resnet50 deeplabv3_resnet50 deeplabv3_mobilenet_v3_large
    lraspp_mobilenet_v3_large
"""
TORCHVISION: dict[str, tuple[tuple[int, ...], ...]] = dict.fromkeys(ON_AN_IMAGE.split(), (IMAGE,))
TORCHVISION |= {
    "inception_v3": ((1, 3, 299, 299),),
    "r3d_18": (CLIP,),
    "mc3_18": (CLIP,),
    "r2plus1d_18": (CLIP,),
    "s3d": ((1, 3, 16, 224, 224),),
    "mvit_v2_s": ((1, 3, 16, 224, 224),),
    "swin3d_t": ((1, 3, 16, 112, 112),),
    "raft_small": ((1, 3, 128, 128), (1, 3, 128, 128)),
}
BACKBONES = ("resnet50 with FPN", "mobilenet_v3_large with FPN")
"""What detectors stand on; the detectors themselves call compiled operators of torchvision."""
TIMM = """
    tf_efficientnetv2_s nfnet_l0 dm_nfnet_f0 coatnet_0_rw_224 maxvit_tiny_rw_224 poolformer_s12
    mixer_b16_224 hrnet_w18 res2net50_26w_4s dla34 ese_vovnet19b_dw repvgg_a2 ghostnet_100 cspdarknet53
    xcit_nano_12_p16_224 levit_128 convmixer_768_32 edgenext_xx_small resmlp_12_224 gmlp_s16_224
    cait_xxs24_224 pit_ti_224 twins_svt_small crossvit_tiny_240 visformer_tiny mobilevit_s
    mobilevitv2_050 volo_d1_224 nest_tiny beit_base_patch16_224 deit3_small_patch16_224
    swinv2_tiny_window8_256 convnextv2_atto focalnet_tiny_srf davit_tiny efficientformer_l1 fastvit_t8
    inception_next_tiny lambda_resnet26t botnet26t_256 halonet26t resnest14d skresnet18 seresnet50 dpn68
    xception41 mobilenetv4_conv_small tiny_vit_5m_224 selecsls42b rexnet_100 gcresnet50t
    eca_botnext26ts_256 regnetz_b16 tresnet_m vit_base_patch32_clip_224 hiera_tiny_224 rdnet_tiny
    starnet_s1 mambaout_femto sequencer2d_s efficientvit_b0 repvit_m0_9 fasternet_t0
"""
MATRIX_PRODUCTS = ("aten.mm", "aten.bmm", "aten.addmm", "aten.baddbmm")
"""One product may run as either, after whether its weight asks for a gradient."""


# ---------------------------------------------------------------- the networks


def zoo_networks() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Every architecture: a name, how to build it, and its input shapes, given the network."""
    from sightline.zoo import list_architectures

    for architecture in list_architectures():
        shapes = ((1, *architecture.input_shape),)
        yield f"zoo {architecture.name}", architecture.build, lambda _, shapes=shapes: shapes


def strange_networks() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """The same for torchvision and timm, in their environment."""
    import torch

    library = torch.library.Library("torchvision", "DEF")  # wheels for another torch lack their operators
    for schema in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
                   "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):  # fmt: skip
        library.define(schema)
    import timm
    import torchvision

    def vision(name: str) -> Any:
        extra: dict[str, Any] = {}
        if name in ("googlenet", "inception_v3"):
            extra = {"init_weights": False}
        if name.startswith(("fcn", "deeplab", "lraspp")):
            extra = {"weights_backbone": None}
        return torchvision.models.get_model(name, weights=None, **extra)

    def backbone(name: str) -> Any:
        utils = torchvision.models.detection.backbone_utils
        if name.startswith("resnet50"):
            return utils.resnet_fpn_backbone(backbone_name="resnet50", weights=None)
        return utils.mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True)

    for name, shapes in TORCHVISION.items():
        yield f"torchvision {name}", lambda name=name: vision(name), lambda _, shapes=shapes: shapes
    for name in BACKBONES:
        yield f"torchvision {name}", lambda name=name: backbone(name), lambda _: (IMAGE,)
    for name in TIMM.split():
        yield (
            f"timm {name}",
            lambda name=name: timm.create_model(name, pretrained=False),
            lambda network: ((1, *network.pretrained_cfg["input_size"]),),
        )


# ---------------------------------------------------------------- one network


def measured(name: str, build: Callable[[], Any], shapes_of: Callable[[Any], Any]) -> dict[str, Any]:
    """Build, record, count again; the row of the table."""
    import torch

    from sightline.blueprint import record

    built = "meta"
    try:
        with torch.device("meta"):
            network = build()
    except Exception:  # code that looks at numbers while it builds
        built, network = "cpu", build()
    shapes = tuple(shapes_of(network))
    started = time.perf_counter()
    try:
        blueprint = record(network, *shapes, name=name)
    except Exception as error:
        if built != "meta":
            raise
        built, network = f"cpu ({str(error)[:80]})", build()
        started = time.perf_counter()
        blueprint = record(network, *shapes, name=name)
    seconds = time.perf_counter() - started
    if blueprint.how == "meta":
        network = network.to("meta")
    ours: dict[str, int] = {}
    for operation in blueprint.operations:
        if operation.macs:
            ours[operation.name] = ours.get(operation.name, 0) + operation.macs
    device = "meta" if blueprint.how == "meta" else "cpu"
    theirs, again = counted_by_torch(network, [torch.zeros(shape, device=device) for shape in shapes])
    explained, unexplained = compared(ours, theirs, again)
    parameters = sum(p.numel() for p in network.parameters())
    if parameters != blueprint.num_parameters:
        unexplained.append(f"parameters: {blueprint.num_parameters:,} recorded, {parameters:,} there")
    return {
        "name": name, "built": built, "how": blueprint.how, "why_real": blueprint.why_real,
        "parameters": blueprint.num_parameters, "nodes": len(blueprint.nodes), "macs": blueprint.macs,
        "torch_macs": sum(theirs.values()) // 2, "seconds": seconds, "uncounted": list(blueprint.uncounted),
        "unread": list(blueprint.unread), "explained": explained, "unexplained": unexplained,
    }  # fmt: skip


def counted_by_torch(network: Any, inputs: list[Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Flops by operation as `flop_counter` has them, and macs of what it lacks."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    again: dict[str, int] = {}

    class Lacking(TorchDispatchMode):
        """Works out what `flop_counter` has no formula for."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = func(*args, **(kwargs or {}))
            name = func._schema.name.replace("::", ".")
            if name in ("aten.mv", "aten.dot", "aten.vdot"):
                again[name] = again.get(name, 0) + args[0].numel()
            elif name == "aten.addmv":
                again[name] = again.get(name, 0) + args[1].numel()
            elif name == "aten.addbmm":
                again[name] = again.get(name, 0) + args[1].numel() * args[2].shape[2]
            elif name == "aten.mkldnn_rnn_layer":  # time x batch x both weights
                steps = math.prod(args[0].shape[:2])
                again[name] = again.get(name, 0) + steps * (args[1].numel() + args[2].numel())
            return output

    network.eval().requires_grad_(False)  # its module tracker fails on a gradient that is never taken
    with torch.no_grad(), FlopCounterMode(display=False) as counter, Lacking():
        network(*inputs)
    counts = counter.get_flop_counts().get("Global", {})
    return {str(packet): flops for packet, flops in counts.items()}, again


def compared(
    ours: dict[str, int], theirs: dict[str, int], again: dict[str, int]
) -> tuple[list[str], list[str]]:
    """Differences by operation: those explained, and those not.

    Args:
        ours: Multiply-adds recorded, by operation.
        theirs: Flops of `flop_counter`, by operation.
        again: Multiply-adds of what it has no formula for.
    """
    explained, unexplained = [], []
    families: dict[str, tuple[int, int]] = {}
    for name in sorted({*ours, *theirs}):
        mine, half = ours.get(name, 0), theirs.get(name, 0) // 2
        if mine != half and name not in theirs and again.get(name) == mine:
            explained.append(f"{name}: flop_counter has no formula for it; {mine:,} by shapes, as recorded")
            continue
        family = "matrix products" if name in MATRIX_PRODUCTS else name
        before = families.get(family, (0, 0))
        families[family] = (before[0] + mine, before[1] + half)
    for name, (mine, half) in families.items():
        if mine != half:
            unexplained.append(f"{name}: {mine:,} recorded, {half:,} by flop_counter")
    return explained, unexplained


# ---------------------------------------------------------------- all of them


def rows_of(networks: Iterator[Any], only: str) -> Iterator[dict[str, Any]]:
    """A row for each network; one that fails says how."""
    for name, build, shapes_of in networks:
        if only not in name:
            continue
        try:
            yield measured(name, build, shapes_of)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip()[:300]}"
            yield {"name": name, "failed": reason, "unexplained": [reason]}


def from_child(python: str, only: str) -> Iterator[dict[str, Any]]:
    """The strangers' rows, from their own environment."""
    source = str(Path(__file__).resolve().parents[1] / "src")
    environment = os.environ | {"PYTHONPATH": source, "HF_HUB_OFFLINE": "1"}
    command = [python, "-W", "ignore", __file__, "--child", "--only", only]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"the strangers' process ended with {process.returncode}")


def printed(row: dict[str, Any]) -> None:
    """One row of the table, with what there is to say of it."""
    if "failed" in row:
        print(f"{row['name']:<44} FAILED {row['failed']}", flush=True)
        return
    verdict = "equal" if row["macs"] == row["torch_macs"] else f"{row['macs'] - row['torch_macs']:+,}"
    print(
        f"{row['name']:<44} {row['how']:<5} {row['nodes']:>5} {row['parameters']:>12,} {row['macs']:>15,} "
        f"{verdict:>12} {len(row['uncounted']):>4} {row['seconds'] * 1e3:>7.0f}",
        flush=True,
    )
    if row["built"] != "meta":
        print(f"    built on {row['built']}")
    if row["why_real"]:
        print(f"    recorded with numbers: {row['why_real']}")
    for what in ("explained", "unexplained"):
        for line in row[what]:
            print(f"    {what}: {line}")
    if row["uncounted"]:
        print(f"    uncounted: {', '.join(sorted({u.rsplit(': ', 1)[-1] for u in row['uncounted']}))}")
    if row["unread"]:
        print(f"    parameters not read: {len(row['unread'])}, as {row['unread'][0]}")


def main() -> None:
    """Print the table, or be the child that fills it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strangers-python", help="Python of the environment with torchvision and timm")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        for row in rows_of(strange_networks(), options.only):
            print(json.dumps(row), flush=True)
        return
    print(
        f"{'network':<44} {'how':<5} {'nodes':>5} {'parameters':>12} {'macs':>15} {'flops/2':>12} "
        f"{'un.':>4} {'ms':>7}"
    )
    rows = []
    sources = [rows_of(zoo_networks(), options.only)]
    if options.strangers_python:
        sources.append(from_child(options.strangers_python, options.only))
    for source in sources:
        for row in source:
            printed(row)
            rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    recorded = [row for row in rows if "failed" not in row]
    equal = sum(row["macs"] == row["torch_macs"] for row in recorded)
    wrong = [row["name"] for row in rows if row["unexplained"]]
    complete = sum(not row["uncounted"] for row in recorded)
    strangers = sum(not row["name"].startswith("zoo ") for row in recorded)
    explained = sum(row["macs"] != row["torch_macs"] and not row["unexplained"] for row in recorded)
    print(
        f"\n{len(recorded)} of {len(rows)} networks recorded, {strangers} of strangers; multiply-adds equal "
        f"on {equal}, explained on {explained}; nothing left uncounted on {complete}"
    )
    if wrong:
        sys.exit(f"unexplained: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
