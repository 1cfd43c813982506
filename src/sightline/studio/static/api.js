// What the page asks Python. Each answers with JSON, or throws an Error with the server's one line.
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { "x-sightline": "page", ...options?.headers } });
  } catch {
    throw new Error("the studio does not answer: it was ended, or its terminal was closed");
  }
  let content;
  try {
    content = await response.json();
  } catch {
    throw new Error(`the studio answered ${response.status} without words`);
  }
  if (typeof content?.refused === "string") throw new Error(content.refused);
  if (!response.ok) throw new Error(content.error ?? `the studio answered ${response.status}`);
  return content;
}

export const api = {
  get: (path) => ask(path),
  post: (path, body) =>
    ask(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body ?? {}),
    }),
  upload: (path, file) =>
    ask(path, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: file }),
};
