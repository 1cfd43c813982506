// A line of layers, computed while it is typed.
import { h } from "./dom.js";

export function designPlay(given, ask, { fixed = null } = {}) {
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const answer = h("div", {});
  let asked = 0;
  let waiting = null;

  async function compute(line) {
    const mine = ++asked;
    try {
      const values = await ask("design", { ...given, line });
      if (mine !== asked) return;
      failure.hidden = true;
      answer.classList.remove("stale");
      answer.replaceChildren(...drawn(values).filter(Boolean));
    } catch (error) {
      if (mine !== asked) return;
      failure.textContent = error.message;
      failure.hidden = false;
      answer.classList.add("stale");
    }
  }

  const box = h("input", {
    type: "text", class: "wide mono", value: given.line, spellcheck: "false", autocomplete: "off",
    "aria-label": "a network as a line: the input, then its layers",
    oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => compute(box.value), 150);
    },
  });
  const head = fixed
    ? h("pre", {}, h("code", {}, `sightline design ${given.line}`))
    : [
        box,
        h("p", { class: "note" }, "As conv:10,k5,s1,p2 relu pool:2 gap fc:10; ? is solved for, as in conv:10,k5,p?"),
      ];
  const root = h("div", { class: "play-design" }, head, failure, answer);
  root.ready = compute(given.line);
  return root;
}

function drawn(values) {
  const columns = values.columns;
  const row = (cells, tag = "td") => cells.map((cell, k) => h(tag, { class: k < 2 ? "text" : null }, cell));
  return [
    h("p", {}, h("b", {}, `input ${values.input}`), `: ${values.reading}`, values.solved && `; solved: ${values.solved}`),
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, row(columns, "th"))),
        h("tbody", {}, values.layers.map((layer) => h("tr", {}, row(layer.cells)))),
        h("tfoot", {}, h("tr", {}, row(values.total))),
      ),
    ),
    h("p", {}, values.words),
    findings(values.findings),
    h(
      "details",
      { open: values.layers.length <= 6 },
      h("summary", {}, "The sums"),
      h(
        "dl",
        { class: "layer-sums" },
        values.layers
          .filter((layer) => layer.sums.some(([name]) => name !== "memory"))
          .map((layer) => [
            h("dt", {}, h("code", {}, layer.cells[0])),
            h("dd", {}, layer.sums.map(([name, text]) => h("p", {}, h("span", { class: "where" }, name), h("code", {}, text)))),
          ]),
      ),
    ),
  ];
}

function findings(list) {
  if (!list.length) return null;
  return h(
    "ul",
    { class: "findings" },
    list.map((one) =>
      h(
        "li",
        { class: one.level },
        h("p", {}, h("b", {}, `${one.level}, ${one.where}: `), one.what),
        h("p", { class: "note" }, [one.why, one.do].filter(Boolean).join("; ")),
      ),
    ),
  );
}
