// The conversations of this browser: kept in its storage, opened, renamed, deleted and exported from a dialog.

import { button, element } from "./element.js";

const KEY = "ragline-conversations";
const OPEN = "ragline-open";
const KEPT = 100;

const read = () => JSON.parse(localStorage.getItem(KEY) ?? "[]");

/** Newest first. Where the storage is full, the oldest go. */
function write(conversations) {
  for (let kept = conversations.slice(0, KEPT); ; kept = kept.slice(0, -1)) {
    try {
      return localStorage.setItem(KEY, JSON.stringify(kept));
    } catch (error) {
      if (!kept.length) throw error;
    }
  }
}

export class History {
  #dialog;
  #id = sessionStorage.getItem(OPEN); // of this tab, so that two tabs hold two conversations

  /** `opened(turns)` is called with the turns of a conversation, [] for a new one. */
  constructor(dialog, opened) {
    Object.assign(this, { opened });
    this.#dialog = dialog;
    dialog.querySelector("button").addEventListener("click", () => dialog.close());
  }

  /** The conversation that this tab held before it was loaded anew. */
  restore() {
    const held = read().find((each) => each.id === this.#id);
    if (held) this.opened(held.turns);
  }

  save(turns) {
    const others = read().filter((each) => each.id !== this.#id);
    if (turns.length) {
      const old = read().find((each) => each.id === this.#id);
      this.#id ??= crypto.randomUUID?.() ?? String(Math.random()).slice(2); // randomUUID: of secure pages alone
      write([{ id: this.#id, title: old?.title ?? turns[0].question.slice(0, 80), at: Date.now(), turns }, ...others]);
      sessionStorage.setItem(OPEN, this.#id);
    }
  }

  /** What comes next is another conversation. */
  leave() {
    this.#id = null;
    sessionStorage.removeItem(OPEN);
  }

  open() {
    this.#draw();
    this.#dialog.showModal();
  }

  #draw() {
    const rows = read().map((each) => this.#row(each));
    this.#dialog.querySelector("ul").replaceChildren(...rows);
  }

  #row(held) {
    const when = new Date(held.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const title = button("name", held.title);
    title.setAttribute("aria-current", String(held.id === this.#id));
    title.addEventListener("click", () => {
      this.#id = held.id;
      sessionStorage.setItem(OPEN, held.id);
      this.#dialog.close();
      this.opened(held.turns);
    });
    const acts = [
      ["Rename", () => this.#rename(held)],
      ["Export", () => exported(held)],
      ["Delete", () => this.#delete(held)],
    ].map(([verb, act]) => {
      const made = button("act", verb, element("span", "hidden", ` ${held.title}`));
      made.addEventListener("click", act);
      return made;
    });
    return element("li", "", title, element("small", "", when), ...acts);
  }

  #rename(held) {
    const title = prompt("Title", held.title)?.trim();
    if (title) write(read().map((each) => (each.id === held.id ? { ...each, title } : each)));
    this.#draw();
  }

  #delete(held) {
    write(read().filter((each) => each.id !== held.id));
    if (held.id === this.#id) {
      this.leave();
      this.opened([]);
    }
    this.#draw();
  }
}

function exported({ title, turns }) {
  const text = [`# ${title}`, ...turns.map(({ question, answer }) => `## ${question}\n\n${withSources(answer)}`)].join("\n\n");
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/markdown" }));
  link.download = `${title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.md`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** An answer with the sources that it cites and what was quoted from them, as Markdown. */
export function withSources({ text, sources, citations }) {
  const cited = sources.filter(({ index }) => citations.some((citation) => citation.index === index));
  const listed = cited.map((source) => {
    const quoted = citations.filter(({ index }) => index === source.index);
    const pages = [...new Set(quoted.map(({ page }) => page).filter(Boolean))];
    const where = [source.heading || source.title, source.url, pages.length && `page ${pages.join(", ")}`].filter(Boolean);
    return [`[${source.index}] ${where.join(", ")}`, ...quoted.map(({ quote }) => `> ${quote.replace(/\s+/g, " ")}`)].join("\n");
  });
  return [text.trim(), ...listed].join("\n\n");
}
