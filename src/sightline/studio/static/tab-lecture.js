import { h } from "./dom.js";

export async function show(root, parts, api) {
  const { entries } = await api.get("/api/lecture");
  root.append(h("ol", {}, entries.map((one) => h("li", {}, h("a", { href: `/lecture/${one.name}` }, one.title)))));
}
