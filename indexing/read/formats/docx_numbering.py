"""The numbers of headings and list items in DOCX, counted as Word does (ECMA-376 part 1, 17.9)."""

import re
from collections.abc import Iterator

from lxml import etree

_START, _END = "\ufdd0", "\ufdd1"
_LABEL = re.compile(rf"(?<!\S)(?:(?:-|\d{{1,9}}\.) {{1,9}}){{0,9}}{_START}([^{_START}{_END}\n]*){_END} ?")
_ROMAN = [
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
]  # fmt: skip
_MOST_ROMAN = 10_000
_MOST_LETTERS = 26 * 20


def number(body: etree._Element, numbering: etree._Element | None, styles: etree._Element | None) -> None:
    """Put its number at the start of each numbered paragraph, between marks that `printed` resolves."""
    counter = _Counter(numbering, styles)
    for paragraph in body.iter("{*}p"):
        namespace = etree.QName(paragraph).namespace
        if not namespace or "wordprocessingml" not in namespace or paragraph.find("{*}pPr/{*}rPr/{*}del") is not None:
            continue
        label = counter.label(paragraph)
        if label is not None and any(text.text for text in paragraph.iter("{*}t")):
            run = etree.Element(f"{{{namespace}}}r")
            etree.SubElement(run, f"{{{namespace}}}t").text = f"{_START}{label}{_END}"
            paragraph.insert(0 if paragraph.find("{*}pPr") is None else 1, run)


def printed(markdown: str) -> str:
    """The Markdown with the numbers of `number` in place of those that Markdown's own lists count."""
    markdown = _LABEL.sub(lambda found: f"{found[1]} " if found[1] else "", markdown)
    return markdown.replace(_START, "").replace(_END, "")


def value(element: etree._Element | None, name: str = "val") -> str | None:
    """An attribute in the element's own namespace."""
    return None if element is None else element.get(f"{{{etree.QName(element).namespace}}}{name}")


class Styles:
    """Paragraph, character and numbering styles with what they are based on."""

    def __init__(self, root: etree._Element | None) -> None:
        found = [] if root is None else root.findall("{*}style")
        self._by_id = {value(style, "styleId"): style for style in found}
        self.default = next(
            (value(s, "styleId") for s in found if value(s, "default") in ("1", "true", "on") and
             value(s, "type") == "paragraph"), None,
        )  # fmt: skip

    def chain(self, style_id: str | None) -> Iterator[etree._Element]:
        """The style, then the one it is based on, and so forth."""
        seen = set()
        while style_id in self._by_id and style_id not in seen:
            seen.add(style_id)
            yield self._by_id[style_id]
            style_id = value(self._by_id[style_id].find("{*}basedOn"))

    def first(self, style_id: str | None, path: str) -> str | None:
        """The value of the first element at this path along the chain."""
        return next((found for style in self.chain(style_id) if (found := value(style.find(path))) is not None), None)


class _Counter:
    def __init__(self, numbering: etree._Element | None, styles: etree._Element | None) -> None:
        self._styles = Styles(styles)
        root = etree.Element("none") if numbering is None else numbering
        self._abstract = {value(each, "abstractNumId"): each for each in root.findall("{*}abstractNum")}
        self._nums = {value(each, "numId"): each for each in root.findall("{*}num")}
        self._levels: dict[str, tuple[str, dict[int, etree._Element]]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._begun: set[tuple[str, int]] = set()

    def label(self, paragraph: etree._Element) -> str | None:
        """The printed number; "" where the paragraph has none of its own, None where its list is left as it is."""
        style = value(paragraph.find("{*}pPr/{*}pStyle")) or self._styles.default
        direct = value(paragraph.find("{*}pPr/{*}numPr/{*}numId"))
        num = direct or self._styles.first(style, "{*}pPr/{*}numPr/{*}numId")
        if num is None or (num == "0" and direct is None):
            return None
        if num not in self._nums:
            return "" if num == "0" else None
        list_id, levels = self._list(num)
        level = self._level(paragraph, style, levels, linked=direct is None)
        if level not in levels:
            return None
        counts = self._count(num, list_id, levels, level)
        if value(levels[level].find("{*}numFmt")) == "bullet":
            return None
        return _spelled(levels, level, counts)

    def _list(self, num: str) -> tuple[str, dict[int, etree._Element]]:
        """The id of the list that this number belongs to, and its levels with the overrides of the number."""
        if num not in self._levels:
            list_id = value(self._nums[num].find("{*}abstractNumId")) or ""
            abstract = self._abstract.get(list_id)
            link = None if abstract is None else value(abstract.find("{*}numStyleLink"))
            target = self._styles.first(link, "{*}pPr/{*}numPr/{*}numId")
            if link and target in self._nums and target != num:
                list_id = value(self._nums[target].find("{*}abstractNumId")) or ""
                abstract = self._abstract.get(list_id)
            levels = {} if abstract is None else {_level_of(each): each for each in abstract.findall("{*}lvl")}
            levels |= {_level_of(each): each for each in self._nums[num].findall("{*}lvlOverride/{*}lvl")}
            self._levels[num] = list_id, levels
        return self._levels[num]

    def _level(
        self, paragraph: etree._Element, style: str | None, levels: dict[int, etree._Element], *, linked: bool
    ) -> int:
        own = value(paragraph.find("{*}pPr/{*}numPr/{*}ilvl"))
        if own is None and linked:
            of_style = {value(each.find("{*}pStyle")): level for level, each in levels.items()}
            for each in self._styles.chain(style):
                if (found := of_style.get(value(each, "styleId"))) is not None:
                    return found
        return _integer(own or self._styles.first(style, "{*}pPr/{*}numPr/{*}ilvl"), 0)

    def _count(self, num: str, list_id: str, levels: dict[int, etree._Element], level: int) -> dict[int, int]:
        """Count one paragraph at this level; levels above that were not used yet stand at their start."""
        counts = self._counts.setdefault(list_id, {})
        for each in self._nums[num].findall("{*}lvlOverride"):
            above = _level_of(each)
            start = value(each.find("{*}startOverride"))
            if start is not None and above <= level and (num, above) not in self._begun:
                self._begun.add((num, above))
                counts[above] = _integer(start, 1) - (above == level)
        for above in range(level):
            counts.setdefault(above, _start(levels, above))
        counts[level] = counts[level] + 1 if level in counts else _start(levels, level)
        for below in [other for other in counts if other > level]:
            restart = value(levels[below].find("{*}lvlRestart")) if below in levels else None
            if restart is None or level < _integer(restart, 0):
                del counts[below]
        return counts


def _level_of(element: etree._Element) -> int:
    return _integer(value(element, "ilvl"), 0)


def _integer(text: str | None, default: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,9}", text) else default


def _start(levels: dict[int, etree._Element], level: int) -> int:
    return _integer(value(levels[level].find("{*}start")), 0) if level in levels else 1


def _spelled(levels: dict[int, etree._Element], level: int, counts: dict[int, int]) -> str:
    legal = levels[level].find("{*}isLgl") is not None

    def one(found: re.Match[str]) -> str:
        at = int(found[1]) - 1
        form = value(levels[at].find("{*}numFmt")) if at in levels else None
        return _formatted(counts.get(at, 1), "decimal" if legal and at != level else form or "decimal")

    return re.sub(r"%([1-9])", one, value(levels[level].find("{*}lvlText")) or "").strip()


def _formatted(count: int, form: str) -> str:
    """A number in the format; as a decimal in formats of other scripts."""
    if form in ("lowerLetter", "upperLetter") and 0 < count <= _MOST_LETTERS:
        text = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
    elif form in ("lowerRoman", "upperRoman") and 0 < count <= _MOST_ROMAN:
        text = ""
        for size, sign in _ROMAN:
            text += sign * (count // size)
            count %= size
    elif form == "none":
        return ""
    else:
        return f"{count:02}" if form == "decimalZero" else str(count)
    return text.upper() if form.startswith("upper") else text
