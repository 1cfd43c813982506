"""The tab Network: what its API says against the functions it is from, what it refuses, a way through it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.base import ArgumentError, Finding
from sightline.blueprint import record, summarize
from sightline.reference import design
from sightline.studio._described import choose, describe, layers_of
from sightline.studio._models import Kept, model_spec
from sightline.studio._settings import RefusedError, Settings
from sightline.zoo import get_architecture, list_architectures
from studio_browser import Studio, browser, client_of, open_page, serving  # noqa: F401

LINE = "32x32x3 conv:10,k5,p2 relu pool:2 flatten fc:10"
OWN = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("ran").touch()


def small():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))

"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("networks")
    (root / "own.py").write_text(OWN)
    with serving(root) as studio:
        yield studio


@pytest.fixture(scope="module")
def client(served: Studio) -> Iterator[httpx.Client]:
    with client_of(served) as speaking:
        yield speaking


def ask(client: httpx.Client, what: str, **given: str) -> Any:
    answer = client.get(f"/api/network/{what}", params=given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: httpx.Client, what: str, status: int, **given: str) -> str:
    answer = client.get(f"/api/network/{what}", params=given)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    said: str = answer.json()["error"]
    assert "\n" not in said
    assert "Traceback" not in said
    return said


# ---------------------------------------------------------------------- what it says


def test_the_zoo_is_the_one_of_models(client: httpx.Client) -> None:
    zoo = ask(client, "choices")["zoo"]
    assert zoo == [a.to_dict() for a in list_architectures()]
    (lenet,) = [one for one in zoo if one["name"] == "lenet5"]
    assert (lenet["parameters"], lenet["year"]) == (61706, 1998)


def test_lenet_as_on_the_slide(client: httpx.Client) -> None:
    """6 kernels of 5x5 on 32x32: 28x28 maps, (5*5*1 + 1)*6 = 156 parameters, 25*6*784 = 117,600 macs."""
    told = ask(client, "describe", spec="lenet5")
    first = told["layers"][0]
    assert (told["parameters"], told["macs"]) == (61706, 416520)
    assert first["sums"]["size"] == "(32 + 2*0 - 5)/1 + 1 = 28"
    assert first["sums"]["parameters"] == "(5*5*1 + 1)*6 = 156"
    assert (first["parameters"], first["macs"], first["output_shape"]) == (156, 117600, [6, 28, 28])
    assert first["receptive_field"] == [5, 5]
    assert first["field_share"] == [5 / 32, 5 / 32]
    assert first["parameter_share"] == 156 / 61706
    network = get_architecture("lenet5").build()
    assert [layer["name"] for layer in told["layers"]] == [
        n.id for n in record(network, (1, 1, 32, 32)).nodes
    ]


def test_the_drawing_has_no_sheet_and_names_the_layers(client: httpx.Client) -> None:
    svg = ask(client, "describe", spec="lenet5")["svg"]
    assert "<style" not in svg, "the page's policy refuses one"
    assert {"features.0", "features.3", "classifier.5"} <= set(re.findall(r'data-node="([^"]+)"', svg))


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        "3,64,64 conv:8,k3,s2,pvalid bn relu depthwise:k3,p1 conv:16,k1 avgpool:2 gap flatten fc:5",
        "31x31x3 conv:4,k3,s2,p0/1 relu pool:3,s2,ceil tconv:4,k2,s2 lrn:5 flatten fc:3 softmax",
        "40x1 conv:4,k5 relu pool:2 flatten fc:2",
    ],
)
def test_a_design_line_has_the_numbers_of_design(line: str) -> None:
    """The recorded network against the arithmetic, which knows nothing of PyTorch."""
    shape, *words = line.split()
    computed = design(shape, words)
    told = describe(choose(Settings(), line))
    assert (told["parameters"], told["macs"]) == (computed.parameters, computed.macs)
    assert told["outputs"] == [list(computed.layers[-1].output_shape)]
    assert told["origin"] == "design"
    assert "nn.Sequential" in told["programs"]["PyTorch"]


def test_what_is_solved_for_is_said() -> None:
    told = describe(choose(Settings(), "32x32x3 conv:10,k5,p_=32 relu"))
    assert told["layers"][0]["padding"] == [2, 2]
    assert told["solved"][0]["where"].startswith("conv:10")


def test_another_input(client: httpx.Client) -> None:
    """A side alone is a square of the channels there are; the field stays, its share of the input halves."""
    plain, larger = (ask(client, "describe", spec="resnet18", input=i)["layers"][0] for i in ("", "448"))
    assert larger["input_shape"] == [3, 448, 448]
    assert larger["receptive_field"] == plain["receptive_field"]
    assert larger["field_share"] == [share / 2 for share in plain["field_share"]]
    assert ask(client, "describe", spec=LINE, input="64x64x1")["inputs"] == [[1, 64, 64]]


def test_findings_know_their_layers(client: httpx.Client) -> None:
    found = ask(client, "findings", spec="lenet5")["findings"]
    large = [f for f in found if "48,120 of 61,706" in f["what"]]
    assert [f["layers"] for f in large] == [["classifier.1"]]
    lost = ask(client, "findings", spec="32x32x3 conv:8,k3,s2 relu flatten fc:2")["findings"]
    assert any("31" in f["what"] for f in lost), "row 31 is never covered"


def test_layers_that_a_finding_names() -> None:
    ids = ["a.0", "a.0:relu", "a.1", "ab.0"]

    def of(where: str) -> list[str]:
        return layers_of(Finding(level="info", where=where, what="", why="", do=""), ids)

    assert of("a.0") == ["a.0", "a.0:relu"]
    assert of("a") == ["a.0", "a.0:relu", "a.1"]
    assert of("a.1 and ab.0") == ["a.1", "ab.0"]
    assert of("the network itself") == []


def test_two_side_by_side(client: httpx.Client) -> None:
    told = ask(client, "compare", a="lenet5", b=LINE)
    rows = {row["name"]: row for row in told["rows"]}
    assert rows["parameters"]["texts"] == ["61,706", "26,370"]
    assert rows["parameters"]["ratios"] == [1, 26370 / 61706]
    assert rows["parameters"]["differs"]
    assert told["differences"]
    assert ask(client, "compare", a="lenet5", b="lenet5")["differences"] == []


def test_a_file_runs_only_where_it_is_named(served: Studio, client: httpx.Client) -> None:
    mark = served.settings.roots[0] / "ran"
    ask(client, "choices")
    refused(client, "describe", 404, spec="own")
    refused(client, "describe", 400, spec="own.py")
    assert not mark.exists()
    told = ask(client, "describe", spec="own.py:small", input="1,8,8")
    assert mark.exists()
    assert told["parameters"] == (9 + 1) * 4 + (144 + 1) * 2


# ---------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    "spec",
    ["/etc/passwd", "../elsewhere", "lenet5@/etc/passwd", "lenet5@../x", "/etc/x.py:NAME", "../x.py:NAME@y"],
)
def test_no_path_leads_out(client: httpx.Client, spec: str) -> None:
    for what in ("describe", "findings"):
        assert "outside" in refused(client, what, 403, spec=spec)
    assert "outside" in refused(client, "compare", 403, a="lenet5", b=spec)


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="outside"):
        model_spec(Settings(roots=(inside,)), "lenet5@link/weights.safetensors")


def test_what_is_not_there(client: httpx.Client) -> None:
    assert "did you mean lenet5" in refused(client, "describe", 404, spec="lenet6")
    refused(client, "describe", 404, spec="runs/none")
    refused(client, "describe", 404, spec="lenet5@none.safetensors")
    refused(client, "describe", 400, spec="")
    refused(client, "describe", 400, spec="lenet5", input="x")
    refused(client, "describe", 400, spec="alexnet", input="8")
    refused(client, "describe", 400, spec="32x32x3 convolution:3")
    assert "not timed" in refused(client, "time", 400, a=LINE, b="lenet5")


def test_a_shape_alone_is_no_design() -> None:
    with pytest.raises((RefusedError, ArgumentError)):
        choose(Settings(), "32x32x3")


def test_only_the_last_things_are_kept() -> None:
    kept: Kept[int] = Kept(2)
    made = [kept.make(k, lambda k=k: 10 * k) for k in (1, 2, 1, 3)]  # type: ignore[misc]
    assert made == [10, 20, 10, 30]
    assert [kept.find(k) for k in (1, 2, 3)] == [10, None, 30]
    heavy: Kept[int] = Kept(9, weight=lambda n: n, heaviest=10)
    for k in (4, 5, 6, 20):
        heavy.keep(k, k)
    assert [heavy.find(k) for k in (4, 5, 6, 20)] == [None, None, None, 20]


def test_summaries_agree(client: httpx.Client) -> None:
    """The page's memory is the summary's."""
    told = ask(client, "describe", spec="lenet5")
    own = summarize(record(get_architecture("lenet5").build(), (1, 1, 32, 32)))
    assert told["memory"]["inference_peak_bytes"] == own.inference.peak
    assert [layer["output_bytes"] for layer in told["layers"]] == [layer.output_bytes for layer in own.layers]


# ---------------------------------------------------------------------- a way through it


def test_a_way_through_the_tab(served: Studio, open_page: Any) -> None:  # noqa: F811
    page = open_page(served, "/network")
    page.get_by_label("Search the zoo").fill("lecun")
    page.get_by_role("link", name="lenet5", exact=True).click()
    page.locator(".layers").wait_for()
    assert page.url.endswith("/network/lenet5")
    panel = page.locator("aside.layer")
    page.locator(".drawing [data-node='features.3']").click()
    assert "5*5*6*16*10*10 = 240,000" in panel.inner_text()
    assert page.url.endswith("/network/lenet5/features.3")
    page.locator(".layers a", has_text="classifier.1").click()
    assert "(400 + 1)*120 = 48,120" in panel.inner_text()
    assert page.locator(".drawing .chosen").get_attribute("data-node") == "classifier.1"
    page.keyboard.press("j")
    assert page.url.endswith("/classifier.2")
    page.locator(".drawing [data-node='features.0']").focus()
    page.keyboard.press("Enter")
    assert "156" in panel.inner_text()
    page.goto(f"{served.address}/network/lenet5/features.3?with=")
    page.locator(".layers tr.chosen").wait_for()
    assert "features.3" in page.locator(".layers tr.chosen").inner_text(), "a link restores the layer"
    page.locator(".findings").wait_for()
    page.goto(f"{served.address}/network/lenet5?with=lenet5_1998")
    page.locator("table.rows").wait_for()
    assert page.locator("tr.differs").count() > 0
    page.locator(".pair .drawing").nth(1).wait_for()


def test_a_design_line_from_the_page(served: Studio, open_page: Any) -> None:  # noqa: F811
    page = open_page(served, "/network")
    page.get_by_label("A design line").fill(LINE)
    page.keyboard.press("Enter")
    page.locator(".totals").wait_for()
    assert "26,370" in page.locator(".totals").inner_text()
    page.get_by_label("Input: channels").fill("3,16,16")
    page.keyboard.press("Enter")
    page.locator(".layers td", has_text="10 x 16 x 16").first.wait_for()
    assert "input=3%2C16%2C16" in page.url
