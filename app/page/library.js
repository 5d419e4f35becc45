// The dialog of documents: what a collection holds, adding to it, deleting from it.

import * as api from "./api.js";
import { button, element } from "./element.js";
import { droppable, upload } from "./uploads.js";

export class Library {
  #dialog;
  #cursor = null;
  #listing = 0;

  /**
   * `collection()` is the chosen one, `readOnly()` whether nothing can be changed in it; `changed(uploaded)` is called after
   * documents changed, with the collection that an upload went to.
   */
  constructor(dialog, collection, readOnly, changed) {
    Object.assign(this, { collection, readOnly, changed });
    this.#dialog = dialog;
    this.#at("#close-documents").addEventListener("click", () => dialog.close());
    this.#at("#more-documents").addEventListener("click", () => this.#list());
    this.#at("#files").addEventListener("change", (event) => {
      this.#add([...event.target.files]);
      event.target.value = "";
    });
    droppable((files) => this.#add(files));
  }

  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#title();
    this.#refresh();
  }

  #title() {
    const note = this.readOnly() ? " (read-only; what you add goes to a collection of its own)" : "";
    this.#at("h2").textContent = `Documents in ${this.collection() || "the default collection"}${note}`;
  }

  #at(selector) {
    return this.#dialog.querySelector(selector);
  }

  #add(files) {
    this.open();
    const into = this.readOnly() ? "" : this.collection(); // the server chooses another
    return upload(files, into, this.#at("#uploads"), (collection) => this.#refresh(collection));
  }

  async #refresh(uploaded) {
    this.#cursor = null;
    await this.changed(uploaded);
    this.#title();
    return this.#list();
  }

  /** The next page, or the first. */
  async #list() {
    const first = !this.#cursor;
    const listing = ++this.#listing;
    const page = await api.documents(this.collection(), this.#cursor).catch((error) => ({ error }));
    if (listing !== this.#listing) return; // a later one was begun
    const rows = page.error ? [element("li", "failed", page.error.message)] : page.documents.map((held) => this.#row(held));
    if (first) this.#at("#document-list").replaceChildren();
    this.#at("#document-list").append(...rows);
    this.#cursor = page.next_cursor ?? null;
    this.#at("#more-documents").hidden = !this.#cursor;
  }

  #row(held) {
    const title = held.title || held.url;
    const name = element("span", "name", title);
    name.title = held.url;
    const row = element("li", "", name, element("small", "", `${held.chunks} chunks`));
    if (!this.readOnly()) row.append(asksTwice("Delete", title, () => this.#delete(held, row)));
    return row;
  }

  async #delete(held, row) {
    try {
      await api.remove(held.id, this.collection());
    } catch (error) {
      row.append(element("span", "failed", error.message));
      return;
    }
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (next?.querySelector("button") ?? this.#at("#close-documents")).focus();
    this.changed();
  }
}

/** A button that acts on its second press; leaving it takes the first back. */
function asksTwice(verb, what, act) {
  const made = button("delete");
  const says = (text, armed) => {
    made.replaceChildren(text, element("span", "hidden", ` ${what}`));
    made.classList.toggle("armed", armed);
  };
  says(verb, false);
  made.addEventListener("blur", () => says(verb, false));
  made.addEventListener("click", () => (made.classList.contains("armed") ? act() : says(`Really ${verb.toLowerCase()}?`, true)));
  return made;
}
