// The tab Network: choose one, see it drawn to scale, go through it layer by layer; two side by side.
import { h } from "./dom.js";
import { address, chooser, count, facts, failure, fill, findings, percent, short, size } from "./net-parts.js";

const known = new Map(); // what was described, by what was asked
let moves = null; // (by) => another layer, of the page that is shown

function remembered(api, path) {
  if (!known.has(path)) {
    const asked = api.get(path);
    known.set(path, asked);
    asked.catch(() => known.delete(path));
  }
  return known.get(path);
}

const ask = (what, parts) => `/api/network/${what}?${new URLSearchParams(parts)}`;

export async function show(root, parts, api) {
  moves = null;
  const [spec, layer] = parts;
  const given = new URLSearchParams(location.search);
  const state = { input: given.get("input") ?? "", with: given.get("with") ?? "", unfold: given.get("unfold") ?? "" };
  if (!spec) {
    const first = given.get("beside");
    const list = h("div", {});
    root.append(h("h1", {}, first ? `${first}, and beside it` : "Network"), list);
    const link = (chosen) => (first ? address("network", first, "", { with: chosen }) : address("network", chosen));
    fill(list, "Looking for networks", remembered(api, "/api/network/choices"), (choices) =>
      chooser(choices, link, { say: first ? "" : "Any network, drawn to scale: every size, parameter and multiply-add with its arithmetic." }));
    return;
  }
  if (state.with) {
    besides(root, api, spec, state);
    return;
  }
  const body = h("div", { class: "network" });
  root.append(h("h1", { class: "spec" }, spec), body);
  fill(body, "Recording one pass", remembered(api, ask("describe", { spec, input: state.input, unfold: state.unfold ? "true" : "false" })),
    (told) => whole(api, spec, layer, state, told));
}

export function keys(event) {
  if (!moves || event.shiftKey) return false;
  if (event.key === "j" || event.key === "ArrowDown" && event.target.closest?.(".layers, .drawing")) return moves(1);
  if (event.key === "k" || event.key === "ArrowUp" && event.target.closest?.(".layers, .drawing")) return moves(-1);
  return false;
}

// -- one -------------------------------------------------------------------------------------------------

function totals(spec, state, told) {
  const memory = told.memory_text;
  const field = h("input", { type: "text", class: "input", value: state.input || told.inputs.map((shape) => shape.join(",")).join(" "), "aria-label": "Input: channels, height, width; or one side", spellcheck: "false" });
  const changed = (event) => {
    event.preventDefault();
    const text = field.value.trim();
    const own = text === told.inputs.map((shape) => shape.join(",")).join(" ") && !state.input;
    dispatchEvent(new CustomEvent("sightline:go", { detail: address("network", spec, "", { ...state, input: own ? "" : text }) }));
  };
  const lost = told.lost.some((rows) => rows.length) ? told.lost.map((rows) => rows.length).join(" x ") : "none";
  return facts([
    ["input", h("form", { class: "inline", onsubmit: changed }, field, h("button", { type: "submit" }, "Set"))],
    ["parameters", h("b", {}, count(told.parameters)), h("small", {}, memory.parameters)],
    ["multiply-adds", h("b", {}, count(told.macs)), h("small", {}, `${count(told.flops)} flops`)],
    ["memory, one image", h("b", {}, memory.inference), h("small", {}, `all outputs ${memory.activations}`)],
    memory.training && ["memory, training", h("b", {}, memory.training.split(",")[0]), h("small", {}, memory.training.split(", ")[1])],
    ["receptive field", h("b", {}, told.receptive_field ? size(told.receptive_field) : "-")],
    ["rows x columns lost", h("b", {}, lost)],
  ], "totals");
}

function about(spec, told) {
  const scores = Object.entries(told.scores ?? {}).filter(([name]) => name !== "loss");
  const paper = told.architecture?.paper;
  return [
    paper && h("p", { class: "note" }, paper),
    scores.length ? h("p", { class: "note" }, `Scores: ${scores.map(([name, value]) => `${name.replaceAll("_", " ")} ${short(value)}`).join(", ")}`) : null,
    told.origin === "design" ? h("p", { class: "note" }, told.reading) : null,
    (told.solved ?? []).map((one) => h("p", {}, h("b", {}, `${one.where}: `), one.what)),
  ];
}

function more(told, api, spec, state) {
  const results = told.architecture?.published ?? [];
  const deviations = told.architecture?.deviations ?? [];
  const list = h("div", {});
  const load = (measured) => fill(list, measured ? "Sending 8 images of noise forward and back" : "Checking",
    remembered(api, ask("findings", { spec, input: state.input, measured })), (found) => [
      found.findings.length ? findings(found.findings) : h("p", {}, "Nothing to say against it."),
      measured ? null : h("button", { type: "button", onclick: () => load(true) }, "Measure with 8 images of noise"),
    ]);
  load(false);
  return [
    h("section", {}, h("h2", {}, "Findings"), list),
    results.length ? h("section", {}, h("h2", {}, "Published"), h("ul", { class: "plain" }, results.map((r) =>
      h("li", {}, [r.top1_error !== null && `top-1 ${(100 * r.top1_error).toFixed(2)} %`, r.top5_error !== null && `top-5 ${(100 * r.top5_error).toFixed(2)} %`].filter(Boolean).join(", "), ": ", r.data, ", ", r.protocol)))) : null,
    deviations.length ? h("section", {}, h("h2", {}, "Where it differs from its paper"), h("ul", { class: "plain" }, deviations.map((text) => h("li", {}, text)))) : null,
    told.siblings?.length ? h("p", { class: "note" }, "Of the same name, by another hand: ", told.siblings.map((name, k) => [k ? ", " : "", h("a", { href: address("network", name) }, name)])) : null,
    Object.entries(told.programs ?? {}).map(([name, text]) => h("details", {}, h("summary", {}, `As a ${name} program`), h("pre", { class: "program" }, h("code", {}, text)))),
  ];
}

function whole(api, spec, wanted, state, told) {
  const layers = told.layers;
  const place = new Map(layers.map((layer, k) => [layer.name, k]));
  const panel = h("aside", { class: "layer", "aria-live": "polite" });
  const drawing = draw(told.svg);
  const table = layerTable(spec, state, layers);
  const found = new Map();
  let chosen = -1;

  function choose(name, { push = true, look = "" } = {}) {
    const k = place.get(name);
    if (k === undefined) return false;
    chosen = k;
    for (const group of drawing.querySelectorAll("[data-node]")) {
      const own = group.dataset.holds.split(" ").includes(name);
      group.classList.toggle("chosen", own);
      if (own) group.setAttribute("aria-current", "true"); else group.removeAttribute("aria-current");
      if (own && look !== "drawing") into(drawing, group);
    }
    for (const row of table.querySelectorAll("tbody tr")) {
      const own = row.dataset.node === name;
      row.classList.toggle("chosen", own);
      if (own && look !== "table") into(table, row);
    }
    panel.replaceChildren(...detail(spec, told, layers[k], found.get(name) ?? []));
    if (push) history.replaceState(null, "", address("network", spec, name, state));
    return true;
  }

  moves = (by) => choose(layers[Math.min(layers.length - 1, Math.max(0, chosen + by))].name);
  drawing.addEventListener("click", (event) => {
    const group = event.target.closest("[data-node]");
    if (group) choose(main(group, layers, place), { look: "drawing" });
  });
  drawing.addEventListener("keydown", (event) => {
    const group = event.target.closest("[data-node]");
    if (group && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose(main(group, layers, place), { look: "drawing" });
    }
  });
  table.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-node]");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(row.dataset.node, { look: "table" });
  });
  remembered(api, ask("findings", { spec, input: state.input, measured: false })).then(({ findings: list }) => {
    for (const one of list) for (const name of one.layers) found.set(name, [...(found.get(name) ?? []), one]);
    for (const [name, own] of found) {
      const row = [...table.querySelectorAll("tbody tr")].find((tr) => tr.dataset.node === name);
      row?.querySelector(".marks").append(h("span", { class: `mark ${own[0].level}`, title: own.map((f) => f.what).join("\n") }, own[0].level === "info" ? "i" : "!", h("span", { class: "hidden" }, ` ${own.length} findings`)));
    }
    if (chosen >= 0) choose(layers[chosen].name, { push: false, look: "stay" });
  }, () => {});
  const first = layers.find((layer) => layer.macs) ?? layers[0];
  if (!wanted || !choose(wanted, { push: false })) {
    if (first) choose(first.name, { push: false, look: "stay" });
  }
  const unknown = wanted && !place.has(wanted) ? failure(new Error(`there is no layer ${wanted} in ${spec}`)) : null;
  const unfold = h("label", { class: "check" }, h("input", { type: "checkbox", checked: state.unfold === "1", onchange: (event) =>
    dispatchEvent(new CustomEvent("sightline:go", { detail: address("network", spec, chosen >= 0 ? layers[chosen].name : "", { ...state, unfold: event.target.checked ? "1" : "" }) })) }), "each of the equal blocks");
  return [
    h("p", { class: "controls" },
      h("a", { class: "quiet", href: "/network" }, "Choose another"),
      h("a", { class: "quiet", href: `/network?beside=${encodeURIComponent(spec)}` }, "Put one beside it"),
      told.origin !== "design" && told.inputs.length === 1 && told.inputs[0].length === 3 ? h("a", { class: "quiet", href: address("image", spec) }, "See an image through it") : null,
      h("span", { class: "spare" }), told.svg.includes("stroke-dasharray=\"4 3\"") || state.unfold ? unfold : null),
    unknown,
    totals(spec, state, told), about(spec, told),
    h("div", { class: "halves" }, h("div", { class: "wide-half" }, drawing, table), panel),
    more(told, api, spec, state),
  ];
}

// Of a group of nodes that are drawn as one: the one with weights, else the first.
function main(group, layers, place) {
  const own = group.dataset.holds.split(" ").map((name) => layers[place.get(name)]).filter(Boolean);
  return (own.find((layer) => layer.macs) ?? own[0])?.name;
}

function into(box, element) {
  const [outer, inner] = [box.getBoundingClientRect(), element.getBoundingClientRect()];
  if (inner.top < outer.top + 40 || inner.bottom > outer.bottom) box.scrollTop += inner.top - outer.top - outer.height / 2;
  if (inner.left < outer.left || inner.right > outer.right) box.scrollLeft += inner.left - outer.left - outer.width / 2;
}

export function draw(svg) {
  const box = h("div", { class: "drawing scroll", tabindex: "0", role: "group", "aria-label": "The network, drawn" });
  const parsed = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const picture = document.importNode(parsed, true);
  picture.removeAttribute("role");
  picture.style.setProperty("--natural", Number(picture.getAttribute("width")));
  for (const group of picture.querySelectorAll("[data-node]")) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", group.dataset.node);
  }
  box.append(picture);
  return box;
}

function layerTable(spec, state, layers) {
  const field = (layer) => (layer.receptive_field ? size([...new Set(layer.receptive_field)]) : "");
  const rows = layers.map((layer) => h("tr", { "data-node": layer.name },
    h("th", { scope: "row" }, h("a", { href: address("network", spec, layer.name, state) }, layer.name || "(the network)"), h("span", { class: "marks" },
      layer.lost_rows.length || layer.lost_columns.length ? h("span", { class: "mark lost", title: "pixels that no window covers" }, "/") : null)),
    h("td", { class: "text" }, layer.kind), h("td", {}, size(layer.output_shape)),
    h("td", {}, layer.parameters ? count(layer.parameters) : ""), h("td", {}, layer.macs ? count(layer.macs) : ""),
    h("td", {}, layer.output_text), h("td", {}, field(layer))));
  return h("div", { class: "layers scroll", tabindex: "0", role: "group", "aria-label": "The layers" }, h("table", {},
    h("thead", {}, h("tr", {}, ["layer", "kind", "output", "parameters", "multiply-adds", "memory", "field"].map((name, k) => h("th", { scope: "col", class: k < 2 ? "text" : null }, name)))),
    h("tbody", {}, rows)));
}

const NAMED = { size: "size", height: "height", width: "width", length: "length", parameters: "parameters", macs: "multiply-adds", receptive_field: "field" };

function detail(spec, told, layer, found) {
  const axes = (list) => (list && list.length ? size([...new Set(list.map(String))].length === 1 ? [list[0]] : list) : null);
  const set = [["kernel", layer.kernel_size && size(layer.kernel_size)], ["stride", axes(layer.stride)], ["padding", axes(layer.padding)], ["dilation", layer.dilation && layer.dilation.some((d) => d !== 1) ? size(layer.dilation) : null], ["groups", layer.groups > 1 ? layer.groups : null]]
    .filter(([, value]) => value !== null && value !== undefined);
  const sums = Object.entries(layer.sums);
  const field = layer.receptive_field;
  const share = layer.field_share;
  const lost = [["rows", layer.lost_rows], ["columns", layer.lost_columns]].filter(([, list]) => list.length);
  const image = told.origin !== "design" && layer.output_shape.length === 3;
  return [
    h("h2", {}, layer.name || told.name, " ", h("small", {}, layer.kind)),
    h("p", { class: "flow" }, h("b", {}, size(layer.input_shape)), " \u2192 ", h("b", {}, size(layer.output_shape))),
    set.length ? h("p", { class: "note" }, set.map(([name, value]) => `${name} ${value}`).join(", ")) : null,
    sums.length ? h("div", { class: "arithmetic" }, sums.map(([name, text]) => h("p", {}, h("span", { class: "where" }, NAMED[name] ?? name), h("code", {}, text)))) : null,
    facts([
      ["parameters", h("b", {}, count(layer.parameters)), layer.parameters ? h("small", {}, `${percent(layer.parameter_share)} of all`) : null, layer.shared.length ? h("small", {}, "shared, counted above") : null],
      ["multiply-adds", h("b", {}, count(layer.macs)), layer.macs ? h("small", {}, `${percent(layer.mac_share)} of all`) : null],
      ["memory of its output", h("b", {}, layer.output_text)],
      field && ["receptive field", h("b", {}, size(field)), share ? h("small", {}, share.every((s) => s >= 1) ? "the whole input, or more" : `${share.map(percent).join(" x ")} of the input's sides`) : null,
        layer.jump && layer.jump.some((j) => j) ? h("small", {}, `${size([...new Set(layer.jump.map((j) => short(j)))])} ${layer.jump.every((j) => j === 1) ? "pixel" : "pixels"} from one to the next`) : null],
    ], "facts own"),
    field && share ? seen(told.inputs[0], field) : null,
    lost.map(([axis, list]) => h("p", { class: "fit" }, h("span", { class: "hatch" }), `${axis} of its input that no window covers: ${list.length > 6 ? `${list.slice(0, 3).join(", ")}, ... ${list.at(-1)} (${list.length})` : list.join(", ")}`)),
    found.length ? findings(found, { where: false }) : null,
    image ? h("p", {}, h("a", { href: address("image", spec, "", { layer: layer.name }) }, "Its maps of an image")) : null,
    h("p", { class: "note" }, h("kbd", {}, "j"), " ", h("kbd", {}, "k"), " the next layer, the one before"),
  ].flat(Infinity).filter(Boolean);
}

// The field beside the input, to scale.
function seen(input, field) {
  const [height, width] = input.slice(-2);
  const [tall, wide] = field.slice(-2);
  const most = Math.max(height, width, Math.min(tall, 2 * height), Math.min(wide, 2 * width));
  const unit = 100 / most;
  const box = (name, w, t) => h("svg:rect", { class: name, x: 50 - (w * unit) / 2, y: 50 - (t * unit) / 2, width: w * unit, height: t * unit });
  return h("svg:svg", { class: "seen", viewBox: "-1 -1 102 102", role: "img", "aria-label": `a field of ${tall} x ${wide} on an input of ${height} x ${width}` },
    box("of-input", width, height), box("of-field", Math.min(wide, most), Math.min(tall, most)));
}

// -- two -------------------------------------------------------------------------------------------------

function besides(root, api, spec, state) {
  const names = [spec, state.with];
  const table = h("div", {});
  const boxes = names.map((name) => h("section", { class: "one" }, h("h2", {}, h("a", { href: address("network", name, "", { input: state.input }) }, name)), h("div", {})));
  root.append(
    h("h1", { class: "spec" }, names.join(" and ")),
    h("p", { class: "controls" }, h("a", { class: "quiet", href: "/network" }, "Choose another"), h("a", { class: "quiet", href: `/network?beside=${encodeURIComponent(spec)}` }, "Another second"),
      h("a", { class: "quiet", href: address("network", state.with, "", { with: spec, input: state.input }) }, "Change places")),
    table, h("div", { class: "pair" }, boxes));
  fill(table, "Recording both", remembered(api, ask("compare", { a: names[0], b: names[1], input: state.input })), (told) => compared(told, api, names, state));
  names.forEach((name, k) => fill(boxes[k].lastChild, "Drawing", remembered(api, ask("describe", { spec: name, input: state.input, unfold: "false" })), (told) => {
    const drawing = draw(told.svg);
    const place = new Map(told.layers.map((layer, i) => [layer.name, i]));
    const note = h("div", { class: "layer" }, h("p", { class: "note" }, "A click on a layer tells its arithmetic."));
    const choose = (group) => {
      for (const other of drawing.querySelectorAll("[data-node]")) other.classList.toggle("chosen", other === group);
      const name_ = main(group, told.layers, place);
      note.replaceChildren(...detail(name, told, told.layers[place.get(name_)], []).slice(0, -1));
    };
    drawing.addEventListener("click", (event) => { const group = event.target.closest("[data-node]"); if (group) choose(group); });
    drawing.addEventListener("keydown", (event) => {
      const group = event.target.closest("[data-node]");
      if (group && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(group); }
    });
    return [drawing, note];
  }));
}

function compared(told, api, names, state) {
  const timed = h("tr", {}, h("th", { scope: "row" }, "ms an image"), h("td", { colspan: "3", class: "text" },
    h("button", { type: "button", onclick: (event) => time(event.target) }, "Time both here")));
  async function time(button) {
    button.disabled = true;
    button.textContent = "Timing ...";
    try {
      const { milliseconds, quartiles } = await api.get(ask("time", { a: names[0], b: names[1], input: state.input }));
      timed.replaceChildren(h("th", { scope: "row" }, "ms an image (quartiles)"),
        milliseconds.map((ms, k) => h("td", {}, `${ms.toFixed(1)}${quartiles[k] ? ` (${quartiles[k].map((q) => q.toFixed(1)).join(" to ")})` : ""}`)),
        h("td", {}, `${(milliseconds[1] / milliseconds[0]).toFixed(2)} x`));
    } catch (error) {
      button.parentElement.replaceChildren(failure(error));
    }
  }
  return [
    h("div", { class: "scroll" }, h("table", { class: "rows" },
      h("thead", {}, h("tr", {}, h("th", {}), told.names.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "ratio"))),
      h("tbody", {}, told.rows.map((row) => h("tr", { class: row.differs ? "differs" : null }, h("th", { scope: "row" }, row.name),
        row.texts.map((text) => h("td", {}, text)), h("td", {}, row.ratios ? `${row.ratios[1] < 9.995 ? row.ratios[1].toFixed(2) : count(Math.round(row.ratios[1]))} x` : ""))), timed))),
    told.published.map((one) => h("p", { class: "note" }, `published, ${one.name}: ${one.text}`)),
    told.differences.length
      ? h("details", {}, h("summary", {}, "Where their layers part"), h("pre", { class: "diff" }, told.differences.filter((line) => !line.startsWith("@@")).map((line) =>
        h("span", { class: line[0] === "-" ? "minus" : line[0] === "+" ? "plus" : null }, `${line}\n`))))
      : h("p", {}, "Layer by layer they are alike."),
  ];
}
