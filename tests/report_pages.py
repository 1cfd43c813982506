"""Reports as the tests read them: a page as a tree, and runs to report on."""

from __future__ import annotations

import dataclasses
import html.parser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from sightline.data import ImageSet, Split, open_images, split_images
from sightline.evaluation import Evaluation, score, write_report
from sightline.records import RunFolder
from sightline.tasks.classification import Answers

LIMIT = 2_000_000
"""Bytes of a page."""

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
            "objective": {"label_smoothing": 0.05},
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


def judged(
    images: ImageSet, split: Split, logits: np.ndarray, part: str, temperature: float = 1.0
) -> Evaluation:
    indices = split.indices(part)  # type: ignore[arg-type]
    answers = Answers(logits[indices], images.targets[indices], indices, temperature)
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
    temperature: float = 1.0

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
        known = more.pop("known", {})
        evaluations = [self.judged(part) for part in parts]
        evaluations = [dataclasses.replace(one, **known) for one in evaluations]
        write_report(run.report, run=run, split=self.split, evaluations=evaluations, **more)
        return run.report

    def judged(self, part: str) -> Evaluation:
        return judged(self.images, self.split, self.logits, part, self.temperature)


def judged_digits() -> Case:
    """The real digits, and what a linear model says of them."""
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


def nasty_case() -> Case:
    """Class names that try to break a page."""
    return invented(NASTY + tuple(f"species {i} of a family with a long name" for i in range(32)), 12, 28)
