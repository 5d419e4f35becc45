// The dialog of documents: upload, list, delete.

import * as api from "./api.js";
import { element } from "./answer.js";

const POLL_MS = 400;
const $ = (id) => document.getElementById(id);
let collection = () => "";
let cursor = null;

export function openable(chosen) {
  collection = chosen;
  const drop = $("drop");
  $("show-documents").addEventListener("click", () => {
    $("documents").showModal();
    refresh();
  });
  $("close-documents").addEventListener("click", () => $("documents").close());
  $("more-documents").addEventListener("click", () => list(cursor));
  $("files").addEventListener("change", (event) => add(event.target.files));
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") add(event.dataTransfer.files);
    });
  }
}

async function add(files) {
  await Promise.all([...files].map(upload));
  $("files").value = "";
  refresh();
}

async function upload(file) {
  const row = element("li");
  const state = element("span", "", "sending …");
  row.append(element("span", "", file.name), state);
  $("uploads").append(row);
  try {
    const accepted = await api.upload(file, collection());
    let job = await api.job(accepted.job_id);
    while (job.state === "running" || job.state === "pending") {
      state.textContent = "indexing …";
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      job = await api.job(accepted.job_id);
    }
    if (job.state !== "done") throw new Error(job.failed[0]?.reason ?? job.state);
    state.textContent = "ready";
  } catch (error) {
    state.textContent = error.message;
    state.className = "failed";
  }
}

function refresh() {
  $("document-list").replaceChildren();
  return list(null);
}

async function list(from) {
  const page = await api.documents(collection(), from).catch(() => ({ documents: [], next_cursor: null }));
  cursor = page.next_cursor;
  $("more-documents").hidden = !cursor;
  $("document-list").append(...page.documents.map(row));
}

function row(held) {
  const made = element("li");
  const button = element("button", "", "Delete");
  button.setAttribute("aria-label", `Delete ${held.title || held.url}`);
  button.addEventListener("click", async () => {
    await api.remove(held.id, collection());
    made.remove();
  });
  const name = element("span", "", held.title || held.url);
  name.title = held.url;
  made.append(name, element("small", "", `${held.chunks} chunks`), button);
  return made;
}
