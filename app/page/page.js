// The chat page: a question goes out, its answer and sources come in as they are made.

import * as api from "./api.js";
import { Answer } from "./answer.js";
import { openable } from "./library.js";

const HEALTH_MS = 10_000;
const $ = (id) => document.getElementById(id);
const history = [];
let running = null;

const collection = () => $("collection").value;

async function ask(question) {
  const answer = new Answer(question, $("turns"), $("sources"));
  running = new AbortController();
  $("send").textContent = "Stop";
  try {
    const messages = [...history, { role: "user", content: question }];
    for await (const { name, data } of api.ask({ messages, collection: collection() || null }, running.signal)) {
      answer[`on${name[0].toUpperCase()}${name.slice(1)}`]?.(data);
    }
    history.push({ role: "user", content: question }, { role: "assistant", content: answer.text });
  } catch (error) {
    answer.fail(error.name === "AbortError" ? "stopped" : error.message);
    if (error.status === 401) $("key").showModal();
  } finally {
    running = null;
    $("send").textContent = "Ask";
    answer.end();
  }
}

function submit(event) {
  event.preventDefault();
  if (running) {
    running.abort();
    return;
  }
  const question = $("question").value.trim();
  if (question) {
    $("question").value = "";
    ask(question);
  }
}

async function loadCollections() {
  const chosen = collection();
  try {
    const listed = await api.collections();
    const names = listed.collections.map(({ name }) => name);
    if (!names.includes(listed.default)) names.unshift(listed.default);
    $("collection").replaceChildren(...names.map((name) => new Option(name, name)));
    $("collection").value = names.includes(chosen) ? chosen : listed.default;
  } catch (error) {
    if (error.status === 401) $("key").showModal();
  }
}

async function showHealth() {
  const health = await api.ready().catch(() => ({ services: { ragline: false } }));
  const away = Object.keys(health.services).filter((name) => !health.services[name]);
  $("health").textContent = away.length ? `without ${away.join(", ")}` : "ready";
  $("health").classList.toggle("degraded", away.length > 0);
}

$("ask").addEventListener("submit", submit);
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("collection").addEventListener("change", () => history.splice(0));
$("key").addEventListener("close", () => {
  api.key.set($("key-value").value);
  loadCollections();
});
openable(collection);
loadCollections();
showHealth();
setInterval(showHealth, HEALTH_MS);
$("question").focus();
