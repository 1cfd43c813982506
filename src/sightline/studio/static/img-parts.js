// What the tab Image draws: panels of a view, strips of maps, one map with its numbers, a sum written out.
import { h } from "./dom.js";
import { colour, count, findings, ink, percent, short } from "./net-parts.js";

export async function decoded(png) {
  const image = new Image();
  image.src = png;
  await image.decode();
  return image;
}

export function scaleBar(scale) {
  if (!scale) return null;
  const bar = h("span", { class: "bar-of" });
  bar.style.backgroundImage = `linear-gradient(90deg, ${scale.colours.join(", ")})`;
  return h("span", { class: "scale" }, h("span", {}, short(scale.low, 3)), bar, h("span", {}, short(scale.high, 3)));
}

export function panel(told, wide) {
  const [height, width] = told.size;
  const shown = told.width ?? wide ?? Math.max(width, 200);
  const image = h("img", { src: told.png, alt: told.title || "a panel", width: String(width), height: String(height), class: told.smooth ? null : "sharp" });
  image.style.width = `${shown / 16}rem`;
  return h("figure", { class: "panel" }, told.title ? h("figcaption", {}, h("b", {}, told.title)) : null, image, scaleBar(told.scale), told.caption ? h("figcaption", {}, told.caption) : null);
}

export function view(told, { notes = 3, wide } = {}) {
  const rest = told.notes.slice(notes);
  return [
    h("h3", {}, told.title),
    told.findings.length ? findings(told.findings) : null,
    told.notes.slice(0, notes).map((note) => h("p", { class: "note" }, note)),
    h("div", { class: "panels" }, told.panels.map((one) => panel(one, wide))),
    rest.length ? h("details", {}, h("summary", {}, "What else to know"), rest.map((note) => h("p", { class: "note" }, note))) : null,
  ];
}

// -- maps ------------------------------------------------------------------------------------------------

// Maps of a layer, the strongest first. pick(unit, [row, column] or null) is told which one was pressed.
export async function strip(told, pick, chosen = null) {
  const [, height, width] = told.shape;
  const sheet = await decoded(told.png);
  const most = Math.max(height, width);
  const maps = told.units.map((unit, k) => {
    const canvas = h("canvas", { width: String(width), height: String(height), class: most < 100 ? "sharp" : null });
    canvas.getContext("2d").drawImage(sheet, 0, k * height, width, height, 0, 0, width, height);
    const says = told.silent[k] ? "0, never fires here" : told.lows[k] < 0 ? `${short(told.lows[k], 3)} to ${short(told.highs[k], 3)}` : short(told.highs[k], 3);
    return h("button", {
      type: "button", class: `map${told.silent[k] ? " silent" : ""}`, "data-unit": unit, "aria-pressed": String(unit === chosen), "aria-label": `unit ${unit}: ${says}`,
      onclick: (event) => {
        const box = canvas.getBoundingClientRect();
        const by = event.detail > 0 && event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom;
        pick(unit, by ? [Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width)] : null);
      },
    }, canvas, h("span", { class: "of" }, h("b", {}, unit), " ", says));
  });
  return h("div", { class: "strip" }, maps, scaleBar(told.scale));
}

export function vector(told, pick, chosen = null) {
  const most = Math.max(Math.abs(told.range[0]), Math.abs(told.range[1])) || 1;
  return h("ul", { class: "values" }, told.units.map((unit, k) => h("li", {}, h("button", { type: "button", "data-unit": unit, "aria-pressed": String(unit === chosen), onclick: () => pick(unit, null) },
    h("span", { class: "who" }, told.names ? `${unit} ${told.names[k]}` : `unit ${unit}`), track(Math.abs(told.values[k]) / most, told.values[k] < 0), h("span", { class: "what" }, short(told.values[k]))))));
}

export function track(share, below = false) {
  const inner = h("i", { class: below ? "below" : null });
  inner.style.width = `${100 * Math.min(1, share)}%`;
  return h("span", { class: "track" }, inner);
}

// One map, large: a pixel under the mouse says its value, a press or the arrow keys choose another.
export function bigMap(told, at, choose) {
  const values = told.values;
  const [height, width] = [values.length, values[0].length];
  const canvas = h("canvas", { width: String(width), height: String(height), class: Math.max(height, width) < 100 ? "sharp" : null });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  values.forEach((row, r) => row.forEach((value, c) => pixels.data.set([...colour(told.scale, value), 255], 4 * (r * width + c))));
  context.putImageData(pixels, 0, 0);
  const mark = h("span", { class: "here" });
  const says = h("p", { class: "note", role: "status" });
  const box = h("div", { class: "big", tabindex: "0", role: "application", "aria-label": `Map of unit ${told.unit}: arrow keys move, Enter looks` }, canvas, mark);
  box.style.setProperty("--ratio", width / height);
  let now = at;
  const say = ([r, c], word) => { says.textContent = `${word} row ${r}, column ${c}: ${short(values[r][c], 6)}`; };
  const put = () => {
    mark.style.left = `${(100 * now[1]) / width}%`;
    mark.style.top = `${(100 * now[0]) / height}%`;
    mark.style.width = `${100 / width}%`;
    mark.style.height = `${100 / height}%`;
    say(now, "chosen:");
  };
  const under = (event) => {
    const edge = canvas.getBoundingClientRect();
    return [Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - edge.top) / edge.height) * height))), Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - edge.left) / edge.width) * width)))];
  };
  box.addEventListener("pointermove", (event) => say(under(event), "here:"));
  box.addEventListener("pointerleave", put);
  box.addEventListener("click", (event) => { now = under(event); put(); choose(now); });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) now = [Math.min(height - 1, Math.max(0, now[0] + step[0])), Math.min(width - 1, Math.max(0, now[1] + step[1]))];
    else if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    put();
    if (!step) choose(now);
  });
  put();
  return h("figure", {}, h("figcaption", {}, h("b", {}, told.title)), box, scaleBar(told.scale), h("figcaption", {}, told.caption), says);
}

// -- one neuron ------------------------------------------------------------------------------------------

function cells(values, scale, { outside, winner } = {}) {
  const [rows, columns] = [values.length, values[0].length];
  const small = Math.max(rows, columns) > 7;
  return h("table", { class: `cells-of${small ? " small" : ""}${Math.max(rows, columns) > 13 ? " tiny" : ""}` }, h("tbody", {}, values.map((row, r) => h("tr", {}, row.map((value, c) => {
    if (outside?.[r][c]) return h("td", { class: "beyond", title: "padding" }, small ? "" : "0");
    const rgb = colour(scale, value);
    const cell = h("td", { class: winner && winner[0] === r && winner[1] === c ? "won" : null, title: short(value, 6) }, small ? "" : figure(value));
    cell.style.background = `rgb(${rgb.join(" ")})`;
    cell.style.color = ink(rgb);
    return cell;
  })))));
}

function figure(value) {
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 99.5) return magnitude >= 99999.5 ? value.toExponential(0).replace("e+", "e") : value.toFixed(0);
  if (magnitude >= 9.95) return value.toFixed(1);
  return magnitude < 0.005 ? value.toFixed(3) : value.toFixed(2);
}

const sign = (value, first) => (first ? short(value) : `${value < 0 ? "\u2212" : "+"} ${short(Math.abs(value))}`);

export function neuron(told) {
  const { figures, rows, rest, scales } = told;
  const sum = figures.kind === "sum";
  const head = sum ? ["under the window", "", "kernel", "", "products", "", "sum"] : ["under the window"];
  const parts = sum ? rows.map((row, k) => h("span", {}, sign(row.sum, k === 0))) : [];
  if (sum && rest.inputs) parts.push(h("span", {}, sign(rest.sum, false), h("small", {}, `${count(rest.inputs)} other input${rest.inputs > 1 ? "s" : ""}`)));
  if (sum) parts.push(h("span", {}, sign(figures.bias, false), h("small", {}, "bias")), h("span", {}, "= ", h("b", {}, short(figures.value, 6))));
  const following = figures.after.map((step, k) => {
    const before = k ? figures.after[k - 1].value : figures.value;
    const name = step.kind.replaceAll("_", " ");
    return h("span", { class: "step" }, step.kind === "relu" ? `max(0, ${short(before)}) = ` : `${name}: `, h("b", {}, short(step.value, 6)), h("small", {}, step.kind === "relu" ? "ReLU" : step.layer));
  });
  return [
    h("h3", {}, told.title),
    told.findings.length ? findings(told.findings) : null,
    h("div", { class: "scroll" }, h("table", { class: "sum-of" },
      h("thead", {}, h("tr", {}, h("th", {}), head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, `input ${row.input}`),
        h("td", {}, cells(row.patch, scales.patch, { outside: told.outside, winner: figures.winner })),
        sum ? [h("td", { class: "sign" }, "\u00d7"), h("td", {}, cells(row.kernel, scales.kernel)), h("td", { class: "sign" }, "="), h("td", {}, cells(row.products, scales.products)),
          h("td", { class: "sign" }, "\u2192"), h("td", { class: "total" }, short(row.sum))] : null))))),
    sum ? h("p", { class: "adding" }, parts, following) : h("p", { class: "adding" }, h("span", {}, figures.kind === "max" ? "largest: " : `sum / ${short(figures.count)} = `, h("b", {}, short(figures.value, 6))), following),
    h("p", { class: "note" }, told.notes[0]),
    told.notes.length > 1 ? h("details", {}, h("summary", {}, "In words"), told.notes.slice(1).map((note) => h("p", { class: "note" }, note.replace("; --top N writes out more", "")))) : null,
  ];
}

export function answers(told, target, choose) {
  const { classes, temperature, fitted } = told.answer;
  if (!classes) return h("p", { class: "note" }, told.answer.why);
  return [
    h("ul", { class: "values" }, classes.map((one) => h("li", {}, h("button", {
      type: "button", "aria-pressed": String(String(one.index) === target), title: `logit ${short(one.logit, 6)}; its exponential ${short(one.exponential, 6)}`, onclick: () => choose(String(one.index) === target ? "" : String(one.index)),
    }, h("span", { class: "who" }, one.class), track(one.probability), h("span", { class: "what" }, percent(one.probability)))))),
    h("p", { class: "note" }, `Softmax of the logits${temperature !== 1 ? `, divided by the model's own temperature ${short(temperature, 3)}` : fitted === null ? "; no temperature was fitted" : ""}. A class pressed is the one that is explained below.`),
  ];
}
