"""Public and foreign weights: fetched once, known by content, their belongings said."""

from __future__ import annotations

import hashlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sightline
from sightline.base import ArgumentError, DataError, ModelFileError, StorageError
from sightline.cli import app
from sightline.inference import Belongings, create_model, load_predictor, read_belongings
from sightline.records import download, read_weights
from sightline.zoo import PUBLIC, get_architecture, public_file, public_weights

CONTENT = bytes(range(256)) * 4_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


class Handler(http.server.BaseHTTPRequestHandler):
    cut_after: int | None = None
    ranges: list[str] = []  # noqa: RUF012  -- reset by the fixture
    honour_ranges = True
    content = CONTENT

    def do_GET(self) -> None:
        if self.path.endswith("missing"):
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        Handler.ranges.append(asked or "")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.honour_ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut_after] if self.cut_after is not None else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.cut_after, Handler.ranges, Handler.honour_ranges, Handler.content = None, [], True, CONTENT
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_a_download_is_whole_and_checked(server: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "new" / "file.pth"
    download(
        f"{server}/file.pth", path, digest=DIGEST, progress=lambda done, total: told.append((done, total))
    )
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in path.parent.iterdir()] == ["file.pth"]


def test_a_wrong_digest_keeps_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"begins with {DIGEST}, not 00000000"):
        download(f"{server}/file.pth", tmp_path / "file.pth", digest="00000000")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("honoured", [True, False])
def test_a_cut_connection_goes_on_where_it_was(server: str, tmp_path: Path, honoured: bool) -> None:
    Handler.cut_after, path = 1_000, tmp_path / "file.pth"
    with pytest.raises(DataError, match=f"after 1000 of {len(CONTENT)} bytes"):
        download(f"{server}/file.pth", path, digest=DIGEST)
    assert not path.exists()
    Handler.cut_after, Handler.honour_ranges = None, honoured
    download(f"{server}/file.pth", path, digest=DIGEST)
    assert path.read_bytes() == CONTENT
    assert Handler.ranges == ["", "bytes=1000-"]


def test_all_had_arrived_but_its_name(server: str, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    download(f"{server}/file.pth", tmp_path / "file.pth", digest=DIGEST)
    assert (tmp_path / "file.pth").read_bytes() == CONTENT


def test_an_answer_that_is_none(server: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"answers 404 Not Found; fetch it elsewhere and put it at .*file\.pth"
    ):
        download(f"{server}/missing", tmp_path / "file.pth", digest=DIGEST)


def test_offline_it_says_which_file_goes_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be reached .*put it at .*file\.pth"):
        download("http://127.0.0.1:9/file.pth", tmp_path / "file.pth", digest=DIGEST)


def test_no_disk(server: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError):
        download(f"{server}/file.pth", tmp_path / "taken" / "file.pth", digest=DIGEST)


def test_fetching_then_using(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way with a file that is really loaded, under a digest of its own."""
    weights = tmp_path / "weights.pth"
    network = create_model("squeezenet1_1")
    torch.save(network.state_dict(), weights)
    Handler.content = weights.read_bytes()
    real = PUBLIC["squeezenet1_1"]
    digest = hashlib.sha256(Handler.content).hexdigest()[:8]
    import dataclasses

    monkeypatch.setitem(
        PUBLIC, "squeezenet1_1", dataclasses.replace(real, file=f"squeezenet1_1-{digest}.pth")
    )
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGHTLINE_MIRROR", server)
    absent = CliRunner().invoke(app, ["evaluate", "squeezenet1_1@public", "digits"])
    assert absent.exit_code == 1
    assert "type: sightline fetch squeezenet1_1" in absent.stderr
    fetched = CliRunner().invoke(app, ["fetch", "squeezenet1_1", "--json"])
    assert fetched.exit_code == 0, fetched.stderr
    assert "5 MB, BSD-3-Clause" in fetched.stderr
    (entry,) = json.loads(fetched.stdout)["fetched"]
    assert Path(entry["path"]) == public_file("squeezenet1_1")
    again = CliRunner().invoke(app, ["fetch", "squeezenet1_1"])
    assert "is there already" in again.stderr
    loaded = create_model("squeezenet1_1", weights="public")
    state = network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    adapted = create_model("squeezenet1_1", num_classes=3, weights="public")
    assert torch.equal(adapted.state_dict()["features.0.weight"], state["features.0.weight"])
    assert adapted.state_dict()["classifier.1.weight"].shape[0] == 3
    elsewhere = CliRunner().invoke(app, ["fetch", "squeezenet1_1", "--to", str(tmp_path / "stick")])
    assert elsewhere.exit_code == 0
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "stick"))
    assert public_file("squeezenet1_1").is_file()


def test_training_from_public_weights(
    three_classes: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    entry = dataclasses.replace(PUBLIC["alexnet"], architecture="lenet5", file="lenet5-00000000.pth")
    monkeypatch.setitem(PUBLIC, "lenet5", entry)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(in_tmp / "cache"))
    arguments = ["train", str(three_classes), "--model", "lenet5", "--weights", "public", "--epochs", "1"]
    absent = CliRunner().invoke(app, arguments)
    assert absent.exit_code == 1
    assert "type: sightline fetch lenet5" in absent.stderr
    entry.path.parent.mkdir(parents=True)
    torch.save(create_model("lenet5").state_dict(), entry.path)
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.stderr
    assert "8 tensors kept; new: classifier.5.weight, classifier.5.bias" in outcome.stderr
    none = CliRunner().invoke(app, ["train", str(three_classes), "--model", "mlp", "--weights", "public"])
    assert none.exit_code == 2
    assert "no public weights of 'mlp'" in none.stderr


def test_the_table_of_public_files() -> None:
    for name, weights in PUBLIC.items():
        assert get_architecture(name).name == weights.architecture == name
        assert len(weights.digest) == 8
        int(weights.digest, 16)
        assert weights.url.startswith("https://")
        assert weights.megabytes == pytest.approx(4 * get_architecture(name).parameters / 1e6, rel=0.02)
    with pytest.raises(ArgumentError, match="did you mean resnet18"):
        public_weights("resnet17")
    listed = CliRunner().invoke(app, ["fetch", "--list", "--json"])
    assert {entry["name"] for entry in json.loads(listed.stdout)["public"]} == set(PUBLIC)
    assert CliRunner().invoke(app, ["fetch"]).exit_code == 2
    assert CliRunner().invoke(app, ["fetch", "--for", "fun"]).exit_code == 2


def test_fetch_for_the_lecture_names_all_it_fetches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sightline.records

    asked: list[str] = []

    def pretend(url: str, path: Path, **_: object) -> None:
        asked.append(url)

    monkeypatch.setattr(sightline.records, "download", pretend, raising=False)
    outcome = CliRunner().invoke(app, ["fetch", "--for", "lecture", "--to", str(tmp_path / "stick")])
    assert outcome.exit_code == 0, outcome.stderr
    assert len(asked) == 6
    assert f"SIGHTLINE_CACHE={tmp_path / 'stick'}" in outcome.stdout


# Weights from elsewhere


def test_arrays_are_known_by_their_content(tmp_path: Path) -> None:
    state = create_model("lenet5").state_dict()
    path = tmp_path / "weights.bin"
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in state.items()})
    read = read_weights(path)
    assert all(torch.equal(read[name], state[name]) for name in state)
    torch.save(state, tmp_path / "weights.npz")
    assert set(read_weights(tmp_path / "weights.npz")) == set(state)


def test_objects_in_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ModelFileError, match=r"evil\.npz"):
        read_weights(tmp_path / "evil.npz")


def test_caffe_names_of_squeezenet(tmp_path: Path) -> None:
    """Under Caffe's names, with BGR in the first kernel: the same network."""
    network = create_model("squeezenet1_0").eval()
    fires = {3: 2, 4: 3, 5: 4, 7: 5, 8: 6, 9: 7, 10: 8, 12: 9}
    layers = {"squeeze": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}
    arrays = {}
    for name, tensor in network.state_dict().items():
        parts = name.split(".")
        if parts[:2] == ["features", "0"]:
            caffe = f"conv1.{parts[-1]}"
            tensor = tensor.flip(1) if parts[-1] == "weight" else tensor
        elif parts[0] == "classifier":
            caffe = f"conv_final.{parts[-1]}"
        else:
            caffe = f"fire{fires[int(parts[1])]}__{layers[parts[2]]}.{parts[3]}"
        arrays[caffe] = tensor.numpy()
    np.savez(tmp_path / "caffe.npz", **arrays)
    (tmp_path / "names.txt").write_text("\n".join(f"class {i}" for i in range(1000)))
    belongings = read_belongings(None, None, tmp_path / "names.txt")
    predictor = load_predictor(f"squeezenet1_0@{tmp_path / 'caffe.npz'}", None, belongings)
    assert predictor.preprocessing.mean.flatten().tolist() == pytest.approx([123 / 255, 117 / 255, 104 / 255])
    x = torch.rand(1, 3, 64, 64)
    assert torch.allclose(predictor.network.eval()(x), network(x), atol=1e-5)


def test_everything_that_does_not_fit_is_named() -> None:
    from sightline.zoo import load_weights

    network, architecture = create_model("lenet5"), get_architecture("lenet5")
    state = dict(network.state_dict())
    del state["features.0.bias"]
    state["extra"] = torch.zeros(1)
    state["features.3.weight"] = torch.zeros(1, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelFileError) as caught:
        load_weights(network, state, architecture, adapt=False, origin="FILE")
    message = str(caught.value)
    assert "1 missing (features.0.bias)" in message
    assert "1 left over (extra)" in message
    assert "1 of another shape (features.3.weight is 1x2, the network's is 16x6x5x5)" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_weights_alone_have_to_be_told_their_classes(three_classes: Path, in_tmp: Path) -> None:
    torch.save(create_model("lenet5", num_classes=3).state_dict(), "weights.pth")
    image = str(next(three_classes.rglob("*.png")))
    alone = CliRunner().invoke(app, ["predict", "lenet5@weights.pth", image])
    assert alone.exit_code == 1
    assert "give --classes FILE" in alone.stderr
    Path("names.txt").write_text("one\nseven\nzero\n")
    told = CliRunner().invoke(
        app,
        ["predict", "lenet5@weights.pth", image, "--classes", "names.txt", "--mean", "0.3", "--std", "0.3"],
    )
    assert told.exit_code == 0, told.stderr
    judged = CliRunner().invoke(
        app, ["evaluate", "lenet5@weights.pth", str(three_classes), "--mean", "0.3", "--std", "0.35"]
    )
    assert judged.exit_code == 0, judged.stderr
    assert "taken: 3 classes from one to zero;" in judged.stderr, "and neither mean nor deviation"
    for wrong in (["--mean", "a"], ["--std", "0"], ["--mean", "0.1,0.2"], ["--classes", "nowhere.txt"]):
        outcome = CliRunner().invoke(app, ["evaluate", "lenet5@weights.pth", str(three_classes), *wrong])
        assert outcome.exit_code in (1, 2), wrong
        assert outcome.stderr.count("\n") <= 2


def test_a_model_file_keeps_its_own_belongings(three_classes: Path, in_tmp: Path) -> None:
    sightline.train(str(three_classes), model="mlp", epochs=1, precision="fp32", output="run")
    with pytest.raises(ArgumentError, match="carries its own"):
        load_predictor("run", None, Belongings(mean=(0.5,)))
    assert CliRunner().invoke(app, ["evaluate", "run", "--mean", "0.5"]).exit_code == 2
