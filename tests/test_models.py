"""Model files, checkpoints, run folders, and what a user may call a model."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sightline.base import write_directory, write_json, write_text
from sightline.data import open_images
from sightline.inference import create_model, load_predictor, resolve
from sightline.records import (
    ArchitectureReference,
    ModelHeader,
    RunFolder,
    load_checkpoint,
    read_header,
    read_model_file,
    read_weights,
    save_checkpoint,
    save_model_file,
)

USER_FILE = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))
"""


def header(**changes: object) -> ModelHeader:
    fields = {
        "architecture": ArchitectureReference(
            name="lenet5", num_classes=3, in_channels=1, input_size=(32, 32)
        ),
        "classes": ("a", "b", "c"),
        "canvas": (8, 8),
        "preprocessing": {
            "size": [32, 32],
            "fit": "resize",
            "mean": [0.3],
            "std": [0.4],
            "value_range": [0, 255],
        },
        "objective": "cross_entropy",
        "objective_settings": {"label_smoothing": 0.1},
        "temperature": 1.5,
        "scores": {"accuracy": 0.1 + 0.2},
    }
    return ModelHeader(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save_model_file(path, create_model("lenet5", num_classes=3).state_dict(), header())
    return path


def test_a_model_file_comes_back_whole(model_file: Path) -> None:
    torch.manual_seed(0)
    state = create_model("lenet5", num_classes=3).state_dict()
    read, weights = read_model_file(model_file)
    assert read == header()
    assert all(torch.equal(state[name], weights[name]) for name in state)
    assert state.keys() == weights.keys()


def test_the_same_model_is_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    _, weights = read_model_file(model_file)
    weights = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in weights.items()
    }
    save_model_file(tmp_path / "again.safetensors", weights, header())
    assert (tmp_path / "again.safetensors").read_bytes() == model_file.read_bytes()


def test_resolve_reads_a_model_file_a_run_folder_and_names(model_file: Path, tmp_path: Path) -> None:
    assert resolve(str(model_file)).header == header()
    run = tmp_path / "run"
    run.mkdir()
    for name in ("last", "best"):
        save_model_file(run / f"{name}.safetensors", read_weights(model_file), header(data=name))
    assert resolve(str(run)).header.data == "best"
    assert resolve("resnet20").architecture.parameters == 269_722
    assert resolve("resnet20").weights is None
    by_name = resolve(f"lenet5@{model_file}")
    assert by_name.header == header()
    assert resolve(f"lenet5@{run}").header.data == "best"


def test_a_name_is_a_path_if_the_path_exists(model_file: Path, in_tmp: Path) -> None:
    model_file.rename("lenet5")
    assert resolve("lenet5").header == header()


def test_the_predictor_is_what_the_file_says(model_file: Path) -> None:
    predictor = load_predictor(str(model_file))
    assert predictor.classes == ("a", "b", "c")
    images = torch.from_numpy(open_images("digits").pixels[:4])
    network = resolve(str(model_file)).build().eval()
    with torch.no_grad():
        x = torch.nn.functional.interpolate(images.float() / 255, (32, 32), mode="bilinear", antialias=True)
        expected = network((x - 0.3) / 0.4)
    assert torch.allclose(predictor.outputs(images), expected, atol=1e-5)


def test_weights_alone(tmp_path: Path) -> None:
    state = create_model("resnet20").state_dict()
    safetensors.torch.save_file(state, tmp_path / "plain.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "torch.pth")
    torch.save(
        {"model": {f"_orig_mod.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "compiled.pt"
    )
    for name in ("plain.safetensors", "torch.pth", "compiled.pt"):
        resolved = resolve(f"resnet20@{tmp_path / name}")
        assert resolved.header is None
        assert torch.equal(resolved.build().conv1.weight, state["conv1.weight"])
    with pytest.raises(ValueError, match=r"holds weights but not what they are of; name the network: NAME@"):
        resolve(str(tmp_path / "plain.safetensors"))
    with pytest.raises(ValueError, match="does not say what its classes are called; give --classes FILE"):
        load_predictor(f"resnet20@{tmp_path / 'plain.safetensors'}")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil-was-here"),))  # type: ignore[return-value]


def test_a_pickle_is_never_run(in_tmp: Path) -> None:
    Path("evil.safetensors").write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": Evil()}, "evil.pth")
    for spec in ("evil.safetensors", "evil.pth"):
        with pytest.raises(
            ValueError, match="is a PyTorch or pickle file, not a model file, and reading one could run"
        ):
            resolve(spec)
        with pytest.raises(ValueError, match="cannot be read as weights only"):
            resolve(f"lenet5@{spec}")
    assert not Path("evil-was-here").exists()


@pytest.mark.parametrize("length", [0x4B50, 0x0580], ids=["PK", "a pickle's start"])
def test_a_header_of_any_length_is_no_pickle(tmp_path: Path, length: int) -> None:
    """A safetensors file begins with its header's length, which can read like anything."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    head = json.dumps({"__metadata__": {"p": ""}, "x": tensor})
    head = head.replace('"p": ""', f'"p": "{"x" * (length - len(head))}"')
    path = tmp_path / "odd.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + head.encode() + bytes(4))
    assert read_weights(path)["x"].tolist() == [0.0]


def test_what_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello, this is no model at all")
    cases = {
        str(tmp_path / "text.safetensors"): "is not a model file",
        "nothing.safetensors": "no such file: nothing.safetensors",
        "lenet": "no network named 'lenet'; did you mean lenet5",
        "lenet5@nothing": "no such model file: nothing",
        "lenet5@public": "no public weights of 'lenet5'",
        str(tmp_path): "is a folder without best.safetensors",
        "missing.py:Net": "no such file: missing.py",
    }
    for spec, message in cases.items():
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            resolve(spec)


def test_a_newer_or_broken_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    newer = {"sightline": json.dumps({"format": 99})}
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata=newer)
    with pytest.raises(ValueError, match="was written by a newer Sightline"):
        read_header(path)
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata={"sightline": "{}"})
    with pytest.raises(ValueError, match="its header is broken"):
        read_header(path)


def test_a_users_code_is_asked_for_and_checked(in_tmp: Path) -> None:
    Path("net.py").write_text(USER_FILE)
    architecture = resolve("net.py:Net").architecture
    reference = ArchitectureReference(
        name="Net", num_classes=3, in_channels=1, input_size=(8, 8),
        source="net.py:Net", source_digest=architecture.source_digest,
    )  # fmt: skip
    save_model_file(
        Path("m.safetensors"), architecture.build(num_classes=3).state_dict(), header(architecture=reference)
    )
    with pytest.raises(
        ValueError, match=r"whose code is not in the file and is not run unasked; name it: net.py:Net@m.safe"
    ):
        resolve("m.safetensors")
    assert resolve("net.py:Net@m.safetensors").build()[1].out_features == 3
    Path("net.py").write_text(USER_FILE + "# changed\n")
    with pytest.raises(ValueError, match=r"net.py:Net has changed since m.safetensors was trained from it"):
        resolve("net.py:Net@m.safetensors")
    with pytest.raises(ValueError, match=r"name the network in it: net.py:NAME"):
        resolve("net.py")


def test_weights_of_another_network_are_refused(model_file: Path) -> None:
    with pytest.raises(ValueError, match="holds weights of lenet5, not of resnet20"):
        resolve(f"resnet20@{model_file}")


# Files and checkpoints


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"x": 1})
    assert json.loads(path.read_text()) == {"x": 1}
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert json.loads(path.read_text()) == {"x": 1}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_directory_is_renamed_into_place_as_a_unit(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "one").write_text("1")
        assert not (tmp_path / "unit").exists()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_directory(tmp_path / "unit", fill)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/a.txt: Not a directory"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_checkpoints_replace_one_another(tmp_path: Path) -> None:
    kept = tmp_path / "last.safetensors"
    for step in range(3):
        kept.write_text(f"weights {step}")
        kept.replace(kept)
        state = {
            "step": step,
            "nested": {"t": torch.full((2,), float(step)), "list": [1.5, None, "x", torch.ones(())]},
        }
        save_checkpoint(
            tmp_path / "resume", state, {"last.safetensors": kept, "best.safetensors": tmp_path / "none"}
        )
        kept.unlink()
    assert [p.name for p in (tmp_path / "resume").iterdir()] == ["checkpoint-000002"]
    state, folder = load_checkpoint(tmp_path / "resume")
    assert state["step"] == 2
    assert state["nested"]["t"].tolist() == [2.0, 2.0]
    assert state["nested"]["list"][:3] == [1.5, None, "x"]
    assert (folder / "last.safetensors").read_text() == "weights 2"
    assert not (folder / "best.safetensors").exists()


def test_a_half_written_checkpoint_is_passed_over_and_swept(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "resume", {"step": 1}, {})
    half = tmp_path / "resume" / ".partial-checkpoint-000001-abcd"
    half.mkdir()
    (half / "state.json").write_text('{"step": 2}')
    state, _ = load_checkpoint(tmp_path / "resume")
    assert state == {"step": 1}
    assert not half.exists()
    # Killed after the rename, before the old one went: the newer counts.
    save_checkpoint(tmp_path / "other", {"step": 2}, {})
    (tmp_path / "other" / "checkpoint-000000").rename(tmp_path / "resume" / "checkpoint-000001")
    assert load_checkpoint(tmp_path / "resume")[0] == {"step": 2}


def test_no_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was stopped before its first checkpoint; start it again"):
        load_checkpoint(tmp_path / "resume")


def test_run_folders_are_numbered_and_never_overwritten(in_tmp: Path) -> None:
    names = [RunFolder.create("classification", "lenet5-x").path.as_posix() for _ in range(3)]
    assert names == [f"runs/classification/lenet5-x{suffix}" for suffix in ("", "-2", "-3")]
    output = Path("mine")
    run = RunFolder.create("classification", "x", output)
    with pytest.raises(ValueError, match="--output mine exists; choose another, or allow it with --exist-ok"):
        RunFolder.create("classification", "x", output)
    sections = ("sightline", "data", "model", "preprocessing", "recipe", "seed", "split_seed", "plan")
    run.write_args(dict.fromkeys(sections, 1))
    (output / "keep.txt").write_text("the user's own")
    (output / "results.csv").write_text("old")
    again = RunFolder.create("classification", "x", output, exist_ok=True)
    assert (output / "results.csv").exists(), "nothing is removed before there is something new"
    again.clear()
    assert sorted(p.name for p in output.iterdir()) == ["keep.txt"]


def test_what_is_not_ours_is_not_replaced(in_tmp: Path) -> None:
    Path("theirs/resume").mkdir(parents=True)
    Path("theirs/resume/cv.txt").write_text("a life")
    with pytest.raises(
        ValueError, match="--output theirs is no run of ours, and --exist-ok replaces only a run"
    ):
        RunFolder.create("classification", "x", Path("theirs"), exist_ok=True)
    Path("theirs/args.yaml").write_text("epochs: 3\n")
    with pytest.raises(ValueError, match="is not what a run of Sightline writes"):
        RunFolder.open(Path("theirs")).read_args()
    assert Path("theirs/resume/cv.txt").exists()
    Path("empty").mkdir()
    RunFolder.create("classification", "x", Path("empty"), exist_ok=True)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a run folder: it has no args.yaml"):
        RunFolder.open(tmp_path)


def test_a_network_is_built_with_the_arguments_it_had(tmp_path: Path) -> None:
    import dataclasses

    from sightline.zoo import get_architecture

    slim = dataclasses.replace(get_architecture("mlp"), arguments={"hidden": (7,)}).build(num_classes=3)
    reference = ArchitectureReference(
        name="mlp", arguments={"hidden": (7,)}, num_classes=3, in_channels=1, input_size=(28, 28)
    )
    path = tmp_path / "slim.safetensors"
    save_model_file(path, slim.state_dict(), header(architecture=reference))
    assert resolve(str(path)).build()[1].out_features == 7
