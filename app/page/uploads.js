// Uploads: chosen or dropped anywhere on the page, sent one after another, each followed until it can be found.

import * as api from "./api.js";
import { element } from "./element.js";

const FIRST_POLL_MS = 300;
const SLOWEST_POLL_MS = 3000;

/** Sends `files`; `list` gets a line for each. `indexed()` is called whenever one can be found. */
export async function upload(files, collection, list, indexed) {
  const waiting = [...files].map((file) => ({ file, line: new Line(file.name, list) }));
  const followed = [];
  for (const { file, line } of waiting) {
    try {
      line.says("Sending …");
      const accepted = await api.upload(file, collection);
      followed.push(follow(accepted, line).then(() => indexed(accepted.collection)));
    } catch (error) {
      line.failed(error.message);
    }
  }
  await Promise.all(followed);
}

async function follow({ job_id: id, already_existed: existed }, line) {
  try {
    const job = await finished(id, line);
    if (job.failed.length) line.failed(job.failed.map(({ reason }) => reason).join("\n"));
    else if (job.state !== "done") line.failed(job.message || `The job is ${job.state}.`);
    else line.done(`${existed ? "Replaced" : "Ready"}${job.message ? `; ${job.message}` : ""}`);
  } catch (error) {
    line.failed(error.message);
  }
}

async function finished(id, line) {
  for (let pause = FIRST_POLL_MS; ; pause = Math.min(pause * 1.3, SLOWEST_POLL_MS)) {
    const job = await api.job(id);
    if (job.state !== "running") return job;
    const counts = job.total > 1 ? `Indexing, ${job.done} of ${job.total} …` : "Indexing …";
    line.says(job.message || counts, job.done, job.total);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

class Line {
  #state = element("span", "state", "Waiting …");
  #bar = element("progress");

  constructor(name, list) {
    this.#bar.setAttribute("aria-label", `Progress of ${name}`);
    list.prepend(element("li", "", element("span", "name", name), this.#state, this.#bar));
  }

  says(what, done = 0, total = 0) {
    if (this.#state.textContent !== what) this.#state.textContent = what;
    if (done > 0 && total > 1) Object.assign(this.#bar, { max: total, value: done });
  }

  done(what) {
    this.#bar.remove();
    this.#state.textContent = what;
  }

  failed(reason) {
    this.done(reason);
    this.#state.classList.add("failed");
  }
}

/** Files dropped anywhere go to `take(files)`. */
export function droppable(take) {
  const over = (is) => document.body.classList.toggle("dropping", is);
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? over(false));
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files);
  });
}
