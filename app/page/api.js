// ragline's HTTP API, as the page uses it. Errors are thrown as Error with the server's own sentence.

const KEY = "ragline-key";

export const key = {
  set: (value) => sessionStorage.setItem(KEY, value),
};

async function request(path, options = {}) {
  const held = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(held && { Authorization: `Bearer ${held}` }) };
  const response = await fetch(path, { ...options, headers });
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    const error = new Error(body?.error?.message ?? `${response.status} ${response.statusText}`);
    error.status = response.status;
    throw error;
  }
  return response;
}

const json = async (path, options) => (await request(path, options)).json();
const inCollection = (name) => `collection=${encodeURIComponent(name)}`;

export const collections = () => json("/collections");
export const ready = async () => (await fetch("/health/ready")).json();
export const job = (id) => json(`/jobs/${encodeURIComponent(id)}`);
export const documents = (name, cursor) =>
  json(`/documents?limit=50&${inCollection(name)}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
export const remove = (id, name) =>
  request(`/documents/${encodeURIComponent(id)}?${inCollection(name)}`, { method: "DELETE" });

export function upload(file, name) {
  const form = new FormData();
  form.append("file", file);
  form.append("collection", name);
  return json("/documents", { method: "POST", body: form });
}

/** The events of an answer: {name, data}, in their order. */
export async function* ask(body, signal) {
  const response = await request("/ask", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
    signal,
  });
  let pending = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (pending + text).split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}
