// Markdown as far as answers use it: paragraphs, lists, tables, quotes, headings, code, emphasis. Built of DOM nodes; a link is
// its text with its address after it, since nothing that a document says is to be loaded, and a picture likewise.

import { element } from "./element.js";

const FENCE = /^\s*```/;
const STARTS = [
  ["ul", /^\s*[-*•]\s+/],
  ["ol", /^\s*\d{1,3}[.)]\s+/],
  ["h3", /^#{1,6}\s+/],
  ["blockquote", /^\s*>\s?/],
];
const ROW = /^\s*\|(.*)\|\s*$/;
const RULE = /^[\s:|-]+$/;
const INLINE =
  /\*\*(?<bold>\S(?:[^*\n]*\S)?)\*\*|(?<![\w*])[*_](?<em>[^\s*_](?:[^*_\n]*[^\s*_])?)[*_](?![\w*])|`(?<code>[^`\n]+)`|!?\[(?<label>[^\]\n]*)\]\((?<url>[^)\s]+)\)| ?\[(?<marker>\d{1,3})\]/g;
const drawn = new WeakMap();

/**
 * Draws `text` into `target`. Blocks that are as before stay untouched: a growing answer keeps focus and selection.
 * `marker(index, at)` makes the node of a marker `[index]` that stands at text[at], or null where it is no marker.
 */
export function draw(target, text, marker) {
  const wanted = blocks(text);
  wanted.forEach((block, place) => {
    const key = JSON.stringify(block);
    const old = target.children[place];
    if (old && drawn.get(old) === key) return;
    const made = node(block, marker);
    drawn.set(made, key);
    if (old) old.replaceWith(made);
    else target.append(made);
  });
  while (target.children.length > wanted.length) target.lastElementChild.remove();
}

/** {tag, items: [{at, text}]}: text is what stands at that offset, so that markers keep their place. */
function blocks(text) {
  const found = [];
  let open = null; // the block that the next line may continue
  let at = 0;
  for (const line of text.split("\n")) {
    if (open?.tag === "pre") {
      if (FENCE.test(line)) open = null;
      else open.items[0].text += `${line}\n`;
    } else if (FENCE.test(line)) {
      found.push((open = { tag: "pre", items: [{ at, text: "" }] }));
    } else {
      open = continued(found, open, line, at);
    }
    at += line.length + 1;
  }
  return found;
}

/** The block that `line` belongs to: `open`, or a new one, which is added to `found`; null after an empty line. */
function continued(found, open, line, at) {
  if (!line.trim()) return null;
  if (ROW.test(line)) {
    if (open?.tag !== "table") found.push((open = { tag: "table", items: [] }));
    if (!RULE.test(line)) open.items.push({ at, text: line });
    return open;
  }
  const [tag, start] = STARTS.find(([, pattern]) => pattern.test(line)) ?? ["p", /^\s*/];
  const mark = start.exec(line)[0];
  const item = { at: at + mark.length, text: line.slice(mark.length) };
  if (tag === "p" && open && !["h3", "table"].includes(open.tag)) {
    const last = open.items.at(-1);
    last.text += `\n${line}`;
    return open;
  }
  const before = found.at(-1);
  if (tag === "blockquote" && open?.tag === tag) {
    open.items[0].text += `\n${item.text}`;
    return open;
  }
  if (tag.endsWith("l") && open?.tag.endsWith("l") && mark.search(/\S/) > 1) {
    const last = open.items.at(-1); // indented: a list in the list's last item
    last.list ??= { tag, items: [] };
    last.list.items.push(item);
    return open;
  }
  if (tag.endsWith("l") && before?.tag === tag) {
    before.items.push(item);
    return before;
  }
  const block = { tag, items: [item], ...(tag === "ol" && { start: parseInt(mark, 10) }) };
  found.push(block);
  return block;
}

function node({ tag, items, start }, marker) {
  if (tag === "pre") return element("pre", "", element("code", "", items[0].text));
  if (tag === "table") return element("div", "table", element("table", "", ...items.map((row, i) => tableRow(row, i, marker))));
  if (!tag.endsWith("l")) return element(tag, "", ...inline(items[0].text, items[0].at, marker));
  const rows = items.map(({ text, at, list: inner }) =>
    element("li", "", ...inline(text, at, marker), ...(inner ? [node(inner, marker)] : [])),
  );
  const list = element(tag, "", ...rows);
  if (start) list.start = start;
  return list;
}

/** The first row names the columns. */
function tableRow({ text, at }, index, marker) {
  const cells = text.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/);
  let from = at + text.indexOf("|") + 1;
  const made = cells.map((cell) => {
    const drawnCell = element(index ? "td" : "th", "", ...inline(cell.trim(), from + cell.search(/\S|$/), marker));
    from += cell.length + 1;
    return drawnCell;
  });
  return element("tr", "", ...made);
}

function* inline(text, at, marker) {
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const { bold, em, code, label, url, marker: index } = found.groups;
    const made = index && marker(Number(index), at + found.index);
    if (index && !made) continue;
    yield text.slice(end, found.index);
    if (bold) yield element("strong", "", ...inline(bold, at + found.index + 2, marker));
    else if (em) yield element("em", "", ...inline(em, at + found.index + 1, marker));
    else if (url) yield label ? `${label} (${url})` : url;
    else yield made ?? element("code", "", code);
    end = found.index + found[0].length;
  }
  yield text.slice(end);
}
