// A document at its quote: documents/ID/view#collection=NAME&start=10&end=50, in characters of its text.

import * as api from "./api.js";
import { element } from "./element.js";
import { unlockBy } from "./key.js";

const AROUND = 4000;
const $ = (id) => document.getElementById(id);
const path = location.pathname.slice(new URL(document.baseURI).pathname.length);
const id = decodeURIComponent(path.replace(/^documents\//, "").replace(/\/view$/, ""));
let shown = null; // {start, end, points}: the part of the text that is on the page

async function show() {
  const place = new URLSearchParams(location.hash.slice(1));
  const [start, end] = ["start", "end"].map((name) => Number(place.get(name)) || 0);
  const collection = place.get("collection");
  const read = (from, to) => api.text(id, { collection, start: Math.max(0, from), end: to });
  try {
    const part = await read(start - AROUND, Math.max(start, end) + AROUND);
    $("title").textContent = document.title = part.title || part.url || id;
    $("where").textContent = [part.url.split(/[\\/]/).pop(), part.page && `page ${part.page}`].filter(Boolean).join(" · ");
    shown = { start: part.start, end: part.end, points: [...part.text] };
    const draw = (whole) => {
      const [from, to] = [start, end].map((at) => Math.min(Math.max(at - shown.start, 0), shown.points.length));
      const said = shown.points.slice(from, to).join("");
      const quote = element("mark", "", said);
      $("text").replaceChildren(shown.points.slice(0, from).join(""), ...(said ? [quote] : []), shown.points.slice(to).join(""));
      $("earlier").hidden = shown.start === 0;
      $("later").hidden = shown.end >= whole;
      return quote;
    };
    draw(part.characters).scrollIntoView({ block: "center" });
    $("earlier").onclick = async () => {
      const more = await read(shown.start - AROUND, shown.start);
      shown = { ...shown, start: more.start, points: [...more.text, ...shown.points] };
      draw(more.characters);
    };
    $("later").onclick = async () => {
      const more = await read(shown.end, shown.end + AROUND);
      shown = { ...shown, end: more.end, points: [...shown.points, ...more.text] };
      draw(more.characters);
    };
  } catch (error) {
    $("title").textContent = "This document cannot be shown";
    $("text").replaceChildren(element("p", "note", error.message));
  }
}

unlockBy(() => {});
addEventListener("hashchange", show);
show();
