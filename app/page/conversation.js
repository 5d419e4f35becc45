// The conversation: questions go out one at a time, with the turns before them that were answered.

import * as api from "./api.js";
import { Answer } from "./answer.js";

const NEAR_END_PX = 120;
const TURNS_SENT = 20;
const MARKERS = / ?\[\d{1,3}\]/g;

export class Conversation {
  #turns = []; // {question, answer, collection}
  #running = null;
  #follows = true;

  /**
   * `list` shows the turns, `panel` their sources; `announce(text)` tells a screen reader; `busy(flag)` on both ends of an
   * answer; `changed(turns)` after each, with what load() takes; `edit(question)` puts one into the box.
   */
  constructor({ list, panel, announce, busy, changed, edit }) {
    Object.assign(this, { list, panel, announce, busy, changed, edit });
    list.addEventListener("scroll", () => {
      this.#follows = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
    });
  }

  get running() {
    return this.#running !== null;
  }

  /** `searchedFor`: what to search for in place of the question; null: what the server makes of the conversation. */
  async ask(question, collection, searchedFor = null) {
    const running = (this.#running = new AbortController());
    const answer = new Answer(question, this.panel, () => this.#follow());
    const messages = [...this.#history(collection), { role: "user", content: question }];
    const turn = { question, answer, collection };
    const asked = { messages, collection: collection || null, searched_for: searchedFor };
    this.#turns.push(turn);
    this.#show(answer);
    this.busy(true);
    this.announce("Searching");
    try {
      for await (const event of api.ask(asked, running.signal)) answer.receive(event);
      if (!answer.ended) throw new Error("The connection broke off before the end of the answer.");
      this.#offerChanges(turn);
    } catch (error) {
      answer.end(running.signal.aborted ? "Stopped." : error.message);
      answer.offer("Ask again", () => this.#again(turn, searchedFor));
    }
    if (this.#running === running) {
      this.#running = null;
      this.busy(false);
      this.announce(answer.node.innerText);
    }
    this.#save();
  }

  stop() {
    this.#running?.abort();
  }

  /** A conversation that was kept; [] for a new one. */
  load(turns) {
    this.stop();
    this.#turns = [];
    this.list.replaceChildren();
    this.panel.show(null);
    for (const { question, answer: kept, collection } of turns) {
      const answer = new Answer(question, this.panel, () => this.#follow());
      const turn = { question, answer, collection };
      this.#turns.push(turn);
      this.#show(answer);
      answer.replay(kept);
      this.#offerChanges(turn);
    }
  }

  /** To search for something else, and to take a question back with what was asked after it. */
  #offerChanges(turn) {
    if (turn.answer.searchedFor) turn.answer.offerSearch((text) => this.#again(turn, text));
    turn.answer.offer("Edit question", () => {
      if (this.running) return;
      for (const taken of this.#turns.splice(this.#turns.indexOf(turn))) taken.answer.node.remove();
      this.panel.show(this.#turns.at(-1)?.answer ?? null);
      this.edit(turn.question);
      this.#save();
    });
  }

  #save() {
    const ended = this.#turns.filter((turn) => turn.answer.done);
    this.changed(ended.map(({ question, answer, collection }) => ({ question, answer: answer.kept, collection })));
  }

  #again(turn, searchedFor) {
    if (this.running) return;
    turn.answer.node.remove();
    this.#turns.splice(this.#turns.indexOf(turn), 1);
    this.ask(turn.question, turn.collection, searchedFor);
  }

  /** Only the last turns about the same collection, without markers: their numbers meant other sources. */
  #history(collection) {
    return this.#turns
      .filter((turn) => turn.answer.answered && turn.collection === collection)
      .slice(-TURNS_SENT)
      .flatMap(({ question, answer }) => [
        { role: "user", content: question },
        { role: "assistant", content: answer.text.replace(MARKERS, "") },
      ]);
  }

  #show(answer) {
    this.panel.show(null);
    this.list.append(answer.node);
    this.#follows = true;
    this.#follow();
  }

  /** Down with the answer as it grows, unless its reader went up. */
  #follow() {
    if (this.#follows) this.list.scrollTop = this.list.scrollHeight;
  }
}
