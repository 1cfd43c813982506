// The router, the theme, the keys. A tab is a module tab-NAME.js with show(root, parts, api) and, if it
// likes, keys(event), which says true of a key it has used.
import { api } from "./api.js";
import { h } from "./dom.js";

const TABS = { lecture: "Lecture", network: "Network", image: "Image" };
const SIZES = ["desk", "room", "hall"];
const page = document.querySelector("#page");
let current = null;

// -- where we are ----------------------------------------------------------------------------------------

let asked = 0;

async function show() {
  const mine = ++asked;
  const parts = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const name = parts[0] in TABS ? parts[0] : "lecture";
  for (const link of document.querySelectorAll("[data-tab]")) {
    if (link.dataset.tab === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TABS[name]} - Sightline`;
  const root = h("div", { class: `tab tab-${name}` });
  try {
    const tab = await import(`./tab-${name}.js`);
    if (mine !== asked) return;
    current = tab;
    await tab.show(root, parts.slice(1), api);
  } catch (error) {
    root.append(h("p", { class: "failure", role: "alert" }, error.message));
  }
  if (mine === asked) page.replaceChildren(root);
}

async function go(path) {
  const number = asked + 1;
  if (path !== null) history.pushState(null, "", path);
  await show();
  if (number === asked && path !== null) scrollTo(0, 0);
}

addEventListener("popstate", () => go(null));
addEventListener("sightline:go", (event) => go(event.detail));
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || link.target || link.hasAttribute("download") || event.defaultPrevented) return;
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (!(new URL(link.href).pathname.split("/")[1] in TABS)) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

// -- how it looks ----------------------------------------------------------------------------------------

function keep(key, value) {
  document.documentElement.dataset[key] = value;
  try {
    localStorage.setItem(`sightline-${key}`, value);
  } catch { /* it holds for this page */ }
}

function toggleTheme() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  keep("theme", dark ? "light" : "dark");
}

function nextSize() {
  const now = SIZES.indexOf(document.documentElement.dataset.size ?? "desk");
  keep("size", SIZES[(now + 1) % SIZES.length]);
}

// -- the keys --------------------------------------------------------------------------------------------

function isTyping(target) {
  return Boolean(target.closest?.("input, textarea, select, [contenteditable]"));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (current?.keys?.(event)) {
    event.preventDefault();
    return;
  }
  const names = Object.keys(TABS);
  if (event.key === "t") nextSize();
  else if (event.key === "d") toggleTheme();
  else if (event.key === "?") document.querySelector("#keys").showModal();
  else if (names[Number(event.key) - 1]) go(`/${names[Number(event.key) - 1]}`);
  else return;
  event.preventDefault();
});

document.querySelector("#size").addEventListener("click", nextSize);
document.querySelector("#theme").addEventListener("click", toggleTheme);
document.querySelector("#help").addEventListener("click", () => document.querySelector("#keys").showModal());

show();
