// The sources beside an answer: the cited ones first, each with the sentences that were quoted from it marked.

import { button, element } from "./element.js";

export class SourcePanel {
  #aside;
  #list;
  #shown = null;
  #cards = new Map();
  #cameFrom = null;

  constructor(aside) {
    this.#aside = aside;
    this.#list = aside.querySelector("ol");
    aside.querySelector("button").addEventListener("click", () => this.#leave());
    aside.addEventListener("keydown", (event) => event.key === "Escape" && this.#leave());
    addEventListener("popstate", () => this.#close());
  }

  /** The sources of `answer`; null: none. */
  show(answer) {
    if (answer && answer === this.#shown) return;
    this.#shown = answer;
    this.#cards = new Map((answer?.sources ?? []).map((source) => [source.index, new Card(source)]));
    this.#list.replaceChildren(...[...this.#cards.values()].map((card) => card.node));
    for (const citation of answer?.citations ?? []) this.cite(answer, citation);
    this.sort(answer);
  }

  cite(answer, citation) {
    if (answer === this.#shown) this.#cards.get(citation.index)?.cite(citation);
  }

  sort(answer) {
    if (answer !== this.#shown) return;
    const cards = [...this.#cards.values()].sort((a, b) => b.cited - a.cited || a.source.index - b.source.index);
    this.#list.append(...cards.map((card) => card.node));
    for (const card of cards) card.toQuote(); // a node that moved has forgotten where it was scrolled to
  }

  /** Opens the panel; at one source, and the sentence that `citation` quotes, where they are given. */
  open(answer, from, index, citation) {
    this.show(answer);
    this.#cameFrom = from;
    if (getComputedStyle(this.#aside).position === "fixed" && !this.#aside.classList.contains("open")) {
      history.pushState({ sheet: true }, ""); // a sheet over the answer: Back closes it
    }
    this.#aside.classList.add("open");
    for (const card of this.#cards.values()) card.leave();
    if (index) this.#cards.get(index).point(citation);
    else this.#aside.focus();
  }

  #leave() {
    if (history.state?.sheet) history.back();
    else this.#close();
  }

  #close() {
    this.#aside.classList.remove("open");
    this.#cameFrom?.focus();
  }
}

class Card {
  #citations = [];
  #text = element("p", "text");
  #where = element("p", "where");
  #more = button("more", "Whole passage");

  constructor(source) {
    this.source = source;
    this.points = [...(source.text ?? "")]; // offsets count characters as Python does, not UTF-16 units
    const title = element("h3", "", element("b", "", `${source.index} `), source.heading || source.title || source.url);
    this.node = element("li", "source", title, this.#where, this.#text, this.#more);
    this.node.tabIndex = -1;
    this.#more.addEventListener("click", () => this.#expand(!this.node.classList.contains("whole")));
    this.#draw();
  }

  get cited() {
    return this.#citations.length > 0;
  }

  cite(citation) {
    this.#citations.push(citation);
    this.node.classList.add("cited");
    this.#draw();
    this.toQuote();
  }

  /** To the reader's eye: the card, and the quoted sentence in it. */
  point(citation) {
    this.#draw(citation);
    this.#expand(true);
    this.node.setAttribute("aria-current", "true");
    this.node.focus({ preventScroll: true });
    (this.#text.querySelector(".chosen") ?? this.node).scrollIntoView({ block: "nearest" });
  }

  leave() {
    this.node.removeAttribute("aria-current");
    this.#draw();
  }

  #expand(whole) {
    this.node.classList.toggle("whole", whole);
    this.#more.textContent = whole ? "Less" : "Whole passage";
    this.#more.setAttribute("aria-expanded", String(whole));
    if (!whole) this.toQuote();
  }

  /** The short view begins at the quote. */
  toQuote() {
    const quote = this.#text.querySelector("mark");
    if (quote) this.#text.scrollTop = quote.offsetTop;
  }

  /** The text, cut where a quote begins or ends. */
  #draw(chosen) {
    const quoted = this.#citations.map((citation) => citation.page);
    this.#where.replaceChildren(...where(this.source, quoted));
    const spans = this.#citations.map((citation) => this.#span(citation)).filter(([from, to]) => from < to);
    const [from, to] = chosen ? this.#span(chosen) : [0, 0];
    const cuts = [...new Set([0, ...spans.flat(), this.points.length])].sort((a, b) => a - b);
    const parts = cuts.slice(1).map((end, i) => {
      const part = this.points.slice(cuts[i], end).join("");
      if (!spans.some(([first, last]) => first < end && end <= last)) return part;
      return element("mark", from < end && end <= to ? "chosen" : "", part);
    });
    this.#text.replaceChildren(...parts);
  }

  #span({ quote_start: start, quote_end: end }) {
    return [start, end].map((offset) => Math.min(Math.max(offset - this.source.start, 0), this.points.length));
  }
}

/** File, pages of the quotes (of the whole passage where nothing is quoted), relevance. */
function where({ url, page, page_end: last, score, score_scale: scale }, quoted) {
  const pages = [...new Set(quoted.length ? quoted : [page, last])].sort((a, b) => a - b);
  const relevance = scale === "probability" ? `${Math.round(score * 100)} % relevant` : "not reranked";
  const parts = [origin(url), page && `page ${pages.join(quoted.length ? ", " : "–")}`, relevance].filter(Boolean);
  return parts.flatMap((part, i) => (i ? [" · ", part] : [part]));
}

/** A link for the web's addresses alone; the last part of a path. */
function origin(url) {
  const made = /^https?:\/\//i.test(url) ? element("a", "", url) : element("span", "", url.split(/[\\/]/).pop());
  made.title = url;
  if (made instanceof HTMLAnchorElement) Object.assign(made, { href: url, target: "_blank", rel: "noopener noreferrer" });
  return made;
}
