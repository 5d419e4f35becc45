// ragline's HTTP API, as the page uses it, at addresses relative to the page's: a proxy may put both anywhere. What fails is thrown as an Error that says so in the server's own words.

import { events } from "./events.js";

const KEY = "ragline-key";
let askForKey = async () => null;
let asking = null;

/** `ask(refused)` gives a key, or null; `refused`: a key was sent and is not the right one. */
export function onLocked(ask) {
  askForKey = ask;
}

async function request(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const response = await sent(path, options, key);
    if (response.ok) return response;
    if (response.status !== 401 || !(await unlocked(key))) throw await failure(response);
  }
}

async function sent(path, options, key) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("ragline cannot be reached; is it still running?", { cause: error });
  }
}

/** Whether there is now another key than the one that was refused. All requests wait for one dialog. */
async function unlocked(refused) {
  if (sessionStorage.getItem(KEY) !== refused) return true;
  asking ??= askForKey(refused !== null).finally(() => (asking = null));
  const key = await asking;
  if (key) sessionStorage.setItem(KEY, key);
  return Boolean(key);
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return new Error(body?.error?.message ?? `${response.status} ${response.statusText}`);
}

const json = async (path, options) => (await request(path, options)).json();
const query = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value));

export const collections = () => json("collections");
export const job = (id) => json(`jobs/${encodeURIComponent(id)}`);
export const documents = (collection, cursor) => json(`documents?${query({ collection, cursor, limit: 50 })}`);
export const text = (id, part) => json(`documents/${encodeURIComponent(id)}/text?${query(part)}`);
export const remove = (id, collection) =>
  request(`documents/${encodeURIComponent(id)}?${query({ collection })}`, { method: "DELETE" });

/** Which services answer; an answer of 503 says it too. */
export const health = async () => (await fetch("health/ready")).json();

export function upload(file, collection) {
  const body = new FormData();
  body.append("file", file);
  if (collection) body.append("collection", collection);
  return json("documents", { method: "POST", body });
}

/** The events of an answer, from `sources` to `done` or `error`. */
export async function* ask(question, signal) {
  const body = JSON.stringify({ ...question, stream: true });
  const headers = { "Content-Type": "application/json" };
  yield* events(await request("ask", { method: "POST", headers, body, signal }));
}
