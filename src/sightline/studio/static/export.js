// An entry's page in one file: what the studio would ask Python has been computed beforehand.
const { entry, page } = JSON.parse(document.querySelector("#data").textContent);

// What can be chosen in a play that Python has computed beforehand, in the order of its keys.
const CHOSEN = {
  slide: (given) => [given.stride ?? 1, given.pad ?? 0, Boolean(given.flip)],
  pool: (given) => [given.pool ?? "max", given.size ?? 2, given.stride ?? given.size ?? 2],
};

function answering(one) {
  return async (kind, given) => {
    const found = one.answers[(CHOSEN[kind]?.(given) ?? []).join(",")];
    if (!found) throw new Error("that was not computed beforehand; the studio computes it");
    if (found.error) throw new Error(found.error);
    return found;
  };
}

document.querySelector("#page").append(
  h(
    "article",
    { class: "entry exported" },
    headPart(entry),
    ...entry.plays.map((one) => playPart(one, answering(one), { fixed: one.ranges })),
    h("section", {}, h("h2", {}, "What it came to"), resultParts(page)),
    ...[correctionsPart(entry), commandsPart(entry, { copy: false })].filter(Boolean),
    h("p", { class: "note" }, "Made by Sightline. Every number was computed in Python; this page asks for nothing."),
  ),
);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select")) return;
  const plays = [...document.querySelectorAll(".play")].filter((one) => one.playKeys);
  const chosen = plays.find((one) => one.contains(document.activeElement)) ?? plays[0];
  if (chosen?.playKeys(event)) event.preventDefault();
});
