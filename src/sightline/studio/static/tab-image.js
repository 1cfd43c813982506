// The tab Image: a picture through a model; maps, one unit with its numbers, what the answer rests on.
import { h } from "./dom.js";
import { answers, bigMap, neuron, strip, vector, view } from "./img-parts.js";
import { address, chooser, failure, fill, findings, seconds, size } from "./net-parts.js";

const ask = (what, parts) => `/api/image/${what}?${new URLSearchParams(parts)}`;
let live = 0; // of the page that is shown: what belongs to an older one stops
let sheet = null;

export async function show(root, parts, api) {
  const mine = ++live;
  sheet = null;
  const spec = parts[0];
  const given = new URLSearchParams(location.search);
  const chosen = given.get("image") ?? "";
  if (!spec) {
    const list = h("div", {});
    root.append(h("h1", {}, "Image"), list);
    fill(list, "Looking for models", api.get("/api/image/choices"), (choices) => chooser(choices, (one) => address("image", one, "", { image: chosen }), { design: false, weights: true, say: "An image through any network: every map, every number of one neuron, and what the answer rests on." }));
    return;
  }
  const state = { spec, image: chosen, layer: given.get("layer") ?? "", unit: given.get("unit") ?? "", at: given.get("at") ?? "", how: given.get("how") ?? "", target: given.get("target") ?? "", sanity: given.get("sanity") ?? "", classes: given.get("classes") ?? "" };
  const page = build(api, state, mine);
  root.append(h("h1", { class: "spec" }, spec), ...page.elements);
  page.open();
}

export function keys(event) {
  return sheet?.(event) ?? false;
}

function build(api, state, mine) {
  const picture = h("div", { class: "given" });
  const answer = h("section", {}, h("h2", {}, "What it says"), h("div", {}));
  const maps = h("section", { class: "maps" });
  const unit = h("section", { class: "unit", hidden: true });
  const rests = h("section", { class: "rests" });
  const warn = h("div", {});
  let opened = null;

  const both = (more = {}) => ({ spec: state.spec, image: state.image, classes: state.classes, ...more });
  const keep = () => history.replaceState(null, "", address("image", state.spec, "", { image: state.image, layer: state.layer, unit: state.unit, at: state.at, how: state.how, target: state.target, sanity: state.sanity, classes: state.classes }));
  const current = () => mine === live;

  // -- the picture ---------------------------------------------------------------------------------------

  async function send(file) {
    if (!file) return;
    picture.setAttribute("aria-busy", "true");
    try {
      const { image } = await api.upload(`/api/image/upload?name=${encodeURIComponent(file.name)}`, file);
      take(image);
    } catch (error) {
      note.replaceChildren(failure(error));
    }
    picture.removeAttribute("aria-busy");
  }
  function take(image) {
    if (!image) return;
    Object.assign(state, { image, at: "", sanity: "" });
    open();
  }
  const path = h("input", { type: "text", "aria-label": "A file, or china, flower, digit:0", placeholder: "a file, or digit:7", spellcheck: "false" });
  const note = h("div", {});
  const frame = h("div", { class: "frame" });
  const upload = h("input", { type: "file", accept: "image/*,.tif,.tiff", "aria-label": "An image of yours", onchange: (event) => send(event.target.files[0]) });
  picture.append(frame, note,
    h("p", { class: "controls" }, h("label", { class: "file" }, "Your image", upload),
      ["china", "flower"].map((name) => h("button", { type: "button", onclick: () => take(name) }, name)),
      h("button", { type: "button", onclick: () => take(`digit:${state.image.startsWith("digit:") ? (Number(state.image.slice(6)) + 1) % 1797 : 0}`) }, "next digit")),
    h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); take(path.value.trim()); } }, path, h("button", { type: "submit" }, "Open")));
  picture.addEventListener("dragover", (event) => { event.preventDefault(); picture.classList.add("over"); });
  picture.addEventListener("dragleave", () => picture.classList.remove("over"));
  picture.addEventListener("drop", (event) => { event.preventDefault(); picture.classList.remove("over"); send(event.dataTransfer.files[0]); });

  async function open() {
    note.replaceChildren();
    opened = null;
    await fill(answer.lastChild, "Opening the model", api.get(ask("open", both())), (found) => {
      opened = found;
      return said();
    });
    if (!current() || !opened) return;
    state.image = opened.image_name;
    keep();
    const image = h("img", { src: opened.image.png, alt: opened.image.title, class: Math.max(...opened.image.size) < 100 ? "sharp" : null, width: String(opened.image.size[1]), height: String(opened.image.size[0]) });
    frame.replaceChildren(h("figure", {}, image, h("figcaption", {}, h("b", {}, opened.image.title), `, as the network is given it: ${size(opened.input_shape)}`)));
    note.replaceChildren(...opened.image.notes.map((text) => h("p", { class: "note" }, text)));
    warn.replaceChildren(...(opened.trained ? [] : [h("ul", { class: "findings" }, h("li", { class: "warning" }, h("p", {}, h("b", {}, "Fresh weights: "), "this network has learned nothing, and what is seen in it is chance."),
      h("p", { class: "note" }, "Name weights behind it, as NAME@FILE, or open a run.")))]));
    layers();
    if (state.layer) showLayer(); else showStages();
    showUnit();
    attributions();
  }

  // -- maps ----------------------------------------------------------------------------------------------

  const chooseLayer = h("select", { "aria-label": "Layer", onchange: (event) => { Object.assign(state, { layer: event.target.value, unit: "", at: "" }); keep(); if (state.layer) showLayer(); else showStages(); showUnit(); } });
  const mapsBody = h("div", {});
  maps.append(h("h2", {}, "Maps"), h("p", { class: "controls" }, h("label", { class: "choice" }, "layer ", chooseLayer), h("span", { class: "note" }, "A press on a pixel of a map looks into that neuron.")), mapsBody);

  function layers() {
    chooseLayer.replaceChildren(h("option", { value: "" }, "all the way through"), ...opened.layers.map((layer) => h("option", { value: layer.id }, `${layer.id || opened.name}  ${size(layer.shape)}`)));
    if (state.layer && !opened.layers.some((layer) => layer.id === state.layer)) state.layer = "";
    chooseLayer.value = state.layer;
  }

  function showStages() {
    fill(mapsBody, "Running it", api.get(ask("through", both())), async (found) => [
      found.findings.length ? findings(found.findings) : null,
      await Promise.all(found.stages.map(async (stage) => h("div", { class: "of-stage" },
        h("h3", {}, h("button", { type: "button", class: "link", onclick: () => { Object.assign(state, { layer: stage.layer, unit: "", at: "" }); chooseLayer.value = stage.layer; keep(); showLayer(); showUnit(); } }, stage.layer), " ", h("small", {}, `${stage.shape[0]} maps of ${stage.shape[1]} x ${stage.shape[2]}`)),
        await strip(stage, (chosen, at) => pick(stage.layer, chosen, at), state.layer === stage.layer && state.unit !== "" ? Number(state.unit) : null),
        h("p", { class: "note" }, stage.caption)))),
    ]);
  }

  function showLayer(top = 0) {
    fill(mapsBody, "Running it", api.get(ask("layer", both({ layer: state.layer, top }))), async (found) => {
      const now = state.unit === "" ? null : Number(state.unit);
      const choose = (chosen, at) => pick(state.layer, chosen, at);
      const all = found.shape[0] > found.units.length ? h("button", { type: "button", onclick: () => showLayer(found.shape[0]) }, `All ${found.shape[0]}`) : null;
      if (found.values) return [h("p", { class: "note" }, `${found.shape[0]} values, the largest first`), vector(found, choose, now), all];
      return [found.findings.length ? findings(found.findings) : null, h("div", { class: "many" }, await strip(found, choose, now)), found.notes.map((text) => h("p", { class: "note" }, text.replace(/that is --layer (\S+)/, "see $1"))), all];
    });
  }

  function pick(layer, chosen, at) {
    Object.assign(state, { unit: String(chosen), at: at ? at.join(",") : "" });
    if (state.layer !== layer) {
      state.layer = layer;
      chooseLayer.value = layer;
    }
    keep();
    for (const button of mapsBody.querySelectorAll("[data-unit]")) button.setAttribute("aria-pressed", String(button.closest(".of-stage, .many, .values") && button.dataset.unit === state.unit && within(button, layer)));
    showUnit(true);
  }
  const within = (button, layer) => {
    const stage = button.closest(".of-stage");
    return !stage || stage.querySelector("h3 button").textContent === layer;
  };

  // -- one unit ------------------------------------------------------------------------------------------

  async function showUnit(look = false) {
    unit.hidden = state.unit === "";
    if (unit.hidden) return;
    const head = h("h2", {}, `Unit ${state.unit} of ${state.layer}`);
    const map = h("div", { class: "its-map" });
    const sum = h("div", { class: "its-sum" });
    const field = h("div", { class: "its-field" });
    const back = h("div", { class: "its-back" });
    unit.replaceChildren(head, h("div", { class: "its" }, map, field), sum, back);
    if (look) unit.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    const one = () => both({ layer: state.layer, unit: state.unit, at: state.at });
    const write = () => {
      const at = one();
      fill(sum, "Writing it out", api.get(ask("unit/neuron", at)), neuron);
      fill(field, "What it can see", api.get(ask("unit/field", at)), (found) => view(found, { notes: 0 }));
      fill(back, "Taking it back to the pixels", api.get(ask("unit/deconvnet", at)), (found) => view(found, { notes: 1 }));
    };
    await fill(map, "Its map", api.get(ask("map", both({ layer: state.layer, unit: state.unit }))), (found) => {
      if (!found.values) return h("p", { class: "note" }, "one number, no map");
      if (!state.at) state.at = found.at.join(",");
      const [rows, columns] = [found.values.length, found.values[0].length];
      const at = state.at.split(",").map(Number);
      if (!(at[0] < rows && at[1] < columns)) state.at = found.at.join(",");
      return [found.findings.length ? findings(found.findings) : null, bigMap(found, state.at.split(",").map(Number), (place) => { state.at = place.join(","); keep(); write(); })];
    });
    if (!current()) return;
    keep();
    write();
  }

  // -- attributions --------------------------------------------------------------------------------------

  const result = h("div", {});
  const verdict = h("div", {});
  const choices = h("p", { class: "controls" });
  rests.append(h("h2", {}, "What the answer rests on"), choices, result, verdict);
  const NAMES = ["gradcam", "gradcam++", "layercam", "saliency", "guided", "integrated", "smoothgrad", "occlusion"];
  let running = null;

  function attributions() {
    choices.replaceChildren(...NAMES.map((name) => h("button", { type: "button", "data-how": name, "aria-pressed": String(state.how === name), title: `about ${seconds(opened.expected[name].map)}`, onclick: () => { Object.assign(state, { how: name, sanity: "" }); keep(); attribute(false); } }, name)));
    result.replaceChildren();
    verdict.replaceChildren();
    if (!opened.answer.classes) {
      choices.replaceChildren(h("span", { class: "note" }, "It gives no score a class; there is none to explain."));
    } else if (state.how) attribute(state.sanity === "1");
  }

  function said() {
    const names = h("input", { type: "text", "aria-label": "Names of its classes: a file, one a line", placeholder: "names: a file, one a line", value: state.classes, spellcheck: "false" });
    const form = h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); state.classes = names.value.trim(); open(); } }, names, h("button", { type: "submit" }, "Name"));
    return [answers(opened, state.target, explain), (opened.named && !state.classes) || !opened.answer.classes ? null : form].flat(Infinity).filter(Boolean);
  }

  function explain(target) {
    Object.assign(state, { target, sanity: "" });
    keep();
    answer.lastChild.replaceChildren(...said());
    if (state.how) attribute(false);
  }

  async function attribute(sanity) {
    for (const button of choices.querySelectorAll("[data-how]")) button.setAttribute("aria-pressed", String(button.dataset.how === state.how));
    const place = sanity ? verdict : result;
    if (!sanity) verdict.replaceChildren();
    if (running !== null) await api.post(`/api/image/job/${running}/stop`).catch(() => {});
    const how = state.how;
    let job;
    try {
      job = await start({ ...both(), how, target: state.target, sanity });
      running = job.number;
      job = await watched(job, place);
    } catch (error) {
      place.replaceChildren(failure(error));
      return;
    }
    if (running === job.number) running = null;
    if (!current() || how !== state.how) return;
    if (job.state === "stopped") place.replaceChildren(h("p", { class: "note" }, "Stopped."));
    else if (job.state === "failed") place.replaceChildren(failure(new Error(job.error)));
    else {
      result.replaceChildren(...drawn(job.result, how, sanity, job));
      verdict.replaceChildren();
    }
  }

  // The job before is told to stop at its next pass; until then there is no room.
  async function start(body) {
    for (let tries = 0; ; tries++) {
      try {
        return await api.post("/api/image/attribution", body);
      } catch (error) {
        if (tries > 40 || !error.message.startsWith("one at a time") || running === null) throw error;
        await new Promise((done) => setTimeout(done, 250));
      }
    }
  }

  async function watched(job, place) {
    const bar = h("progress", { max: "1", "aria-label": job.what });
    const says = h("span", { class: "note", role: "status" });
    const stop = h("button", { type: "button", onclick: () => api.post(`/api/image/job/${job.number}/stop`).catch(() => {}) }, "Stop");
    const line = h("p", { class: "controls" }, bar, says, stop);
    const later = setTimeout(() => place.replaceChildren(line), 300);
    while (job.state === "running" && current()) {
      bar.value = Math.min(0.99, job.seconds / Math.max(job.expected, 0.1));
      says.textContent = `${job.what}: ${Math.round(job.seconds)} s of about ${seconds(job.expected)}, ${job.images} images through it`;
      await new Promise((done) => setTimeout(done, job.seconds < 2 ? 150 : 500));
      job = await api.get(`/api/image/job/${job.number}`);
    }
    clearTimeout(later);
    line.remove();
    return job;
  }

  function drawn(found, how, sanity, job) {
    const check = found.figures.sanity;
    const passed = check ? h("p", { class: `verdict ${check.passes ? "right" : "wrong"}` }, h("b", {}, check.passes ? "It passes: " : "It does not pass: "),
      check.why ?? `${check.changes_with_weights ? "it changes" : "it hardly changes"} when weights are made random (rank correlation ${check.similarity === null ? "not told" : check.similarity.toFixed(2)}, above 0.5 fails); ${["deletion", "insertion"].map((name) => `${name} is ahead of ${check[name].beaten} of ${check[name].orders} random orders: ${check[name].better ? "better than random" : check[name].cannot_tell ? "it cannot tell" : "no better than random"}`).join("; ")}.`) : null;
    const asked = sanity ? null : h("p", { class: "controls" }, h("button", { type: "button", class: "strong", onclick: () => { state.sanity = "1"; keep(); attribute(true); } }, "Is it true of the network?"),
      h("span", { class: "note" }, `random weights, and the image taken away and put back: about ${seconds(opened.expected[how].sanity)}`));
    return [passed, ...view(found, { notes: 2, wide: 227 }).flat(Infinity).filter(Boolean), h("p", { class: "note" }, `${seconds(job.seconds)} on this machine`), asked].filter(Boolean);
  }

  // -- keys ----------------------------------------------------------------------------------------------

  sheet = (event) => {
    if (event.key !== "j" && event.key !== "k" || !opened) return false;
    const names = ["", ...opened.layers.map((layer) => layer.id)];
    const next = names[Math.min(names.length - 1, Math.max(0, names.indexOf(state.layer) + (event.key === "j" ? 1 : -1)))];
    chooseLayer.value = next;
    chooseLayer.dispatchEvent(new Event("change"));
    return true;
  };

  return {
    open,
    elements: [
      h("p", { class: "controls" }, h("a", { class: "quiet", href: address("image", "", "", { image: state.image }) }, "Choose another model"), h("a", { class: "quiet", href: address("network", state.spec) }, "Its layers and numbers")),
      warn,
      h("div", { class: "looking" }, h("div", { class: "left" }, picture, answer), h("div", { class: "right" }, maps, unit, rests)),
    ],
  };
}
