// One answer and its sources, drawn as text only: nothing that a model or a document says is ever read as HTML.

const MARKER = /( ?\[\d+\])/;

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Answer {
  constructor(question, turns, panel) {
    this.panel = panel;
    this.sources = [];
    this.citations = [];
    this.text = "";
    this.turn = element("li");
    this.body = element("div", "answer waiting");
    this.turn.append(element("p", "question", question), this.body);
    turns.append(this.turn);
    this.turn.scrollIntoView({ block: "start" });
  }

  onSources({ sources }) {
    this.sources = sources;
    this.drawSources();
  }

  onDelta({ text }) {
    this.text += text;
    this.draw();
  }

  onCitation(citation) {
    this.citations.push(citation);
    this.draw();
    this.drawSources();
  }

  onDone({ answered, warnings, timings_ms: timings }) {
    this.end();
    this.body.classList.toggle("unanswered", !answered);
    for (const warning of warnings) this.note(`without ${warning}`);
    const stages = Object.entries(timings).map(([stage, ms]) => `${stage} ${Math.round(ms)} ms`);
    this.turn.append(element("p", "timings", stages.join(" · ")));
  }

  onError({ error }) {
    this.fail(error.message);
  }

  fail(message) {
    this.end();
    this.note(message);
  }

  end() {
    this.body.classList.remove("waiting");
  }

  note(text) {
    this.turn.append(element("p", "note", text));
  }

  draw() {
    this.body.replaceChildren(
      ...this.text.split(MARKER).map((part) => {
        const index = Number(/^ ?\[(\d+)\]$/.exec(part)?.[1]);
        return this.sources[index - 1] ? this.marker(index) : document.createTextNode(part);
      }),
    );
  }

  marker(index) {
    const citations = this.citations.filter((citation) => citation.index === index);
    const verified = citations.some((citation) => citation.verified);
    const button = element("button", verified ? "cite" : "cite unverified", String(index));
    button.title = verified ? "The source says so" : "Not found in so many words in the source";
    button.addEventListener("click", () => this.drawSources(index));
    return button;
  }

  drawSources(current) {
    const cited = new Set(this.citations.map((citation) => citation.index));
    const ordered = [...this.sources].sort((a, b) => cited.has(b.index) - cited.has(a.index) || a.index - b.index);
    this.panel.replaceChildren(...ordered.map((source) => this.card(source, cited, current)));
    for (const text of this.panel.querySelectorAll(".text:has(mark)")) {
      text.scrollTop = text.querySelector("mark").offsetTop;
    }
    this.panel.querySelector(".current")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  card(source, cited, current) {
    const card = element("li", "source");
    card.classList.toggle("cited", cited.has(source.index));
    card.classList.toggle("current", source.index === current);
    const score = source.score_scale === "probability" ? `${Math.round(source.score * 100)} % relevant` : "not reranked";
    const where = [source.url, source.page && `page ${source.page}`, score].filter(Boolean).join(" · ");
    card.append(
      element("h3", "", `${source.index}. ${source.heading || source.title || source.url}`),
      element("p", "where", where),
      this.quoted(source),
    );
    return card;
  }

  /** A source's text with the quotes of its citations marked. */
  quoted(source) {
    const text = element("p", "text");
    const spans = this.citations
      .filter((citation) => citation.index === source.index && citation.quote)
      .map((citation) => [citation.quote_start - source.start, citation.quote_end - source.start])
      .sort((a, b) => a[0] - b[0]);
    let at = 0;
    for (const [start, end] of spans.filter(([start]) => start >= 0)) {
      if (start < at) continue;
      text.append(source.text.slice(at, start), element("mark", "", source.text.slice(start, end)));
      at = end;
    }
    text.append(source.text.slice(at));
    return text;
  }
}
