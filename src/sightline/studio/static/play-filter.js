// A kernel on an image of one's own.
import { h } from "./dom.js";

export function filterPlay(given, ask, { fixed = null, api = null } = {}) {
  const state = { image: given.image ?? "china", kernel: given.kernel ?? "edge-3", flip: false, signed: false };
  let asked = 0;
  const failure = h("p", { class: "failure", role: "alert", hidden: true });
  const before = h("img", { alt: "" });
  const after = h("img", { alt: "" });
  const beforeWords = h("figcaption", {});
  const afterWords = h("figcaption", {});
  const cells = h("div", { class: "grid" });
  const words = h("div", { "aria-live": "polite" });

  async function compute(more = {}) {
    Object.assign(state, more);
    const mine = ++asked;
    try {
      const values = await ask("filter", { ...given, ...state });
      if (mine !== asked) return;
      failure.hidden = true;
      before.src = values.source;
      after.src = values.picture;
      before.alt = values.name;
      after.alt = `${values.name} under ${values.what}`;
      for (const image of [before, after]) image.classList.toggle("small", values.small);
      beforeWords.textContent = `${values.name}, ${values.size}`;
      afterWords.textContent = values.shown;
      words.replaceChildren(
        h("p", {}, h("code", {}, values.kernel_text), `: ${values.what}; ${values.sum}`),
        h("p", { class: "note" }, values.computed),
      );
      if (values.kernel.length <= 7) drawKernel(values.kernel);
      else cells.replaceChildren();
    } catch (error) {
      if (mine !== asked) return;
      failure.textContent = error.message;
      failure.hidden = false;
    }
  }

  function drawKernel(rows) {
    const own = rows.map((row) => [...row]);
    cells.replaceChildren(
      h(
        "table",
        { class: "cells kernel" },
        h("caption", {}, "kernel", h("small", {}, ` ${rows.length}×${rows[0].length}`)),
        h(
          "tbody",
          {},
          rows.map((row, i) =>
            h("tr", {}, row.map((text, j) => h("td", {}, fixed ? text : weight(own, i, j)))),
          ),
        ),
      ),
    );
  }

  function weight(rows, i, j) {
    const box = h("input", {
      value: rows[i][j], inputmode: "decimal", "aria-label": `weight in row ${i}, column ${j}`,
      onchange: () => {
        rows[i][j] = box.value.trim() || "0";
        name.value = "";
        compute({ kernel: rows }).then(() => {
          cells.querySelectorAll("input")[i * rows[0].length + j]?.focus();
        });
      },
    });
    return box;
  }

  const name = h("select", {
    onchange: () => {
      if (name.value) compute({ kernel: name.value });
    },
  }, h("option", { value: "" }, "your own"));
  const image = h("input", { type: "text", value: state.image, spellcheck: "false", onchange: () => compute({ image: image.value }) });
  const file = h("input", {
    type: "file", accept: "image/*",
    onchange: async () => {
      const [chosen] = file.files;
      if (!chosen) return;
      try {
        const sent = await api.upload(`/api/lecture/plays/upload?name=${encodeURIComponent(chosen.name)}`, chosen);
        image.value = sent.image;
        await compute({ image: sent.image });
      } catch (error) {
        failure.textContent = error.message;
        failure.hidden = false;
      }
    },
  });
  const check = (text, key) => {
    const box = h("input", { type: "checkbox", onchange: () => compute({ [key]: box.checked }) });
    return h("label", { class: "check" }, box, text);
  };
  const blank = (n) => () => compute({ kernel: Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (2 * i + 1 === n && 2 * j + 1 === n ? "1" : "0"))) });
  const controls = fixed ? null : h(
    "div",
    { class: "controls" },
    h("label", { class: "choice" }, "kernel", name),
    h("button", { type: "button", onclick: blank(3) }, "Empty 3×3"),
    h("button", { type: "button", onclick: blank(5) }, "Empty 5×5"),
    h("label", { class: "choice" }, "image", image),
    h("label", { class: "file" }, "A file of yours …", file),
    check("Turn the kernel (convolution)", "flip"),
    check("Signed grey scale", "signed"),
  );
  const root = h(
    "div",
    { class: "play-filter" },
    controls,
    fixed ? null : h("p", { class: "note" }, "Images: china, flower, digit:0 to digit:1796, or a path in the studio's folders."),
    failure,
    h("div", { class: "pictures" }, h("figure", {}, before, beforeWords), cells, h("figure", {}, after, afterWords)),
    words,
  );
  root.ready = (async () => {
    if (!fixed) {
      const { kernels } = await api.get("/api/lecture/plays/kernels");
      name.append(...kernels.map((one) => h("option", { value: one.name, title: one.what }, one.name)));
      name.value = typeof state.kernel === "string" && kernels.some((one) => one.name === state.kernel) ? state.kernel : "";
    }
    await compute();
  })();
  return root;
}
