// The tab Lecture: the syllabus at the side, one entry beside it.
import { h } from "./dom.js";
import { commandsPart, correctionsPart, headPart, playPart, resultParts } from "./lecture-parts.js";

const POLL = 400; // milliseconds
let entries = null;
let current = null;
let runNow = null;

export async function show(root, parts, api) {
  ({ entries } = await api.get("/api/lecture"));
  const name = parts[0] ?? entries[0].name;
  const body = h("article", { class: "entry" });
  root.append(side(name), body);
  current = { root, body, name };
  runNow = null;
  const entry = await api.get(`/api/lecture/${encodeURIComponent(name)}`);
  document.title = `${entry.title} - Sightline`;
  const run = runPart(entry, api);
  const ask = (kind, given) => api.post(`/api/lecture/plays/${kind}`, given);
  body.append(
    headPart(entry),
    ...entry.plays.map((one) => playPart(one, ask, { api })),
    run,
    ...[correctionsPart(entry), commandsPart(entry), foot(entry)].filter(Boolean),
  );
}

export function keys(event) {
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const at = entries?.findIndex((one) => one.name === current?.name) ?? -1;
    const to = entries?.[at + (event.key === "ArrowRight" ? 1 : -1)];
    if (at >= 0 && to) go(to.name);
    return true;
  }
  if (event.key === "r" && runNow) {
    runNow();
    return true;
  }
  const plays = [...(current?.body.querySelectorAll(".play") ?? [])].filter((one) => one.playKeys);
  const chosen = plays.find((one) => one.contains(document.activeElement)) ?? plays.find(isSeen);
  return chosen?.playKeys(event) ?? false;
}

function isSeen(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

function go(name) {
  dispatchEvent(new CustomEvent("sightline:go", { detail: `/lecture/${name}` }));
}

function side(name) {
  const list = h(
    "ol",
    {},
    entries.map((one) =>
      h(
        "li",
        {},
        h("a", { href: `/lecture/${one.name}`, "aria-current": one.name === name ? "page" : null, title: one.slides }, one.title),
      ),
    ),
  );
  return h("nav", { class: "side", "aria-label": "Syllabus" }, list);
}

function foot(entry) {
  const link = (one, text) => (one ? h("a", { href: `/lecture/${one.name}`, class: "step" }, h("small", {}, text), one.title) : h("span", {}));
  return h("nav", { class: "foot", "aria-label": "Neighbours" }, link(entry.before, "← before"), link(entry.after, "after →"));
}

function runPart(entry, api) {
  const path = `/api/lecture/${entry.name}`;
  const answer = h("div", { class: "answer" });
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const progress = h("progress", { max: 1, hidden: true });
  const words = h("span", { class: "place", "aria-live": "polite" });
  const live = entry.live_takes && h("input", { type: "checkbox" });
  const data = entry.takes_data && h("input", { type: "text", placeholder: "a folder of images", spellcheck: "false" });
  const start = h("button", { type: "button", class: "strong", onclick: () => run() }, "Run");
  const stop = h("button", { type: "button", hidden: true, onclick: () => api.post(`${path}/stop`) }, "Stop");
  const takes = h("span", { class: "place" }, `about ${entry.takes}`);
  const exported = h(
    "button",
    { type: "button", class: "quiet", title: "one HTML file that works without Python", onclick: () => keep() },
    "Page for students",
  );
  if (live) live.addEventListener("change", () => (takes.textContent = `about ${live.checked ? entry.live_takes : entry.takes}`));

  async function run() {
    if (!stop.hidden) return;
    failure.hidden = true;
    try {
      await api.post(`${path}/run`, { live: Boolean(live && live.checked), data: (data && data.value.trim()) || null });
      await follow();
    } catch (error) {
      failed(error.message);
    }
  }

  async function keep() {
    failure.hidden = true;
    exported.disabled = true;
    try {
      const response = await fetch(`${path}/export`, { headers: { "x-sightline": "page" } });
      if (!response.headers.get("content-type").startsWith("text/html")) {
        const { refused, error } = await response.json();
        throw new Error(refused ?? error);
      }
      const address = URL.createObjectURL(await response.blob());
      h("a", { href: address, download: `${entry.name}.html` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      words.textContent = `written: ${entry.name}.html`;
    } catch (error) {
      failed(error.message);
    }
    exported.disabled = false;
  }

  async function follow() {
    busy(true);
    for (;;) {
      const now = await api.get(`${path}/run`);
      if (now.state !== "running") {
        busy(false);
        if (now.state === "done") {
          answer.replaceChildren(...resultParts(now.result).flat(2));
          words.textContent = `done in ${now.seconds} s`;
        } else if (now.state === "failed") failed(now.error);
        else words.textContent = now.state;
        return;
      }
      if (now.total) {
        progress.max = now.total;
        progress.value = now.done;
      } else progress.removeAttribute("value");
      words.textContent = now.what ? `${now.what}: ${now.done} of ${now.total}, ${now.seconds} s` : `${now.seconds} s`;
      await new Promise((resolve) => setTimeout(resolve, POLL));
      if (!answer.isConnected) return;
    }
  }

  function busy(on) {
    start.disabled = on;
    stop.hidden = progress.hidden = !on;
  }

  function failed(text) {
    busy(false);
    failure.textContent = text;
    failure.hidden = false;
  }

  if (entry.page) answer.replaceChildren(...resultParts(entry.page).flat(2));
  api.get(`${path}/run`).then((now) => now.state === "running" && follow());
  runNow = run;
  return h(
    "section",
    { class: "run" },
    h("h2", {}, "Run it"),
    h(
      "div",
      { class: "controls" },
      start,
      stop,
      takes,
      live && h("label", { class: "check" }, live, "compute the recorded curves live"),
      data && h("label", { class: "choice" }, "on images of yours", data),
      exported,
    ),
    h("div", { class: "controls" }, progress, words),
    failure,
    answer,
  );
}
