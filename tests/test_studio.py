"""The studio over HTTP: who is let in, what a browser may name, what the plays compute."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from sightline.base import ArgumentError
from sightline.lab import syllabus
from sightline.studio import Settings, create_app
from sightline.studio._plays import design_values, pool_values, slide_values, softmax_values
from sightline.studio._settings import WORK, RefusedError, confined
from studio_browser import TOKEN, Studio, client, client_of, serving, studio
from test_cli import refuse

__all__ = ["client", "studio"]

FIVE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def refused(response: httpx.Response, status: int, words: str) -> None:
    """One line, as JSON, with the headers of every answer."""
    assert response.status_code == status, response.text
    said = response.json()["error"]
    assert words in said
    assert "\n" not in said
    assert response.headers["x-content-type-options"] == "nosniff"


def got(address: str, **options: Any) -> httpx.Response:
    """What a stranger is answered."""
    with httpx.Client(verify=False, timeout=60, **options) as other:
        return other.get(address)


@pytest.fixture(scope="module")
def mine(studio: Studio) -> Iterator[httpx.Client]:
    with client_of(studio) as speaking:
        yield speaking


# Who is let in


def test_the_token_buys_a_cookie_and_leaves_the_address(studio: Studio) -> None:
    response = got(f"{studio.address}/lecture/sizes?token={TOKEN}&a=1")
    assert response.status_code == 303
    assert response.headers["location"] == "/lecture/sizes?a=1"
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"sightline-{studio.settings.port}={TOKEN};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in response.headers["location"]


@pytest.mark.parametrize(
    "path", ["/", "/lecture/sizes", "/api/lecture", "/static/app.js", "/?token=wrong", "/?token="]
)
def test_nobody_else_is_let_in(studio: Studio, path: str) -> None:
    refused(got(studio.address + path), 403, "with its token")
    wrong = {f"sightline-{studio.settings.port}": "wrong", "sightline-1": TOKEN}
    refused(got(studio.address + path, cookies=wrong), 403, "with its token")


def test_no_token_lets_nobody_in(tmp_path: Path) -> None:
    with serving(tmp_path, token="") as open_one:
        refused(got(f"{open_one.address}/?token="), 403, "token")
        refused(got(open_one.address), 403, "token")


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_another_host_is_refused(mine: httpx.Client, studio: Studio, host: str) -> None:
    named = host.format(port=studio.settings.port)
    refused(mine.get("/api/lecture", headers={"host": named}), 403, "answers to 127.0.0.1")


def test_two_hosts_are_refused(studio: Studio) -> None:
    port = studio.settings.port
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(
            f"GET /api/lecture HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n"
            f"Cookie: sightline-{port}={TOKEN}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while part := raw.recv(4096):
            answer += part
    assert answer.split()[1] in (b"400", b"403")


def test_localhost_is_this_machine(mine: httpx.Client, studio: Studio) -> None:
    assert mine.get("/api/lecture", headers={"host": f"localhost:{studio.settings.port}"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://example.org", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", None]
)
def test_orders_come_from_our_own_page(studio: Studio, origin: str | None) -> None:
    port = studio.settings.port
    headers = {"origin": origin.format(port=port)} if origin else {}
    cookies = {f"sightline-{port}": TOKEN}
    with httpx.Client(cookies=cookies, headers=headers, verify=False) as other:
        refused(other.post(f"{studio.address}/api/lecture/sizes/run", json={}), 403, "its own page")


def test_every_answer_has_the_headers(mine: httpx.Client) -> None:
    for path in ("/", "/api/lecture", "/static/style.css", "/api/nothing", "/static/nothing.js"):
        headers = mine.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy, "scripts come from default-src: our own files alone"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/nothing", "/api", "/static/../_server.py"]
)
def test_what_is_not_there_is_said(mine: httpx.Client, path: str) -> None:
    refused(mine.get(path), 404, "")


def test_deep_links_are_the_one_page(mine: httpx.Client) -> None:
    first = mine.get("/").text
    assert mine.get("/lecture/sizes").text == first == mine.get("/network/lenet5").text
    assert "http://" not in first
    assert "https://" not in first


def test_too_much_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, upload_bytes=1000) as small, client_of(small) as speaking:
        refused(speaking.post("/api/lecture/plays/upload", content=b"x" * 1001), 413, "0.001 MB")
        # Without a length said beforehand.
        parts = (b"x" * 100 for _ in range(11))
        refused(speaking.post("/api/lecture/plays/upload", content=parts), 413, "0.001 MB")
        refused(speaking.post("/api/lecture/plays/upload", content=b"x" * 1000), 400, "cannot read")


def test_a_browser_names_no_path_outside_the_roots(tmp_path: Path) -> None:
    root, other, secret = tmp_path / "root", tmp_path / "other", tmp_path / "secret"
    for folder in (root, other, secret):
        folder.mkdir()
    (root / "link").symlink_to(secret)
    (root / "circle").symlink_to(root / "circle")
    settings = Settings(roots=(root, other))
    assert confined(settings, "a/../b.png") == root / "b.png"
    assert confined(settings, str(other / "c")) == other / "c"
    for outside in ("..", "../secret/a", str(secret), "link/a", "/etc/passwd", "../rootbeer", "~/../../etc"):
        if outside.startswith("~"):
            continue
        with pytest.raises(RefusedError) as refusal:
            confined(settings, outside)
        assert refusal.value.status == 403
    for no_path in ("", "a\0b"):
        with pytest.raises(ArgumentError):
            confined(settings, no_path)


def test_a_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"missing is no folder"):
        Settings(roots=(tmp_path / "missing",))


# The syllabus, and running it


def test_the_syllabus_is_that_of_the_lab(mine: httpx.Client) -> None:
    listed = mine.get("/api/lecture").json()["entries"]
    assert [one["name"] for one in listed] == [entry.name for entry in syllabus()]
    for place, entry in enumerate(syllabus()):
        told = mine.get(f"/api/lecture/{entry.name}").json()
        assert (told["number"], told["title"], told["see"]) == (place + 1, entry.title, entry.see)
        assert (told["before"] or {}).get("name") == (syllabus()[place - 1].name if place else None)


def test_every_play_of_the_syllabus_begins(mine: httpx.Client) -> None:
    for entry in syllabus():
        for play in mine.get(f"/api/lecture/{entry.name}").json()["plays"]:
            response = mine.post(f"/api/lecture/plays/{play['kind']}", json=play["given"])
            assert response.status_code == 200, (entry.name, play["kind"], response.text)


def ended(speaking: httpx.Client, name: str) -> dict[str, Any]:
    while (state := speaking.get(f"/api/lecture/{name}/run").json())["state"] == "running":
        time.sleep(0.05)
    told: dict[str, Any] = state
    return told


def test_an_entry_runs(client: httpx.Client) -> None:
    assert client.get("/api/lecture/sizes/run").json() == {"state": "idle"}
    assert client.get("/api/lecture/sizes").json()["page"] is None
    client.post("/api/lecture/sizes/run", json={})
    state = ended(client, "sizes")
    assert state["state"] == "done"
    assert state["result"]["numbers"]["lost_rows"] == [6]
    assert client.get("/api/lecture/sizes").json()["page"] == state["result"]


def test_what_cannot_be_run_is_said(client: httpx.Client) -> None:
    refused(client.get("/api/lecture/size"), 404, "did you mean sizes")
    refused(client.post("/api/lecture/size/run", json={}), 404, "did you mean sizes")
    refused(client.post("/api/lecture/sizes/run", json={"live": True}), 400, "always computes everything")
    refused(client.post("/api/lecture/sizes/run", json={"data": "x"}), 400, "no images of yours")
    refused(client.post("/api/lecture/sizes/run", json={"seed": "x"}), 400, "seed is 'x'")
    json_type = {"content-type": "application/json"}
    refused(client.post("/api/lecture/sizes/run", content=b"{", headers=json_type), 400, "JSON")
    refused(client.post("/api/lecture/sizes/run", json=[1]), 400, "body")


def test_one_at_a_time_and_it_stops() -> None:
    from sightline.studio._running import Runner

    runner = Runner()

    def endless(progress: Any) -> dict[str, Any]:
        while True:
            progress("turns", 1, 2)
            time.sleep(0.001)

    thread = runner.start("first", endless)
    with pytest.raises(ArgumentError, match="first is running; wait for it, or stop it"):
        runner.start("second", endless)
    while "what" not in runner.state("first"):
        time.sleep(0.001)
    with WORK:  # which it lets go of from time to time
        assert runner.state("first")["state"] == "running"
    assert runner.state("first")["total"] == 2
    runner.stop()
    thread.join(10)
    assert runner.state("first")["state"] == "stopped"
    with pytest.raises(ArgumentError, match="third: it is broken"):
        runner.finish("third", lambda progress: (_ for _ in ()).throw(ArgumentError("it is\nbroken")))
    assert runner.finish("fourth", lambda progress: {"a": 1}) == {"a": 1}


# What the plays compute


def test_the_slides_window_slides() -> None:
    values = slide_values({"input": FIVE, "kernel": CROSS})
    assert [step["shown"] for step in values["steps"]] == ["4", "3", "4", "2", "4", "3", "2", "3", "4"]
    first = values["steps"][0]
    assert first["sum"] == "1*1 + 1*0 + 1*1 + 0*0 + 1*1 + 1*0 + 0*1 + 0*0 + 1*1 = 4"
    assert first["products"] == [["1", "0", "1"], ["0", "1", "0"], ["0", "0", "1"]]
    assert values["sums"][0][1] == "(5 + 2*0 - 3)/1 + 1 = 3"
    assert values["fit"] == ""
    assert "both agree" in values["computed"]


def test_what_a_stride_leaves_out_is_named() -> None:
    values = slide_values({"input": [[0] * 7] * 7, "kernel": [[1] * 3] * 3, "stride": 3})
    assert (values["shape"], values["lost_rows"], values["lost_columns"]) == ([2, 2], [6], [6])
    assert values["fit"] == "the stride does not fit: row 6 and column 6 of the input are never looked at"
    padded = slide_values({"input": [[0] * 6] * 6, "kernel": [[1] * 3] * 3, "stride": 2, "pad": 1})
    assert padded["fit"] == "the stride does not fit, but only padding is left out"
    gaps = slide_values({"input": [[0] * 7] * 7, "kernel": [[1]], "stride": 2})
    assert gaps["fit"].startswith("the stride is larger than the window: rows 1, 3, 5")


def test_padding_and_turning_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    source, kernel = rng.integers(-4, 5, (6, 5)), rng.integers(-3, 4, (3, 2))
    values = slide_values(
        {"input": source.tolist(), "kernel": kernel.tolist(), "pad": 2, "stride": 2, "flip": True}
    )
    padded = np.pad(source, 2)
    for step in values["steps"]:
        window = padded[step["top"] : step["top"] + 3, step["left"] : step["left"] + 2]
        assert step["value"] == (window * kernel[::-1, ::-1]).sum()
    assert values["pads"] == [[2, 2], [2, 2]]
    assert values["input"][2][2:-2] == [str(v) for v in source[0]]
    assert values["kernel"] == [[str(v) for v in row] for row in kernel[::-1, ::-1].tolist()]


def test_pooling_is_that_of_the_slide() -> None:
    source = [[4, 3, 1, 5], [1, 3, 4, 8], [4, 5, 4, 3], [6, 5, 9, 4]]
    largest = pool_values({"input": source, "pool": "max", "size": 2, "stride": 2})
    assert [step["shown"] for step in largest["steps"]] == ["4", "8", "6", "9"]
    assert largest["steps"][1]["taken"] == [[1, 1]]
    mean = pool_values({"input": source, "pool": "avg", "size": 2, "stride": 2})
    assert [step["shown"] for step in mean["steps"]] == ["2.75", "4.5", "5", "5"]


def test_a_design_has_its_sums() -> None:
    values = design_values({"line": "sightline design 32x32x3 conv:10,k5,p2 pool:2"})
    assert values["layers"][0]["cells"][:3] == ["conv:10,k5,p2", "32x32x10", "760"]
    assert ("parameters", "(5*5*3 + 1)*10 = 760") in values["layers"][0]["sums"]
    assert values["total"][2] == "760"


def test_probabilities_are_those_of_exp() -> None:
    values = softmax_values({"logits": [3, 1, -2], "names": ["a", "b", "c"], "temperature": 2})
    powers = np.exp(np.array([1.5, 0.5, -1.0]))
    assert [row["probability"] for row in values["rows"]] == pytest.approx(powers / powers.sum())
    assert values["sum"] == "4.482 + 1.649 + 0.3679 = 6.498"


BAD = [
    ("slide", {}, "the input is missing"),
    ("slide", {"input": "1,2;3", "kernel": "1"}, "row 1 has 2 numbers and row 2 has 1"),
    ("slide", {"input": "1,2;3,4", "kernel": "1,1,1"}, "is larger than the input"),
    ("slide", {"input": "1", "kernel": "1", "stride": 0}, "stride is '0'; it is a whole number from 1 to 9"),
    ("slide", {"input": "1", "kernel": "1", "pad": "x"}, "pad is 'x'"),
    ("slide", {"input": [[1, "<b>"]], "kernel": "1"}, "is no number"),
    ("slide", {"input": [[0] * 21] * 20, "kernel": "1"}, "400 are drawn at most"),
    ("slide", {"input": [[0] * 20] * 20, "kernel": "1", "pad": 3}, "cells; 400 are drawn at most"),
    ("pool", {"input": "1", "pool": "min", "size": 1}, "a pooling is max or avg"),
    ("design", {"line": "32x32x3"}, "an input and a layer"),
    ("design", {"line": "32x32x3 cnv:3"}, "did you mean"),
    ("softmax", {"logits": []}, "the logits"),
    ("softmax", {"logits": [1], "temperature": 0}, "the temperature"),
    ("softmax", {"logits": [1, 2], "names": ["a"]}, "2 logits and 1 names"),
    ("filter", {"image": "china", "kernel": "sharpn"}, "did you mean sharpen?"),
    ("filter", {"image": "digit:0", "kernel": [[1] * 9] * 9}, "is larger than the image"),
    ("filter", {"image": "digit:1797", "kernel": "box"}, "digit:1796"),
]


@pytest.mark.parametrize(("kind", "given", "words"), BAD)
def test_what_does_not_fit_is_one_line(
    mine: httpx.Client, kind: str, given: dict[str, Any], words: str
) -> None:
    refused(mine.post(f"/api/lecture/plays/{kind}", json=given), 400, words)


def test_our_own_page_is_told_without_a_status(mine: httpx.Client) -> None:
    own = {"x-sightline": "page"}
    response = mine.post("/api/lecture/plays/design", json={"line": "32x32x3"}, headers=own)
    assert (response.status_code, response.json()["status"]) == (200, 400)
    assert "an input and a layer" in response.json()["refused"]
    refused(mine.get("/api/lecture", headers={**own, "host": "example.org"}), 403, "answers to")


def test_an_unknown_play_is_not_there(mine: httpx.Client) -> None:
    refused(mine.post("/api/lecture/plays/chess", json={}), 404, "there is no play 'chess'")


def test_a_filter_on_ones_own_image(client: httpx.Client, tmp_path: Path) -> None:
    pixels = np.zeros((5, 6), np.uint8)
    pixels[2, 3] = 90
    Image.fromarray(pixels).save(tmp_path / "dot.png")
    by_path = client.post(
        "/api/lecture/plays/filter", json={"image": "dot.png", "kernel": "box", "pad": "zeros"}
    )
    content = (tmp_path / "dot.png").read_bytes()
    sent = client.post("/api/lecture/plays/upload?name=dot.png", content=content).json()
    by_upload = client.post("/api/lecture/plays/filter", json={**sent, "kernel": "box", "pad": "zeros"})
    assert by_path.json() == by_upload.json()
    values = by_path.json()
    assert (values["name"], values["size"]) == ("dot.png", "5x6")
    shown = read_data(values["picture"])
    expected = np.zeros((5, 6))
    expected[1:4, 2:5] = 10
    assert np.array_equal(shown, expected)
    assert values["shown"] == "answers from 0 to 10; shown as they are, 0 to 255"
    signed = client.post("/api/lecture/plays/filter", json={**sent, "kernel": "sobel-x"}).json()
    assert "mid grey (128) is 0, black -180, white 180" in signed["shown"]
    assert signed["kernel"] == [["-1", "0", "1"], ["-2", "0", "2"], ["-1", "0", "1"]]
    refused(
        client.post("/api/lecture/plays/filter", json={"image": "../x.png", "kernel": "box"}), 403, "outside"
    )
    refused(
        client.post("/api/lecture/plays/filter", json={"image": "no.png", "kernel": "box"}), 404, "no image"
    )
    refused(
        client.post("/api/lecture/plays/filter", json={"image": "upload:1", "kernel": "box"}),
        404,
        "no longer",
    )


def read_data(address: str) -> Any:
    import base64
    import io

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_a_large_image_is_made_smaller_and_says_so(client: httpx.Client, tmp_path: Path) -> None:
    Image.new("RGB", (1440, 600)).save(tmp_path / "large.png")
    values = client.post("/api/lecture/plays/filter", json={"image": "large.png", "kernel": "box"}).json()
    assert values["size"] == "300x720, made smaller from 600x1440"
    assert read_data(values["picture"]).shape == (300, 720, 3)


# The page for students


def test_the_export_has_every_choice(client: httpx.Client) -> None:
    text = client.get("/api/lecture/convolution/export").text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    play = next(one for one in data["entry"]["plays"] if one["kind"] == "slide")
    for stride in (1, 2, 3):
        for pad in (0, 1, 2):
            answer = play["answers"][f"{stride},{pad},false"]
            same = slide_values({**play["given"], "stride": stride, "pad": pad})
            assert [s["sum"] for s in answer["steps"]] == [s["sum"] for s in same["steps"]]
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert data["page"]["sentences"]


def test_nothing_in_an_export_ends_its_script() -> None:
    from sightline.studio._export import export_page

    nasty = "</script><script>alert(1)</script>"
    entry = {"title": nasty, "plays": [], "about": nasty}
    text = export_page(entry, {"sentences": [nasty]}, lambda given: {})
    assert text.count("</script>") == 2
    assert "<title>&lt;/script&gt;" in text


# The command


def sightline_studio(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sightline", "studio", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, env={**os.environ})


def test_the_command_serves_until_interrupted(tmp_path: Path) -> None:
    with sightline_studio("--port", "0", "--no-browser", cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert got(address).status_code == 303
            base = address.partition("/?")[0]
            refused(got(base), 403, "token")
            port = base.rpartition(":")[2]
            taken = sightline_studio("--port", port, "--no-browser", cwd=tmp_path)
            _, said = taken.communicate(timeout=60)
            assert taken.returncode == 2
            assert said.count("\n") == 1
            assert f"--port {port} cannot be used (address already in use)" in said
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 130
            assert said == "sightline: interrupted\n"
        finally:
            process.kill()


def test_the_command_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, in_tmp: Path) -> None:
    refuse(2, "nowhere is no folder", "studio", "nowhere", "--port", "0", "--no-browser")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refuse(1, "pip install 'sightline[studio]'", "studio")


def test_nothing_is_reported_to_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    app: Any = create_app(Settings(roots=(tmp_path,), token=TOKEN))
    switches = getattr(app, "_telemetry", {})  # of FastAPI 0.165; older ones have none
    assert not [name for name, value in switches.items() if value]


def test_serving_does_not_load_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from sightline.studio import Settings, create_app\n"
        "create_app(Settings(roots=(pathlib.Path('.'),), token='t'))\n"
        "from sightline.lab import syllabus\nsyllabus()\n"
        "print([m for m in ('torch', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
