"""The tab Image: numbers by hand and by torch, one unit, jobs, what is refused, a way through it."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sightline.base import ArgumentError
from sightline.blueprint import record
from sightline.imaging import Preprocessing, digits
from sightline.records import ArchitectureReference, ModelHeader, save_model_file
from sightline.studio._jobs import Jobs
from sightline.studio._seen import ATTRIBUTIONS, expected_seconds, written_layer
from sightline.studio._settings import WORK
from sightline.views import Subject, open_subject
from sightline.zoo import get_architecture
from studio_browser import Studio, browser, client_of, open_page, serving  # noqa: F401

RUN = "runs/classification/small"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run: LeNet-5 that has seen the digits for some steps."""
    folder = tmp_path_factory.mktemp("studio")
    run = folder / RUN
    run.mkdir(parents=True)
    (run / "args.yaml").write_text("")
    pixels, labels = digits()
    preprocessing = Preprocessing(size=(32, 32), fit="resize", mean=[0.3], std=[0.35])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = get_architecture("lenet5").build()
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        for step in range(40):
            rows = slice(step * 32 % 1700, step * 32 % 1700 + 32)
            x = preprocessing(torch.from_numpy(pixels[rows]))
            loss = nn.functional.cross_entropy(network(x), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    header = ModelHeader(
        architecture=ArchitectureReference(name="lenet5", num_classes=10, in_channels=1, input_size=(32, 32)),
        classes=tuple(f"digit {k}" for k in range(10)),
        canvas=(8, 8),
        preprocessing=preprocessing.settings(),
        objective="cross_entropy",
        objective_settings={},
        temperature=2.0,
    )
    save_model_file(run / "best.safetensors", network.state_dict(), header)
    Image.fromarray(pixels[7, 0]).save(folder / "seven.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    return folder


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Studio]:
    with serving(root, upload_bytes=200_000) as studio:
        yield studio


@pytest.fixture(scope="module")
def client(served: Studio) -> Iterator[httpx.Client]:
    with client_of(served) as speaking:
        yield speaking


@pytest.fixture(scope="module")
def subject(root: Path) -> Subject:
    return open_subject(str(root / RUN), device="cpu")


def ask(client: httpx.Client, what: str, **given: Any) -> Any:
    answer = client.get(f"/api/image/{what}", params={"spec": RUN, "image": "digit:7"} | given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: httpx.Client, what: str, status: int, **given: Any) -> str:
    answer = client.get(f"/api/image/{what}", params={"spec": RUN, "image": "digit:7"} | given)
    assert answer.status_code == status, answer.text
    said: str = answer.json()["error"]
    assert "\n" not in said
    return said


def attribute(client: httpx.Client, how: str, **given: Any) -> Any:
    body = {"spec": RUN, "image": "digit:7", "how": how} | given
    answer = client.post("/api/image/attribution", json=body)
    assert answer.status_code == 200, answer.text
    job = answer.json()
    for _ in range(600):
        if job["state"] != "running":
            break
        time.sleep(0.1)
        job = client.get(f"/api/image/job/{job['number']}").json()
    return job


def pixels_of(address: str) -> Any:
    head, _, content = address.partition(",")
    assert head == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))))


def outputs(subject: Subject, layer: str) -> np.ndarray[Any, Any]:
    """What a layer gives, through a hook."""
    found: list[torch.Tensor] = []
    module = dict(subject.network.named_modules())[layer]
    handle = module.register_forward_hook(lambda _m, _i, output: found.append(output.clone()))
    with torch.no_grad():
        subject.network(subject.picture("digit:7").x)
    handle.remove()
    return found[0][0].numpy()


# ---------------------------------------------------------------------- what it says


def test_a_run_is_found(client: httpx.Client) -> None:
    told = ask(client, "choices")
    assert [run["spec"] for run in told["runs"]] == [RUN]
    assert told["runs"][0]["model"] == "lenet5"
    assert [one["name"] for one in told["attributions"]] == list(ATTRIBUTIONS)


def test_probabilities_are_the_softmax(client: httpx.Client, subject: Subject) -> None:
    """At the model's own temperature, 2, with its names; the most probable first."""
    told = ask(client, "open")
    with torch.no_grad():
        shares = (subject.network(subject.picture("digit:7").x)[0] / 2).softmax(0)
    own = {one["class"]: one["probability"] for one in told["answer"]["classes"]}
    assert own == pytest.approx({f"digit {k}": float(p) for k, p in enumerate(shares)}, rel=1e-5)
    first = told["answer"]["classes"][0]
    assert first["index"] == int(shares.argmax())
    assert first["class"] == f"digit {first['index']}"
    assert told["answer"]["temperature"] == 2
    assert told["trained"]
    assert pixels_of(told["image"]["png"]).shape == (32, 32, 3)


def test_maps_are_the_network_s_own(client: httpx.Client, subject: Subject) -> None:
    own = outputs(subject, "features.1")
    told = ask(client, "layer", layer="features.1")
    order = np.argsort(-own.max((1, 2)), kind="stable")
    assert told["units"] == order.tolist()
    assert told["highs"] == pytest.approx(own.max((1, 2))[order].tolist(), rel=1e-4)
    assert pixels_of(told["png"]).shape == (6 * 28, 28, 3)
    one = ask(client, "map", layer="features.1", unit=2)
    np.testing.assert_allclose(one["values"], own[2], rtol=1e-4, atol=1e-5)
    assert one["at"] == list(np.unravel_index(own[2].argmax(), own[2].shape))


def test_every_stage(client: httpx.Client) -> None:
    stages = ask(client, "through")["stages"]
    assert [(stage["layer"], stage["shape"]) for stage in stages] == [
        ("features.1", [6, 28, 28]),
        ("features.4", [16, 10, 10]),
    ]
    assert stages[1]["scale"]["low"] == 0
    assert len(stages[1]["units"]) == 12


def test_a_vector_has_its_values(client: httpx.Client, subject: Subject) -> None:
    own = outputs(subject, "classifier.5")
    told = ask(client, "layer", layer="classifier.5")
    assert told["units"] == np.argsort(-own, kind="stable").tolist()
    assert told["names"][0] == f"digit {told['units'][0]}"


def test_one_neuron_adds_up(client: httpx.Client, subject: Subject) -> None:
    """Sum, bias and ReLU of a unit of the ReLU layer, against its convolution's own output."""
    before, after = outputs(subject, "features.3"), outputs(subject, "features.4")
    told = ask(client, "unit/neuron", layer="features.4", unit=3, at="4,5")
    figures = told["figures"]
    assert (figures["layer"], figures["unit"], figures["at"]) == ("features.3", 3, [4, 5])
    assert figures["value"] == pytest.approx(float(before[3, 4, 5]), rel=1e-4)
    assert figures["after"][0]["value"] == pytest.approx(float(after[3, 4, 5]), rel=1e-4, abs=1e-6)
    for row in told["rows"]:
        by_hand = np.array(row["patch"]) * np.array(row["kernel"])
        np.testing.assert_allclose(row["products"], by_hand, rtol=1e-3, atol=1e-5)
        assert row["sum"] == pytest.approx(by_hand.sum(), rel=1e-3, abs=1e-4)
    whole = sum(row["sum"] for row in told["rows"]) + told["rest"]["sum"] + figures["bias"]
    assert whole == pytest.approx(figures["value"], rel=1e-4)


def test_its_field_and_projection(client: httpx.Client) -> None:
    """A unit of the second convolution sees 14 x 14 pixels: 5, then 6 by pooling, then 6 + 4*2."""
    field = ask(client, "unit/field", layer="features.4", unit=3, at="4,5")
    assert field["figures"]["layers"][0]["size"] == [14, 14]
    assert all(pixels_of(panel["png"]).ndim == 3 for panel in field["panels"])
    back = ask(client, "unit/deconvnet", layer="features.4", unit=3, at="4,5")
    assert back["figures"]["layers"][0]["units"][0]["strongest"][0]["at"] == [4, 5]


def test_a_sum_is_found_behind_what_works_on_each_value() -> None:
    blueprint = record(get_architecture("squeezenet1_0").build(), (1, 3, 224, 224))
    assert written_layer(blueprint, "features.3:cat", 63)[:2] == ("features.3.expand1x1", 63)
    assert written_layer(blueprint, "features.3:cat", 64)[:2] == ("features.3.expand3x3", 0)
    with pytest.raises(ArgumentError, match="units 0 to 127"):
        written_layer(blueprint, "features.3:cat", 128)
    blueprint = record(get_architecture("resnet18").build(), (1, 3, 224, 224))
    name, unit, said = written_layer(blueprint, "layer1.0.relu#2", 5)
    assert (name, unit) == ("layer1.0.conv2", 5)
    assert "adds 2 maps" in said


# ---------------------------------------------------------------------- attributions


def test_an_attribution_is_a_job(client: httpx.Client) -> None:
    job = attribute(client, "gradcam")
    assert (job["state"], job["error"]) == ("done", "")
    panels = job["result"]["panels"]
    assert any(panel["scale"] for panel in panels)
    assert "most probable" in job["result"]["notes"][0]
    again = client.post("/api/image/attribution", json={"spec": RUN, "image": "digit:7", "how": "gradcam"})
    assert again.json()["number"] == job["number"], "what was made is there at once"
    other = attribute(client, "saliency", target="digit 3")
    assert other["result"]["figures"]["target"] == "digit 3"


def test_its_verdict(client: httpx.Client) -> None:
    """20 orders of deletion and of insertion go through the network, whatever they find."""
    job = attribute(client, "saliency", sanity=True)
    assert job["state"] == "done", job["error"]
    verdict = job["result"]["figures"]["sanity"]
    assert isinstance(verdict["passes"], bool)
    assert verdict["deletion"]["orders"] == 19
    assert job["images"] >= 2 * 10 * 10


def test_a_wrong_attribution_is_one_line(client: httpx.Client) -> None:
    body = {"spec": RUN, "image": "digit:7"}
    answer = client.post("/api/image/attribution", json=body | {"how": "grad"})
    assert answer.status_code == 400
    assert "did you mean" in answer.json()["error"]
    job = attribute(client, "gradcam", target="no such class")
    assert job["state"] == "failed"
    assert "no such class" in job["error"]
    assert client.get("/api/image/job/99999").status_code == 404
    assert client.post("/api/image/attribution", json={"spec": RUN}).status_code == 400


def test_one_job_at_a_time_and_it_can_be_stopped(subject: Subject) -> None:
    jobs, x = Jobs(), subject.picture("digit:1").x

    def without_end(watched: Subject) -> None:
        while True:
            watched.network(x)

    job = jobs.start("without end", 1.0, subject, without_end)
    with pytest.raises(ArgumentError, match="one at a time: without end is still at work"):
        jobs.start("another", 1.0, subject, without_end)
    with WORK:  # whoever looks at a map meanwhile has the network between two passes
        assert job.state == "running"
    jobs.stop(job.number)
    for _ in range(200):
        if job.state != "running":
            break
        time.sleep(0.05)
    assert job.state == "stopped"
    assert not subject.network._forward_pre_hooks, "the network itself has no hook"
    while jobs._running is not None:
        time.sleep(0.01)
    after = jobs.start("after it", 1.0, subject, lambda watched: watched.network(x).shape[1])
    while after.state == "running":
        time.sleep(0.01)
    assert (after.result, after.images) == (10, 1)


def test_a_verdict_is_expected_to_take_longer() -> None:
    for how in ATTRIBUTIONS:
        assert expected_seconds(how, 0.1, sanity=True) > expected_seconds(how, 0.1, sanity=False) > 0


# ---------------------------------------------------------------------- pictures


def test_a_picture_is_sent_and_kept_in_memory(client: httpx.Client, root: Path) -> None:
    before = sorted(root.rglob("*"))
    content = (root / "seven.png").read_bytes()
    sent = client.post("/api/image/upload", params={"name": "my seven.png"}, content=content).json()
    from_it, from_file, embedded = (
        ask(client, "open", image=image)["answer"]["classes"]
        for image in (sent["image"], "seven.png", "digit:7")
    )
    assert from_it == from_file == embedded
    assert ask(client, "open", image=sent["image"])["image"]["title"] == "my seven.png"
    assert sorted(root.rglob("*")) == before


def test_what_cannot_be_read_is_one_line(client: httpx.Client) -> None:
    for content in (b"nonsense", b"\x89PNG\r\n\x1a\n", b""):
        answer = client.post("/api/image/upload", params={"name": "x.png"}, content=content)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("x.png")
    assert "broken.png" in refused(client, "open", 400, image="broken.png")


def test_what_is_too_large_is_refused(client: httpx.Client) -> None:
    assert client.post("/api/image/upload", content=bytes(200_001)).status_code == 413


def test_only_the_last_pictures_are_kept(client: httpx.Client, root: Path) -> None:
    content = (root / "seven.png").read_bytes()
    names = [client.post("/api/image/upload", content=content).json()["image"] for _ in range(9)]
    assert "drop it again" in refused(client, "map", 404, image=names[0], layer="features.1", unit=0)
    ask(client, "map", image=names[-1], layer="features.1", unit=0)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"spec": "/etc/passwd"}, 403), ({"spec": "lenet5@../x"}, 403), ({"image": "/etc/passwd"}, 403),
        ({"image": "../x.png"}, 403), ({"classes": "/etc/passwd"}, 403), ({"spec": "lenet6"}, 404),
        ({"image": "none.png"}, 404), ({"image": "digit:1797"}, 400), ({"image": "sent:12345"}, 404),
        ({"spec": "32x32x3 conv:3,k3"}, 400), ({"spec": "broken.png"}, 400),
    ],
)  # fmt: skip
def test_what_is_refused(client: httpx.Client, given: dict[str, str], status: int) -> None:
    refused(client, "open", status, **given)


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("layer", {"layer": "none"}), ("layer", {"layer": "features.1", "top": -1}),
        ("map", {"layer": "features.1", "unit": 6}), ("map", {"layer": "features.1", "unit": -1}),
        ("unit/neuron", {"layer": "features.1", "unit": 0, "at": "28,0"}),
        ("unit/neuron", {"layer": "features.1", "unit": 0, "at": "x"}),
        ("unit/field", {"layer": "features.1", "unit": 0, "at": "0,28"}),
        ("unit/neuron", {"layer": "features.1", "unit": 99}), ("unit/neuron", {"layer": "features.1"}),
    ],
)  # fmt: skip
def test_a_unit_that_is_not_there(client: httpx.Client, what: str, given: dict[str, Any]) -> None:
    refused(client, what, 400, **given)


def test_fresh_weights_are_said_to_be_fresh(client: httpx.Client, root: Path) -> None:
    told = ask(client, "open", spec="lenet5", image="")
    assert not told["trained"]
    assert told["image_name"] == "digit:3", "grey networks begin with a digit"
    (root / "names.txt").write_text("\n".join(f"name {k}" for k in range(10)))
    named = ask(client, "open", spec="lenet5", classes="names.txt")
    assert {one["class"] for one in named["answer"]["classes"]} == {f"name {k}" for k in range(10)}


# ---------------------------------------------------------------------- a way through it


def test_a_way_through_the_tab(served: Studio, root: Path, open_page: Any) -> None:  # noqa: F811
    page = open_page(served, "/image")
    page.locator(".cards a").click()
    page.locator(".of-stage .map").first.wait_for()
    assert "image=digit" in page.url
    page.locator(".left input[type=file]").set_input_files(root / "seven.png")
    page.locator(".frame figcaption", has_text="seven.png").wait_for()
    map_ = page.locator(".of-stage").nth(1).locator(".map canvas").first
    map_.click(position={"x": 50, "y": 50})
    page.locator(".sum-of .cells-of").first.wait_for()
    page.locator(".its-field figure").first.wait_for()
    page.locator(".its-back figure").first.wait_for()
    assert "layer=features.4" in page.url
    assert " = " in page.locator(".adding").inner_text()
    page.locator(".big").focus()
    before = page.url
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".its-sum .adding").wait_for()
    assert page.url != before, "another pixel, another address"
    page.locator(".given .controls button", has_text="next digit").click()
    page.locator(".frame figcaption", has_text="digit:0").wait_for()
    page.locator(".left .values button").first.click()
    page.locator("[data-how='gradcam']").click()
    page.locator(".rests figure").first.wait_for()
    assert "Is it true" in page.locator(".rests").inner_text()
    assert "how=gradcam" in page.url
    page.goto(page.url)
    page.locator(".rests figure").first.wait_for()
    page.locator(".its-sum .adding").wait_for()
    assert page.locator("[data-how='gradcam']").get_attribute("aria-pressed") == "true"
