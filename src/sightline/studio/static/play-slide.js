// A window slides over a matrix: a kernel, or a pooling. Python computes every position beforehand; here
// they are drawn, one after the other, and guesses are compared with what it computed.
import { h } from "./dom.js";

const PACE = 900; // milliseconds a step

export function slidePlay(kind, given, ask, { fixed = null } = {}) {
  const pooling = kind === "pool";
  const state = { given: { ...given }, values: null, at: 0, predict: false, open: true, editing: false };
  const score = { right: 0, wrong: 0 };
  let timer = null;
  let asked = 0;

  // -- the parts -----------------------------------------------------------------------------------------

  const stage = h("div", { class: "stage" });
  const sentence = h("div", { class: "sentence", "aria-live": "polite" });
  const sums = h("div", { class: "sums" });
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const back = h("button", { type: "button", onclick: () => move(-1) }, "Back");
  const next = h("button", { type: "button", class: "strong", onclick: () => move(1) }, "Next");
  const player = h("button", { type: "button", onclick: () => (timer ? pause() : play()) }, "Play");
  const again = h("button", { type: "button", onclick: () => reset() }, "Start over");
  const place = h("span", { class: "place" });
  const tally = h("span", { class: "tally", "aria-live": "polite" });
  const predict = checkbox("Predict first", false, (on) => {
    state.predict = on;
    score.right = score.wrong = 0;
    reset();
  });
  const edit = fixed ? null : checkbox("Edit the numbers", false, (on) => {
    state.editing = on;
    pause();
    draw();
  });
  const settings = pooling
    ? [
        choice("pooling", ["max", "avg"], "pool"),
        number("window", "size", fixed ? fixed.size : [1, 9], state.given.size ?? 2),
        number("stride", "stride", fixed ? fixed.stride : [1, 9], state.given.stride ?? state.given.size ?? 2),
      ]
    : [
        number("stride", "stride", fixed ? fixed.stride : [1, 9], state.given.stride ?? 1),
        number("padding", "pad", fixed ? fixed.pad : [0, 9], state.given.pad ?? 0),
        checkbox("Turn the kernel (convolution)", Boolean(state.given.flip), (on) => change({ flip: on })),
      ];
  const root = h(
    "div",
    { class: "play-slide" },
    h("div", { class: "controls" }, settings, predict, edit),
    failure,
    stage,
    h("div", { class: "controls steps" }, back, next, player, again, place, tally),
    sentence,
    sums,
  );

  // -- what is asked -------------------------------------------------------------------------------------

  function checkbox(text, on, chosen) {
    const box = h("input", { type: "checkbox", onchange: () => chosen(box.checked) });
    box.checked = on;
    return h("label", { class: "check" }, box, text);
  }

  function number(text, name, [least, most], value) {
    const field = h("input", {
      type: "number", min: least, max: most, value,
      onchange: () => change({ [name]: field.value }),
    });
    const by = (step) => () => {
      field.value = Math.min(most, Math.max(least, Number(field.value) + step));
      change({ [name]: field.value });
    };
    return h(
      "span",
      { class: "stepper" },
      h("label", {}, text, field),
      h("button", { type: "button", "aria-label": `${text}: less`, onclick: by(-1) }, "−"),
      h("button", { type: "button", "aria-label": `${text}: more`, onclick: by(1) }, "+"),
    );
  }

  function choice(text, names, name) {
    const list = h(
      "select",
      { onchange: () => change({ [name]: list.value }) },
      names.map((one) => h("option", { value: one }, one)),
    );
    list.value = state.given[name] ?? names[0];
    return h("label", { class: "choice" }, text, list);
  }

  async function change(more, { keep = false } = {}) {
    pause();
    Object.assign(state.given, more);
    const mine = ++asked;
    try {
      const values = await ask(kind, state.given);
      if (mine !== asked) return;
      state.values = values;
      failure.hidden = true;
      stage.hidden = sums.hidden = sentence.hidden = false;
      if (keep) draw();
      else reset();
    } catch (error) {
      if (mine !== asked) return;
      state.values = null;
      failure.textContent = error.message;
      failure.hidden = false;
      stage.hidden = sums.hidden = sentence.hidden = true;
      buttons();
    }
  }

  // -- going through -------------------------------------------------------------------------------------

  function reset() {
    pause();
    state.at = 0;
    state.open = !state.predict;
    state.guess = null;
    draw();
  }

  function move(by) {
    if (!state.values) return;
    if (by > 0 && !state.open) return; // a guess first
    const to = state.at + by;
    if (to < 0 || to >= state.values.steps.length) {
      pause();
      return;
    }
    const seen = by < 0 || !state.predict;
    state.at = to;
    state.open = seen;
    state.guess = null;
    draw();
    if (!seen) stage.parentElement?.querySelector(".guess input")?.focus({ preventScroll: true });
  }

  function jump(to) {
    if (!state.values || (state.predict && to > state.at)) return;
    pause();
    state.at = to;
    state.open = true;
    state.guess = null;
    draw();
  }

  function play() {
    if (!state.values || state.predict) return;
    if (state.at === state.values.steps.length - 1) state.at = -1;
    timer = setInterval(() => {
      if (!root.isConnected || state.at >= state.values.steps.length - 1) pause();
      else move(1);
    }, PACE);
    move(1);
    buttons();
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    buttons();
  }

  function guess(text) {
    const step = state.values.steps[state.at];
    const typed = text.trim().replace(",", ".").replace("−", "-");
    if (typed === "" || !Number.isFinite(Number(typed))) return;
    const digits = (typed.split(".")[1] ?? "").length;
    const isRight =
      Number(typed) === step.value || (digits >= 2 && Number(typed).toFixed(digits) === step.value.toFixed(digits));
    score[isRight ? "right" : "wrong"] += 1;
    state.guess = { text: typed, isRight };
    state.open = true;
    draw();
    next.focus({ preventScroll: true });
  }

  // -- what is drawn -------------------------------------------------------------------------------------

  function buttons() {
    const last = state.values ? state.values.steps.length - 1 : 0;
    back.disabled = !state.values || state.at <= 0;
    next.disabled = !state.values || !state.open || state.at >= last;
    player.disabled = !state.values || state.predict;
    player.textContent = timer ? "Pause" : "Play";
    again.disabled = !state.values;
    place.textContent = state.values ? `${state.at + 1} of ${last + 1}` : "";
    const told = score.right + score.wrong;
    tally.textContent = state.predict && told ? `${score.right} right, ${score.wrong} wrong` : "";
  }

  function draw() {
    buttons();
    if (!state.values) return;
    const values = state.values;
    const step = values.steps[state.at];
    const grids = [inputGrid(values, step)];
    if (!pooling) {
      const hidden = !state.open;
      const products = step.products.map((row) => row.map((text) => ({ text: hidden ? "" : text })));
      const laid = grid("kernel", values.given.flip ? "kernel, turned" : "kernel", kernelCells(values));
      const multiplied = grid("products", "products", products);
      grids.push(sign("∗"), h("div", { class: "between" }, laid, sign("→"), multiplied));
    }
    grids.push(sign(pooling ? "→" : "Σ"), outputGrid(values));
    stage.replaceChildren(...grids);
    fit();
    const where = `row ${step.row}, column ${step.column}`;
    if (state.open) {
      const told = state.guess && verdict(state.guess, step);
      sentence.replaceChildren(
        ...[told, h("p", { class: "sum" }, h("span", { class: "where" }, where), h("code", {}, step.sum))].filter(Boolean),
      );
    } else {
      sentence.replaceChildren(question(where));
    }
    const parts = [
      ...values.sums.map(([name, text]) => h("p", {}, h("span", { class: "where" }, name), h("code", {}, text))),
      values.fit && h("p", { class: "fit" }, h("i", { class: "hatch", "aria-hidden": "true" }), values.fit),
      h("p", { class: "note" }, values.computed),
      state.editing && editor(),
    ];
    sums.replaceChildren(...parts.filter(Boolean));
  }

  // What stands between input and output stands in a column where it would push the output below.
  function fit() {
    const [first, last] = [stage.firstElementChild, stage.lastElementChild];
    stage.classList.remove("narrow");
    if (last && last.offsetTop >= first.offsetTop + first.offsetHeight) stage.classList.add("narrow");
  }

  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === width) return;
    width = contentRect.width;
    requestAnimationFrame(fit);
  }).observe(stage);

  function sign(text) {
    return h("span", { class: "sign", "aria-hidden": "true" }, text);
  }

  function grid(name, title, rows, more = {}) {
    const table = h(
      "table",
      { class: `cells ${name}` },
      h("caption", {}, title, h("small", {}, ` ${rows.length}×${rows[0].length}`)),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", cell.attributes, cell.text, cell.more))))),
    );
    return h("div", { class: "grid", ...more }, table);
  }

  function inputGrid(values, step) {
    const [[top], [left]] = values.pads;
    const height = values.input.length - top - values.pads[0][1];
    const width = values.input[0].length - left - values.pads[1][1];
    const laid = values.kernel;
    const rows = values.input.map((row, i) =>
      row.map((text, j) => {
        const [y, x] = [i - top, j - left];
        const inside = y >= 0 && y < height && x >= 0 && x < width;
        const [r, c] = [i - step.top, j - step.left];
        const under = r >= 0 && r < values.size[0] && c >= 0 && c < values.size[1];
        const taken = under && state.open && step.taken?.some(([a, b]) => a === r && b === c);
        const lost = inside && (values.lost_rows.includes(y) || values.lost_columns.includes(x));
        const classes = [!inside && "pad", under && "under", taken && "taken", lost && "lost"];
        const attributes = { class: classes.filter(Boolean).join(" ") || null };
        if (inside && state.editing) {
          return { attributes, text: field(text, "input", y, x) };
        }
        const weight = under && laid ? h("small", { class: "weight" }, `×${laid[r][c]}`) : null;
        return { attributes, text: inside ? text : values.filling, more: weight };
      }),
    );
    const isPadded = rows.length !== height || rows[0].length !== width;
    const title = isPadded ? `input ${height}×${width}, padded` : "input";
    const drawn = grid("input", title, rows, { style: `--columns: ${rows[0].length}` });
    return drawn;
  }

  function kernelCells(values) {
    return values.kernel.map((row, i) =>
      row.map((text, j) => ({
        text: state.editing
          ? field(text, "kernel", ...(values.given.flip ? [values.size[0] - 1 - i, values.size[1] - 1 - j] : [i, j]))
          : text,
      })),
    );
  }

  function outputGrid(values) {
    const rows = Array.from({ length: values.shape[0] }, () => []);
    values.steps.forEach((step, k) => {
      const done = k < state.at || (k === state.at && state.open);
      const here = k === state.at;
      const classes = [here && "here", !done && "empty"].filter(Boolean).join(" ");
      rows[step.row].push({
        text: done ? step.shown : here ? "?" : "",
        attributes: { class: classes || null, onclick: () => jump(k) },
      });
    });
    return grid("output", "output", rows);
  }

  function field(text, name, i, j) {
    const box = h("input", {
      value: text, inputmode: "decimal", "aria-label": `${name}, row ${i}, column ${j}`,
      onchange: () => {
        const rows = matrix(name);
        rows[i][j] = box.value.trim() || "0";
        change({ [name]: rows }, { keep: false });
      },
    });
    return box;
  }

  // What is edited, as rows: what Python drew of it last, without its padding, before it was turned.
  function matrix(name) {
    const values = state.values;
    if (name === "input") {
      const [[top, bottom], [left, right]] = values.pads;
      return values.input
        .slice(top, values.input.length - bottom)
        .map((row) => row.slice(left, row.length - right));
    }
    const rows = values.kernel.map((row) => [...row]);
    return values.given.flip ? rows.reverse().map((row) => row.reverse()) : rows;
  }

  function editor() {
    const text = (name) => matrix(name).map((row) => row.join(",")).join(";");
    const line = (name) => {
      const box = h("input", { type: "text", class: "wide", value: text(name), spellcheck: "false" });
      box.addEventListener("change", () => change({ [name]: box.value }));
      return h("label", { class: "line" }, `${name}, rows between semicolons`, box);
    };
    return h("div", { class: "editor" }, line("input"), pooling ? null : line("kernel"));
  }

  function question(where) {
    const box = h("input", { type: "text", inputmode: "decimal", autocomplete: "off", "aria-label": `your guess for ${where}` });
    return h(
      "form",
      {
        class: "guess",
        onsubmit: (event) => {
          event.preventDefault();
          guess(box.value);
        },
      },
      h("span", { class: "where" }, where),
      h("span", {}, "What will stand here?"),
      box,
      h("button", { type: "submit", class: "strong" }, "Check"),
      h("button", { type: "button", onclick: () => jump(state.at) }, "Show"),
    );
  }

  function verdict({ text, isRight }, step) {
    return isRight
      ? h("p", { class: "verdict right" }, h("b", {}, "✓ Right. "), `It is ${step.shown}.`)
      : h("p", { class: "verdict wrong" }, h("b", {}, "✗ Not so. "), `You said ${text}; it is ${step.shown}.`);
  }

  root.playKeys = (event) => {
    if (event.key === "n") move(1);
    else if (event.key === "b") move(-1);
    else if (event.key === " " && !event.target.closest?.("button, a, summary")) timer ? pause() : play();
    else return false;
    return true;
  };
  root.ready = change({});
  return root;
}
