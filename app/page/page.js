// The chat page: its parts, put together.

import * as api from "./api.js";
import { Conversation } from "./conversation.js";
import { History } from "./history.js";
import { unlockBy } from "./key.js";
import { Library } from "./library.js";
import { SourcePanel } from "./sources.js";

const HEALTH_MS = 10_000;
const NAMED = 4; // documents on the first screen
const SERVICES = { embed: "embedder", score: "reranker", generate: "language model", verify: "entailment model" };
const $ = (id) => document.getElementById(id);
const collection = () => $("collection").value;
let held = new Map(); // collection -> {documents, read_only}

const conversation = new Conversation({
  list: $("turns"),
  panel: new SourcePanel($("sources")),
  announce: (text) => ($("announced").textContent = text),
  busy: (is) => {
    if (!is && document.activeElement === $("stop")) $("question").focus();
    $("send").hidden = is;
    $("stop").hidden = !is;
  },
  edit: (question) => {
    $("question").value = question;
    $("question").focus();
  },
  changed: (turns) => {
    history.save(turns);
    titled(turns);
  },
});
const history = new History($("history"), (turns) => {
  conversation.load(turns);
  titled(turns);
});
const library = new Library($("documents"), collection, () => held.get(collection())?.read_only ?? false, loadCollections);

async function loadCollections(wanted) {
  const listed = await api.collections().catch(() => null);
  if (!listed) return;
  const chosen = wanted || collection() || listed.default;
  held = new Map([[listed.default, { documents: 0 }], ...listed.collections.map((each) => [each.name, each])]);
  $("collection").replaceChildren(...[...held.keys()].map((name) => new Option(name, name)));
  $("collection").value = held.has(chosen) ? chosen : listed.default;
  showWelcome();
}

async function showWelcome() {
  const count = held.get(collection())?.documents ?? 0;
  const says = $("welcome").querySelector("p");
  says.textContent = count
    ? "The answer comes from your documents, and shows where it stands in them."
    : "There are no documents here yet. Add some, or drop them on this page.";
  $("welcome").querySelector("button").hidden = count > 0;
  const listed = count ? await api.documents(collection()).catch(() => ({ documents: [] })) : { documents: [] };
  const names = [...new Set(listed.documents.map(({ title, url }) => title || url.split("/").pop()))].slice(0, NAMED);
  const others = count - names.length;
  const all = others > 0 ? [...names, `${others} more`] : names;
  $("holds").textContent = names.length ? `It holds ${new Intl.ListFormat("en").format(all)}.` : "";
}

async function showHealth() {
  if (document.hidden) return;
  const { services } = await api.health().catch(() => ({ services: null }));
  const away = Object.keys(services ?? {}).filter((name) => !services[name]);
  const text = services ? away.map((name) => SERVICES[name] ?? name).join(", ") : "ragline";
  const says = text ? `${text} away` : "ready";
  if ($("health").textContent === says) return;
  $("health").textContent = says;
  $("health").classList.toggle("degraded", says !== "ready");
  if (services && !$("collection").length) loadCollections();
}

/** The browser's tab is named by what was asked first. */
function titled(turns) {
  document.title = turns.length ? `${turns[0].question.slice(0, 60)} – ragline` : "ragline";
}

function submit(event) {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || conversation.running) return;
  $("question").value = "";
  conversation.ask(question, collection());
}

unlockBy(() => {
  if (!$("collection").length) loadCollections();
});

$("ask").addEventListener("submit", submit);
$("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return; // 229: Safari composing
  event.preventDefault();
  $("ask").requestSubmit();
});
$("stop").addEventListener("click", () => conversation.stop());
$("show-history").addEventListener("click", () => history.open());
$("new").addEventListener("click", () => {
  history.leave();
  conversation.load([]);
  titled([]);
  $("question").focus();
});
for (const opener of document.querySelectorAll(".opens-documents")) opener.addEventListener("click", () => library.open());
$("collection").addEventListener("change", showWelcome);
document.addEventListener("visibilitychange", showHealth);
loadCollections();
history.restore();
showHealth();
setInterval(showHealth, HEALTH_MS);
