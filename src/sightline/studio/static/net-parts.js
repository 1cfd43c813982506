// What the tabs Network and Image share: numbers as text, findings, loading, the list of what can be chosen.
import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en");

export function count(number) {
  return whole.format(number);
}

// Three or four digits, as the views write them.
export function short(number, digits = 4) {
  if (number === null || number === undefined) return "-";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 99999.5 || size < 0.000995) return number.toExponential(2).replace("e+", "e");
  return String(Number(number.toPrecision(size >= 1000 ? Math.max(digits, Math.ceil(Math.log10(size))) : digits)));
}

export function percent(share) {
  if (share === 0) return "0 %";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

export function size(shape) {
  return shape.join(" x ");
}

export function seconds(number) {
  if (number < 0.95) return "under a second";
  if (number < 90) return `${Math.round(number)} s`;
  return `${Math.round(number / 60)} min`;
}

// [r, g, b] of a value on a scale as the server tells it.
export function colour(scale, value) {
  const { low, high, colours } = scale;
  const place = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
  const at = place * (colours.length - 1);
  const below = Math.min(colours.length - 2, Math.floor(at));
  const [a, b] = [colours[below], colours[below + 1]].map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
  return a.map((x, k) => Math.round(x + (at - below) * (b[k] - x)));
}

export function ink([r, g, b]) {
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#14171b" : "#ffffff";
}

export function facts(pairs, name = "facts") {
  return h("dl", { class: name }, pairs.filter(Boolean).map(([term, ...told]) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, told))));
}

export function findings(list, { where = true } = {}) {
  return h("ul", { class: "findings" }, list.map((one) =>
    h("li", { class: one.level },
      h("p", {}, h("b", {}, `${one.level}: `), where && one.where ? `${one.where}: ` : "", one.what),
      h("p", { class: "note" }, `${one.why}. ${one.do}`))));
}

export function failure(error) {
  return h("p", { class: "failure", role: "alert" }, error.message);
}

// Fill an element with what a promise gives, and say so meanwhile; what comes too late is left.
const turns = new WeakMap();
export async function fill(element, what, promise, draw) {
  const turn = (turns.get(element) ?? 0) + 1;
  turns.set(element, turn);
  element.setAttribute("aria-busy", "true");
  const wait = setTimeout(() => {
    if (turns.get(element) === turn) element.replaceChildren(h("p", { class: "note", role: "status" }, `${what} ...`));
  }, element.childElementCount ? 400 : 60);
  let drawn;
  try {
    drawn = draw(await promise);
    drawn = await drawn;
  } catch (error) {
    drawn = failure(error);
  }
  clearTimeout(wait);
  if (turns.get(element) !== turn) return false;
  element.removeAttribute("aria-busy");
  element.replaceChildren(...[drawn].flat(Infinity).filter(Boolean));
  return true;
}

export function query(parts) {
  const given = Object.entries(parts).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  return given.length ? `?${new URLSearchParams(given.map(([key, value]) => [key, value === true ? "1" : String(value)]))}` : "";
}

export function address(tab, spec, layer, parts = {}) {
  const path = [tab, spec, layer].filter(Boolean).map(encodeURIComponent).join("/");
  return `/${path}${query(parts)}`;
}

// -- choosing --------------------------------------------------------------------------------------------

function published(one) {
  const first = one.published.find((result) => result.top1_error !== null) ?? one.published[0];
  if (!first) return "";
  const [error, which] = first.top1_error === null ? [first.top5_error, "top-5"] : [first.top1_error, "top-1"];
  if (error === null) return "";
  return h("span", { title: `${first.data}: ${first.protocol}` }, `${(100 * error).toFixed(2)} % ${which}`);
}

function paper(one) {
  const found = /^(.*?)(\d{4})/.exec(one.paper);
  const names = (found ? found[1] : one.paper).split(", ");
  return h("span", { title: one.paper }, `${names[0].trim()}${names.length > 1 ? " et al." : ""}`);
}

function scoreOf(run) {
  const value = run.scores.accuracy ?? run.scores.top1;
  return value === undefined ? "" : `accuracy ${(100 * value).toFixed(2)} %`;
}

// The lists from which a network is chosen. link(spec) is where one leads; runsFirst puts what has learned first.
export function chooser(choices, link, { say = "", design = true, weights = false } = {}) {
  const own = [...choices.runs, ...choices.files];
  const rows = choices.zoo.map((one) => ({
    words: `${one.name} ${one.paper} ${one.year}`.toLowerCase(),
    row: h("tr", {},
      h("th", { scope: "row" }, h("a", { href: link(one.name) }, one.name)),
      h("td", { class: "text" }, paper(one)), h("td", {}, one.year), h("td", {}, size(one.input_shape)),
      h("td", {}, count(one.parameters)), h("td", {}, count(one.macs)), h("td", {}, published(one))),
  }));
  const tally = h("span", { class: "tally", role: "status" });
  const body = h("tbody", {});
  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const seen = rows.filter((one) => words.every((word) => one.words.includes(word)));
    body.replaceChildren(...seen.map((one) => one.row));
    tally.textContent = `${seen.length} of ${rows.length}`;
  }
  search("");
  const go = (text) => text.trim() && dispatchEvent(new CustomEvent("sightline:go", { detail: link(text.trim()) }));
  const typed = (label, place, help) => {
    const field = h("input", { type: "text", class: "wide mono", placeholder: place, "aria-label": label, spellcheck: "false", autocomplete: "off" });
    return h("form", { class: "typed", onsubmit: (event) => { event.preventDefault(); go(field.value); } },
      h("label", { class: "line" }, label, field), h("button", { type: "submit" }, "Open"), h("p", { class: "note" }, help));
  };
  return h("div", { class: "chooser" },
    say && h("p", { class: "lead" }, say),
    h("section", {}, h("h2", {}, "Yours"),
      own.length
        ? h("ul", { class: "cards" }, own.map((run) => h("li", {}, h("a", { href: link(run.spec) },
          h("b", {}, run.spec), h("small", {}, [run.model, size(run.input_shape), `${run.classes} classes`, scoreOf(run)].filter(Boolean).join(", "))))))
        : h("p", { class: "note" }, "No run lies in the folders that the studio was started with. ", h("code", {}, "sightline demo"), " makes one in a minute."),
      choices.all_seen ? null : h("p", { class: "note" }, "There are more folders than were looked into; name a path below."),
      h("div", { class: "both" },
        typed("Any model", weights ? "NAME@FILE, a run folder, a model file" : "NAME@FILE, FILE.py:NAME, a run folder, a model file",
          `Files are read from ${choices.roots.join(" and ")}. FILE.py:NAME runs that file.`),
        design && typed("A design line", "32x32x3 conv:10,k5,p2 relu pool:2 flatten fc:10", "As of sightline design; ? is solved for."))),
    h("section", {}, h("h2", {}, "The zoo"),
      weights && h("p", { class: "note" }, "A name alone has fresh weights: what is seen in it is chance. NAME@FILE brings weights, NAME@public those that were fetched."),
      h("p", { class: "controls" }, h("input", { type: "text", placeholder: "Search: name, author, year", "aria-label": "Search the zoo", oninput: (event) => search(event.target.value) }), tally),
      h("div", { class: "scroll" }, h("table", { class: "zoo" },
        h("thead", {}, h("tr", {}, ["network", "paper", "year", "input", "parameters", "multiply-adds", "published error"].map((name, k) =>
          h("th", { scope: "col", class: k < 2 ? "text" : null }, name)))),
        body)),
      h("p", { class: "note" }, "Errors are published ones, by others; a mouse on one tells the protocol. None was measured here.")));
}
