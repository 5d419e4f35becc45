// One question and its answer, as it is written.

import { button, element } from "./element.js";
import { withSources } from "./history.js";
import { draw } from "./markdown.js";

const WITHOUT = {
  embed: "The embedding service did not answer: the documents were searched by words alone.",
  rerank: "The reranker did not answer: the sources are in the order of the search.",
  evidence: "The reranker did not answer: the best sentences were not picked.",
  generate: "The language model did not answer.",
  verify: "The entailment model did not answer: only what the documents say in the same words is verified.",
};
const WAITS = { rerank: "Reading what was found …", evidence: "Reading the sources …", generate: "Writing …", prompt: "Writing …" };
const ENDED = {
  length: "The answer reached its limit of length.",
  left_passages: "Ended where the sources do not carry it any further.",
};

const FORMS = { quoted: "Quoted word for word.", worded: "In the language model's own words." };

export class Answer {
  text = "";
  sources = [];
  citations = [];
  searchedFor = null;
  answered = false;
  ended = false;
  done = null; // the event
  #frame = 0;
  #notes = element("div");
  #footer = element("footer");

  /** `panel` shows the sources; `grew()` is called after each change of its height. */
  constructor(question, panel, grew) {
    this.panel = panel;
    this.grew = grew;
    this.body = element("div", "answer");
    this.wait("Searching the documents …");
    this.node = element("li", "turn", element("h2", "question", question), this.body, this.#notes, this.#footer);
  }

  receive({ name, data }) {
    const takes = {
      status: this.#onStatus, sources: this.#onSources, delta: this.#onDelta, citation: this.#onCitation, done: this.#onDone,
    };
    if (name === "error") throw new Error(data.error.message);
    takes[name]?.call(this, data);
  }

  /** What replay() draws again. */
  get kept() {
    const { text, sources, searchedFor, citations, done } = this;
    return { text, sources, searchedFor, citations, done };
  }

  replay({ text, sources, searchedFor, citations, done }) {
    this.receive({ name: "sources", data: { sources, searched_for: searchedFor } });
    this.receive({ name: "delta", data: { text } });
    for (const data of citations) this.receive({ name: "citation", data });
    this.receive({ name: "done", data: done });
  }

  wait(what) {
    this.body.dataset.waits = what;
  }

  /** It has come to its end, well or with a sentence that says what went wrong. */
  end(problem) {
    cancelAnimationFrame(this.#frame);
    this.#draw();
    delete this.body.dataset.waits;
    this.ended = true;
    if (problem) this.note(problem);
    this.panel.sort(this);
    this.grew();
  }

  note(text) {
    this.#notes.append(element("p", "note", text));
  }

  offer(label, action) {
    const made = button("", label);
    made.addEventListener("click", action);
    this.#footer.append(made);
    this.grew();
  }

  /** What was searched for in place of the question, to be edited; `search(text)` asks again with another. */
  offerSearch(search) {
    const field = element("input");
    field.value = this.searchedFor;
    const form = element("form", "searched", element("label", "", "Searched for: ", field), element("button", "", "Search again"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim()) search(field.value.trim());
    });
    this.#notes.append(form);
    this.grew();
  }

  #onStatus({ stage }) {
    if (!this.text && WAITS[stage]) this.wait(WAITS[stage]);
  }

  #onSources({ sources, searched_for: searchedFor }) {
    Object.assign(this, { sources, searchedFor });
    this.panel.show(this);
    this.wait(sources.length ? `Reading ${counted(sources.length, "source")} …` : "…");
  }

  #onDelta({ text }) {
    this.text += text;
    this.wait("");
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #onCitation(citation) {
    this.citations.push(citation);
    this.panel.cite(this, citation);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #onDone(done) {
    const { answered, outcome, missing, form, degraded, warnings, finish_reason: reason, timings_ms: timings } = done;
    Object.assign(this, { answered, done });
    this.end(ENDED[reason]);
    if (form) this.note(FORMS[form]);
    this.body.classList.toggle("unanswered", outcome === null);
    if (outcome === "not_found" && missing.length) this.note(`In none of the sources: ${missing.join(", ")}.`);
    for (const stage of degraded) this.note(WITHOUT[stage] ?? `Answered without ${stage}.`);
    if (warnings.length) this.#notes.append(details("warnings", "Why", warnings.join("\n")));
    if (this.sources.length) this.#offerSources(outcome === "not_found" ? "nearest source" : "source");
    if (navigator.clipboard) this.offer("Copy", () => navigator.clipboard.writeText(withSources(this)));
    this.#footer.append(timed(timings));
  }

  #offerSources(noun) {
    this.offer(counted(this.sources.length, noun), (event) => this.panel.open(this, event.currentTarget));
  }

  #draw() {
    this.#frame = 0;
    draw(this.body, this.text, (index, at) => this.#marker(index, at));
    for (const marker of this.body.querySelectorAll(".cite")) {
      const verified = this.#cited(marker)?.verified;
      marker.classList.toggle("unverified", verified === false);
      marker.title = verified === false ? "The source does not say this in so many words" : "";
    }
    this.grew();
  }

  #marker(index, at) {
    const source = this.sources.find((held) => held.index === index);
    if (!source) return null;
    const made = button("cite", String(index));
    made.setAttribute("aria-label", `Source ${index}: ${source.heading || source.title || source.url}`);
    Object.assign(made.dataset, { index, at: [...this.text.slice(0, at)].length });
    made.addEventListener("click", () => this.panel.open(this, made, index, this.#cited(made)));
    return made;
  }

  /** The citation of a marker: the last claim that ends before it. */
  #cited({ dataset: { index, at } }) {
    return this.citations.findLast((citation) => citation.index === Number(index) && citation.end <= Number(at));
  }
}

function timed(timings) {
  const stages = Object.entries(timings).map(([stage, ms]) => `${stage} ${Math.round(ms)} ms`);
  return details("timings", `${(timings.total / 1000).toFixed(1)} s`, stages.join(" · "));
}

function details(className, summary, text) {
  return element("details", className, element("summary", "", summary), text);
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
