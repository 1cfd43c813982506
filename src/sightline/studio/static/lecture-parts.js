// Parts of an entry's page, the same in the studio and in a page for students.
import { h } from "./dom.js";
import { designPlay } from "./play-design.js";
import { filterPlay } from "./play-filter.js";
import { slidePlay } from "./play-slide.js";
import { softmaxPlay } from "./play-softmax.js";

const TITLES = {
  slide: "A kernel slides over a matrix",
  pool: "Pooling, window by window",
  design: "Sizes, while you type",
  filter: "A kernel on an image",
  softmax: "Scores to probabilities",
};

export function playPart(one, ask, options) {
  const made = {
    slide: () => slidePlay("slide", one.given, ask, options),
    pool: () => slidePlay("pool", one.given, ask, options),
    design: () => designPlay(one.given, ask, options),
    filter: () => filterPlay(one.given, ask, options),
    softmax: () => softmaxPlay(one.given, ask, options),
  }[one.kind]();
  const element = h("section", { class: "play", "data-kind": one.kind }, h("h2", {}, TITLES[one.kind]), made);
  element.playKeys = made.playKeys;
  return element;
}

export function headPart(entry) {
  return h(
    "header",
    { class: "entry-head" },
    h("p", { class: "from" }, h("span", { class: "number" }, `${entry.number} of ${entry.of}`), entry.slides),
    h("h1", {}, entry.title),
    h("p", { class: "lead" }, entry.about),
    h("p", { class: "see" }, h("b", {}, "To see: "), entry.see),
  );
}

export function resultParts(page) {
  return [
    page.sentences.map((text) => h("p", { class: "lead" }, text)),
    page.parts.map((part) =>
      h("figure", { class: `part ${part.kind}` }, h("h3", {}, part.title), drawPart(part), part.caption && h("figcaption", {}, part.caption)),
    ),
    page.notes.map((text) => h("p", { class: "note" }, text)),
  ];
}

function drawPart(part) {
  if (part.kind === "plot") {
    const template = document.createElement("template");
    template.innerHTML = part.svg;
    // A sheet within would be refused; the colours of drawings are among the page's own.
    for (const sheet of template.content.querySelectorAll("style")) sheet.remove();
    return h("div", { class: "plot-of" }, template.content);
  }
  if (part.kind === "picture") {
    const style = part.width ? `width: ${part.width}px; image-rendering: pixelated` : null;
    return h("img", { src: part.src, alt: part.alt, style });
  }
  if (part.kind === "table") {
    const kind = (k) => (part.numbers[k] ? null : "text");
    return h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, part.columns.map((name, k) => h("th", { class: kind(k), scope: "col" }, name)))),
        h("tbody", {}, part.rows.map((row) => h("tr", {}, row.map((cell, k) => h("td", { class: kind(k) }, cell))))),
      ),
    );
  }
  return h("div", { class: "scroll" }, h("pre", {}, h("code", {}, part.text)));
}

export function correctionsPart(entry) {
  if (!entry.corrections.length) return null;
  return h(
    "section",
    { class: "corrections" },
    h("h2", {}, "Where the lecture is loose"),
    entry.corrections.map((one) =>
      h(
        "div",
        { class: "correction" },
        h("blockquote", {}, one.says),
        h("p", {}, one.fact),
        h("p", { class: "note" }, one.evidence),
      ),
    ),
  );
}

export function commandsPart(entry, { copy = true } = {}) {
  return h(
    "section",
    { class: "commands" },
    h("h2", {}, "To type"),
    h(
      "ul",
      {},
      [entry.command, ...entry.commands].map((text) => {
        const button = copy && h("button", { type: "button", class: "quiet", "aria-label": `copy: ${text}` }, "Copy");
        if (button) {
          button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(text);
            button.textContent = "Copied";
            setTimeout(() => (button.textContent = "Copy"), 1500);
          });
        }
        return h("li", {}, h("code", {}, text), button);
      }),
    ),
  );
}
