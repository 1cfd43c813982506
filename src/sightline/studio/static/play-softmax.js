// Scores to probabilities.
import { h } from "./dom.js";

export function softmaxPlay(given, ask, { fixed = null } = {}) {
  const names = given.names ?? given.logits.map((_, k) => String(k));
  const logits = [...given.logits];
  let temperature = given.temperature ?? 1;
  let asked = 0;
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const words = h("p", { "aria-live": "polite" });
  const sum = h("code", {});
  const rows = names.map((name, k) => {
    const said = h("output", {}, String(logits[k]));
    const slider = fixed ? null : h("input", {
      type: "range", min: Math.min(-5, logits[k]), max: Math.max(10, logits[k]), step: 0.1, value: logits[k],
      "aria-label": `score of ${name}`,
      oninput: () => {
        logits[k] = Number(slider.value);
        said.textContent = slider.value;
        compute();
      },
    });
    const bar = h("i", {});
    const percent = h("b", {});
    const power = h("code", {});
    const share = h("code", {});
    return {
      element: h(
        "tr",
        {},
        h("th", { scope: "row" }, name),
        h("td", {}, h("span", { class: "score" }, slider, said)),
        h("td", { class: "text" }, power),
        h("td", { class: "text" }, share),
        h("td", { class: "chance" }, h("span", { class: "track" }, bar), percent),
      ),
      bar, percent, power, share,
    };
  });
  const heat = h("output", {}, String(temperature));
  const slider = h("input", {
    type: "range", min: 0.1, max: 5, step: 0.1, value: temperature, "aria-label": "temperature",
    oninput: () => {
      temperature = Number(slider.value);
      heat.textContent = slider.value;
      compute();
    },
  });

  async function compute() {
    const mine = ++asked;
    try {
      const values = await ask("softmax", { logits, names, temperature });
      if (mine !== asked) return;
      failure.hidden = true;
      values.rows.forEach((one, k) => {
        rows[k].bar.style.width = `${100 * one.probability}%`;
        rows[k].percent.textContent = one.percent;
        rows[k].power.textContent = one.power;
        rows[k].share.textContent = one.share;
      });
      sum.textContent = values.sum;
      words.textContent = values.words;
    } catch (error) {
      if (mine !== asked) return;
      failure.textContent = error.message;
      failure.hidden = false;
    }
  }

  const root = h(
    "div",
    { class: "play-softmax" },
    failure,
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h("tr", {}, ["class", "score (logit)", "exp(score/T)", "over the sum", "probability"].map((text) => h("th", { class: "text" }, text))),
        ),
        h("tbody", {}, rows.map((row) => row.element)),
      ),
    ),
    h("p", { class: "sum" }, h("span", { class: "where" }, "sum"), sum),
    fixed ? null : h("label", { class: "heat" }, "temperature T", slider, heat),
    words,
  );
  root.ready = compute();
  return root;
}
