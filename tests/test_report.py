"""The report: its numbers, its safety, its size, and that the same run gives the same bytes."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sightline.base import Finding
from sightline.data import ImageSet, Split, open_images, split_images
from sightline.evaluation import Evaluation, score, wilson_interval, write_report
from sightline.records import RunFolder
from sightline.tasks.classification import Answers

NASTY = (
    "<script>alert(1)</script>",
    "x" * 120,
    '" onmouseover="alert(2)',
    "$\\frac{1}{0}$",
    "{{ 7 * 7 }}",
    "日本語",
    "\u202ereversed",
    "a/b/c & <b>d</b>",
)
VOID = {"meta", "img", "br", "link", "input", "hr"}
LIMIT = 2_000_000

LITTLE: dict[str, Any] = {"task": "classification", "recipe": {}, "model": {"name": None}} | {
    name: {} for name in ("sightline", "data", "preprocessing", "seed", "split_seed", "plan")
}


# -- a page as a tree ----------------------------------------------------------------------------------


class Node:
    def __init__(self, tag: str, attrs: dict[str, str | None]) -> None:
        self.tag, self.attrs = tag, attrs
        self.children: list[Node | str] = []

    def all(self, tag: str = "", **wanted: str) -> Iterator[Node]:
        """Elements below, of a tag, with an id or with one of their classes."""
        for child in self.children:
            if isinstance(child, Node):
                classes = (child.attrs.get("class") or "").split()
                same_class = "cls" not in wanted or wanted["cls"] in classes
                same_id = "id" not in wanted or wanted["id"] == child.attrs.get("id")
                if (not tag or child.tag == tag) and same_class and same_id:
                    yield child
                yield from child.all(tag, **wanted)

    def one(self, tag: str = "", **wanted: str) -> Node:
        found = list(self.all(tag, **wanted))
        assert len(found) == 1, f"{len(found)} of {tag} {wanted}"
        return found[0]

    @property
    def text(self) -> str:
        whole = "".join(child if isinstance(child, str) else child.text for child in self.children)
        return re.sub(r"[ \n]+", " ", whole).strip()


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(path: Path) -> Node:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    assert reader.open == [reader.root], "an element is not closed"
    return reader.root


def section(page: Node, name: str) -> Node:
    return next(node for node in page.all("section") if node.attrs.get("aria-labelledby") == name)


def rows_of(table: Node) -> list[list[str]]:
    return [
        [cell.text for cell in row.children if isinstance(cell, Node)] for row in table.one("tbody").all("tr")
    ]


def numbers(node: Node) -> list[float]:
    return [float(data.attrs["value"] or "nan") for data in node.all("data")]


# -- runs to report on ---------------------------------------------------------------------------------


def results(epochs: int, best: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": e,
            "phase": 0,
            "train_loss": 2.0 / e,
            "train_accuracy": 1 - 0.8 / e,
            "val_accuracy": 1 - 0.7 / e,
            "val_balanced_accuracy": 1 - 0.71 / e,
            "val_loss": 1.9 / e,
            "best": int(e <= best),
            "lr_main": 0.002 / e,
            "images_per_second": 1500.0,
            "seconds": 2.0,
        }
        for e in range(1, epochs + 1)
    ]


def args(images: ImageSet, split: Split, epochs: int) -> dict[str, Any]:
    return {
        "sightline": "0.1.0",
        "task": "classification",
        "data": {"source": images.source, "classes": list(images.classes), "left_out": []},
        "model": {"name": "lenet5", "paper": "LeCun 1998", "parameters": 61_706},
        "preprocessing": {
            "size": [32, 32],
            "fit": "resize",
            "mean": [0.3],
            "std": [0.4],
            "value_range": [0, 255],
        },
        "recipe": {
            "name": "default",
            "why": "few images",
            "phases": [{"epochs": epochs, "schedule": {"kind": "one_cycle"}}],
            "optimizers": {"main": {"kind": "adamw", "lr": 0.002, "weight_decay": 0.05}},
            "batch_size": 32,
            "augmentation": {"crop": 0.1, "flip": "none"},
            "label_smoothing": 0.05,
            "select": "accuracy",
        },
        "seed": 0,
        "split_seed": 0,
        "split": {"rule": split.rule, "digest": "d16357"},
        "plan": {"device": "cpu", "dtype": "fp32", "threads": 2, "compile": False},
        "plan_origin": "timed",
        "versions": {"torch": "2.13.0"},
        "machine": {"device": "a processor", "cores": 2},
    }


def judged(images: ImageSet, split: Split, logits: np.ndarray, part: str) -> Evaluation:
    indices = split.indices(part)  # type: ignore[arg-type]
    answers = Answers(logits[indices], images.targets[indices], indices)
    return Evaluation(
        images=images,
        indices=indices,
        part=part,
        selected_on=part == "val",
        answers=answers,
        scores=score(answers),
    )


@dataclasses.dataclass
class Case:
    images: ImageSet
    split: Split
    logits: np.ndarray

    def write(
        self,
        folder: Path,
        parts: tuple[str, ...] = ("test", "val"),
        epochs: int = 30,
        best: int = 20,
        **more: Any,
    ) -> Path:
        run = RunFolder(folder)
        run.write_args(more.pop("args", None) or args(self.images, self.split, epochs))
        run.write_results(results(epochs, best))
        evaluations = [judged(self.images, self.split, self.logits, part) for part in parts]
        write_report(run.report, run=run, split=self.split, evaluations=evaluations, **more)
        return run.report


@pytest.fixture(scope="module")
def digits() -> Case:
    images = open_images("digits")
    split = split_images(images)
    assert images.pixels is not None
    features = images.pixels.reshape(len(images), -1) / 255
    train = split.indices("train")
    model = LogisticRegression(C=0.1, max_iter=300).fit(features[train], images.targets[train])
    return Case(images, split, model.decision_function(features).astype(np.float32))


def invented(classes: tuple[str, ...], each: int, side: int) -> Case:
    """Noise with unsure answers."""
    generator = np.random.default_rng(0)
    n = len(classes) * each
    targets = np.repeat(np.arange(len(classes)), each)
    images = ImageSet(
        source="<img src=x onerror=alert(3)>",
        names=tuple(f"{i:06d} <i> {'long' * 20}.png" for i in range(n)),
        targets=targets,
        classes=classes,
        channels=3,
        sizes=np.full((n, 2), side, dtype=np.int32),
        digests=tuple(str(i) for i in range(n)),
        parts=tuple(("train", "val", "test")[i % 3] for i in range(n)),  # type: ignore[arg-type]
        pixels=generator.integers(0, 256, (n, 3, side, side), dtype=np.uint8),
    )
    logits = generator.normal(size=(n, len(classes))).astype(np.float32)
    logits[np.arange(n), targets] += 3
    return Case(images, split_images(images), logits)


@pytest.fixture(scope="module")
def nasty() -> Case:
    return invented(NASTY + tuple(f"species {i} of a family with a long name" for i in range(32)), 12, 28)


# -- numbers -------------------------------------------------------------------------------------------


def test_headline_and_key_numbers_are_the_scores(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    scores = judged(digits.images, digits.split, digits.logits, "test").scores
    assert numbers(page.one("h1")) == [scores.top1]
    assert page.one("h1").text == f"{100 * scores.top1:.2f}\u00a0% accuracy"
    assert numbers(page.one("p", cls="lead")) == [*scores.interval, scores.n]
    facts = {fact.one("dt").text: fact.one("dd") for fact in page.one("dl", cls="facts").all("div")}
    wrong = scores.n - int(scores.confusion.trace())
    largest = int(scores.confusion.sum(axis=1).max()) / scores.n
    for label, value in (
        ("Wrong", wrong),
        ("Balanced accuracy", scores.balanced_accuracy),
        ("Top-5 accuracy", scores.top5),
        ("Loss", scores.loss),
        ("Calibration error", scores.ece),
        ("Without a network", largest),
    ):
        assert numbers(facts[label]) == [value], label
    assert facts["Parameters"].text.startswith("61,706")
    assert facts["Training time"].text == "1 min 0 s1500 images a second"


def test_every_percentage_is_its_fraction(nasty: Case, tmp_path: Path) -> None:
    shown = [data for data in read(nasty.write(tmp_path)).all("data") if data.text.endswith("%")]
    assert len(shown) > 200
    for data in shown:
        decimals = len(data.text.split("\u00a0")[0].partition(".")[2])
        assert data.text == f"{100 * float(data.attrs['value'] or 'nan'):.{decimals}f}\u00a0%"


def test_parts_side_by_side_are_the_scores(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    rows = list(section(page, "scores").one("tbody").all("tr"))
    for row, part in zip(rows, ("test", "val"), strict=True):
        scores = judged(digits.images, digits.split, digits.logits, part).scores
        expected = [scores.top1, *scores.interval, scores.balanced_accuracy, scores.loss, scores.ece]
        assert numbers(row) == expected
        assert ("selected on" in row.text) == (part == "val")


def test_confusion_table_is_the_matrix(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    matrix = judged(digits.images, digits.split, digits.logits, "test").scores.confusion
    rows = rows_of(page.one("table", cls="confusion"))
    assert [row[0] for row in rows] == list(digits.images.classes)
    assert [[int(cell) for cell in row[1:-1]] for row in rows] == matrix.tolist()
    assert [int(row[-1]) for row in rows] == matrix.sum(axis=1).tolist()


def test_class_table_is_the_matrix(digits: Case, tmp_path: Path) -> None:
    matrix = judged(digits.images, digits.split, digits.logits, "test").scores.confusion
    rows = rows_of(section(read(digits.write(tmp_path)), "classes").one("table"))
    for t, row in enumerate(rows):
        right, total, said = int(matrix[t, t]), int(matrix[t].sum()), int(matrix[:, t].sum())
        low, high = wilson_interval(right, total)
        assert row[:3] == [digits.images.classes[t], str(total), str(right)]
        assert row[3] == f"{100 * right / total:.1f}\u00a0%"
        assert row[4] == f"{100 * low:.1f}\u00a0% to {100 * high:.1f}\u00a0%"
        assert row[5] == f"{100 * right / said:.1f}\u00a0%"


def test_split_table_counts_every_image(digits: Case, tmp_path: Path) -> None:
    table = section(read(digits.write(tmp_path)), "split").one("table")
    for t, row in enumerate(rows_of(table)):
        counts = [digits.images.counts(digits.split.indices(part))[t] for part in ("train", "val", "test")]
        assert row == [digits.images.classes[t], *map(str, counts), str(sum(counts))]
    totals = [len(digits.split.indices(part)) for part in ("train", "val", "test")]
    shown = [cell.text for cell in table.one("tfoot").all("td")]
    assert shown == [f"{n:,}" for n in (*totals, sum(totals))]


def test_split_of_another_set_shows_totals_only(digits: Case, tmp_path: Path) -> None:
    other = dataclasses.replace(digits.split, parts=digits.split.parts[:-5])
    evaluation = judged(digits.images, digits.split, digits.logits, "test")
    run = RunFolder(tmp_path)
    run.write_args(LITTLE)
    write_report(run.report, run=run, split=other, evaluations=[evaluation])
    found = section(read(run.report), "split")
    assert rows_of(found.one("table")) == []
    assert "only its totals" in found.text
    assert "1,792" in found.text


def test_kept_epoch_is_the_last_one_marked_best(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path, best=20))
    table = section(page, "training").one("table")
    assert [cell.text for cell in table.one("thead").all("th")] == ["Epoch", "1", "20 (kept)", "30"]
    values = {row[0]: row[1:] for row in rows_of(table)}
    assert values["Validation loss"] == [f"{1.9 / e:.4f}" for e in (1, 20, 30)]
    assert values["Validation accuracy"] == [f"{100 * (1 - 0.7 / e):.2f}\u00a0%" for e in (1, 20, 30)]
    assert "Epoch 20 was kept" in page.one("header").text
    plots = list(section(page, "training").all("svg"))
    assert len(plots) == 3
    assert all("kept: 20" in plot.text for plot in plots)


# -- images --------------------------------------------------------------------------------------------


def test_mistakes_are_the_most_confident_wrong_answers(nasty: Case, tmp_path: Path) -> None:
    page = read(nasty.write(tmp_path))
    images, test = nasty.images, nasty.split.indices("test")
    wrong = []
    for i in test:
        weights = np.exp(nasty.logits[i].astype(np.float64))
        said = int(nasty.logits[i].argmax())
        if said != images.targets[i]:
            wrong.append((weights[said] / weights.sum(), int(i), said))
    wrong.sort(key=lambda entry: -entry[0])
    shown = list(section(page, "mistakes").one("ol").all("li"))
    assert len(wrong) > 24
    assert [item.one("code").text for item in shown] == [images.names[i] for _, i, _ in wrong[:24]]
    for item, (probability, i, said) in zip(shown, wrong, strict=False):
        names = [re.sub(r"[ \n]+", " ", images.classes[c]).strip() for c in (images.targets[i], said)]
        assert [name.text for name in item.one("dl").all("bdi")] == names
        assert numbers(item)[1] == pytest.approx(probability, rel=1e-9)


def test_no_mistake_is_said(digits: Case, tmp_path: Path) -> None:
    sure = 50 * np.eye(10, dtype=np.float32)[digits.images.targets]
    page = read(Case(digits.images, digits.split, sure).write(tmp_path))
    assert "None on these 269 images" in section(page, "mistakes").text
    assert page.one("h1").text == "100.00\u00a0% accuracy"


def test_samples_are_marked_as_they_were_answered(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path))
    position = {name: i for i, name in enumerate(digits.images.names)}
    predicted = digits.logits.argmax(axis=1)
    tiles = list(page.all("li", cls="tile"))
    assert len(tiles) == 60
    for tile in tiles:
        i = position[tile.attrs["title"] or ""]
        right = predicted[i] == digits.images.targets[i]
        assert digits.split.parts[i] == "test"
        assert ("right" in (tile.attrs["class"] or "")) == right
        assert ("\u2713" if right else "\u2717") in tile.text
        alt = tile.one("img").attrs["alt"] or ""
        assert (
            alt
            == f"true {digits.images.targets[i]}, predicted {predicted[i]}, {'right' if right else 'wrong'}"
        )


def test_small_images_are_shown_exactly(digits: Case, tmp_path: Path) -> None:
    assert digits.images.pixels is not None
    tile = next(iter(read(digits.write(tmp_path)).all("li", cls="tile")))
    content = base64.b64decode((tile.one("img").attrs["src"] or "").removeprefix("data:image/png;base64,"))
    index = digits.images.names.index(tile.attrs["title"] or "")
    assert (np.asarray(Image.open(io.BytesIO(content))) == digits.images.pixels[index, 0]).all()
    assert tile.one("img").attrs["class"] == "small"


def test_files_lose_their_metadata_and_may_be_gone(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(10):
            exif = Image.Exif()
            exif[0x010F] = "a secret camera"
            pixels = generator.integers(0, 256, (150, 300, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(
                tmp_path / "data" / name / f"{i}.jpg", exif=exif, comment=b"a secret"
            )
    images = open_images(tmp_path / "data")
    case = Case(images, split_images(images), np.zeros((20, 2), dtype=np.float32))
    sources = [img.attrs["src"] or "" for img in read(case.write(tmp_path / "run")).all("img")]
    assert len(sources) == 6  # 2 classes x 2 samples, and the 2 dogs taken for cats
    for source in sources:
        content = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
        assert b"secret" not in content
        width, height = Image.open(io.BytesIO(content)).size
        assert (width, height) in ((144, 72), (270, 135))
    for index in case.split.indices("test"):
        images.path(int(index)).unlink()
    page = read(case.write(tmp_path / "again"))
    assert not list(page.all("img"))
    assert page.one("body").text.count("cannot be read any more") == 6


# -- safety --------------------------------------------------------------------------------------------


def test_names_are_escaped(nasty: Case, tmp_path: Path) -> None:
    findings = [Finding(level="error", where="<b>", what="<u>what</u>", why="<s>", do="<em>")]
    path = nasty.write(tmp_path, findings=findings)
    page = read(path)
    assert "<script" not in path.read_text("utf-8").lower()
    tags = Counter(node.tag for node in page.one("body").all())
    assert not tags.keys() & {"script", "u", "s", "em"}
    assert tags["i"] == 2  # the intervals of two parts; every file name holds an <i>
    assert not [b for b in page.all("b") if b.text == "d"]
    assert not [key for node in page.all() for key in node.attrs if key.startswith("on")]
    assert "<img src=x onerror=alert(3)>" in page.one("header").text
    assert "<u>what</u>" in section(page, "findings").text


def test_every_class_is_named(digits: Case, nasty: Case, tmp_path: Path) -> None:
    for case, column in ((digits, 0), (nasty, 1)):
        page = read(case.write(tmp_path / str(column)))
        assert [row[column] for row in rows_of(section(page, "classes").one("table"))] == list(
            case.images.classes
        )
        assert [row[0] for row in rows_of(section(page, "split").one("table"))] == list(case.images.classes)


def test_nothing_is_fetched(nasty: Case, tmp_path: Path) -> None:
    path = nasty.write(tmp_path)
    text = path.read_text("utf-8")
    page = read(path)
    for node in page.all():
        for key in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = node.attrs.get(key)
            assert value is None or value.startswith(("data:image/", "#")), f"{node.tag} {key} {value}"
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    policy = next(m for m in page.all("meta") if m.attrs.get("http-equiv") == "Content-Security-Policy")
    assert (policy.attrs["content"] or "").startswith("default-src 'none'")


def test_ids_are_unique_and_links_lead_somewhere(nasty: Case, tmp_path: Path) -> None:
    path = nasty.write(tmp_path)
    page, text = read(path), path.read_text("utf-8")
    ids = Counter(node.attrs["id"] for node in page.all() if "id" in node.attrs)
    assert set(ids.values()) == {1}
    targets = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    assert any(target.startswith("loss-") for target in targets)
    assert targets <= set(ids)


def test_a_name_that_is_not_utf8_is_written(digits: Case, tmp_path: Path) -> None:
    names = tuple(name + "\udcff" for name in digits.images.names)
    images = dataclasses.replace(digits.images, names=names)
    path = Case(images, digits.split, digits.logits).write(tmp_path)
    assert "\\udcff" in path.read_text("utf-8")


# -- size, sameness, older runs ------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "each", "side"), [(2_500, 3, 8), (1_000, 6, 64), (30, 12, 256)])
def test_is_below_its_size(classes: int, each: int, side: int, tmp_path: Path) -> None:
    case = invented(tuple(f"{i} <{'n' * 115}" for i in range(classes)), each, side)
    path = case.write(tmp_path)
    assert path.stat().st_size < LIMIT
    found = section(read(path), "classes")
    shown = len(rows_of(found.one("table")))
    assert shown == classes or f"The first {shown:,} of {classes:,} classes" in found.text
    assert 0 < sum(1 for _ in read(path).all("li", cls="tile")) <= 120


def test_many_classes_get_a_picture(nasty: Case, tmp_path: Path) -> None:
    found = section(read(nasty.write(tmp_path)), "confusion")
    assert not list(found.all("table"))
    source = found.one("svg").one("image").attrs["href"] or ""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    matrix = judged(nasty.images, nasty.split, nasty.logits, "test").scores.confusion
    assert ((picture[:, :, 3] > 0) == (matrix > 0)).all()


def test_same_inputs_give_the_same_bytes(nasty: Case, tmp_path: Path) -> None:
    first = nasty.write(tmp_path).read_bytes()
    assert nasty.write(tmp_path).read_bytes() == first


def test_one_epoch(digits: Case, tmp_path: Path) -> None:
    page = read(digits.write(tmp_path, parts=("val",), epochs=1, best=1))
    assert len(list(section(page, "training").all("svg"))) == 3
    assert "1 epoch in 2.0 s" in page.one("header").text
    assert page.one("strong", cls="badge").text == "selected on these images: too good"


def test_a_test_score_is_not_called_selected_on(digits: Case, tmp_path: Path) -> None:
    assert not list(read(digits.write(tmp_path, parts=("test",))).all("strong", cls="badge"))


def test_a_run_that_recorded_little(digits: Case, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_args(LITTLE)
    evaluation = judged(digits.images, digits.split, digits.logits, "test")
    write_report(run.report, run=run, split=digits.split, evaluations=[evaluation])
    page = read(run.report)
    assert "no epoch recorded" in page.one("header").text
    assert "there are no curves" in section(page, "training").text


def test_findings_are_shown_once_the_gravest_first(digits: Case, tmp_path: Path) -> None:
    def finding(level: Any, where: str) -> Finding:
        return Finding(level=level, where=where, what="a", why="b", do="c")

    split = dataclasses.replace(digits.split, findings=(finding("warning", "w"),))
    case = Case(digits.images, split, digits.logits)
    page = read(
        case.write(
            tmp_path, findings=[*digits.images.findings, finding("warning", "w"), finding("error", "e")]
        )
    )
    heads = [item.one("p").text for item in page.one("ul", cls="findings").all("li")]
    assert heads == ["error e", "warning w", "info digits"]
    assert "1 error and 1 warning to read" in page.one("header").text


def test_nothing_to_report_is_refused(digits: Case, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_args({})
    with pytest.raises(ValueError, match="evaluations is empty"):
        write_report(run.report, run=run, split=digits.split, evaluations=[])
