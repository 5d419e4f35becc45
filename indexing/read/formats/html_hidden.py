"""Text of an HTML page that no reader sees: hidden by a style, of no size, in the colour of what is behind it."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import chain, combinations
from typing import Any, NamedTuple

from lxml import etree

_HIDING = re.compile(
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|opacity:(?:0|0?\.0+)"
    r"|font-size:(?:(?:0|0?\.0+)(?:em|rem|%)?|[01]?(?:\.\d{1,9})?(?:px|pt))"
    r"|color:transparent|color:(?:rgba|hsla)\([^)]{0,40},0(?:\.0{1,9})?\)"
    r"|clip:rect\((?:0(?:px)?[,)]?){4}|clip-path:inset\((?:50|100)%\)"
    r"|(?:text-indent|left|top|margin-left|margin-top):-(?:\d{4,9}(?:px|pt)|\d{3,9}(?:em|rem)))(?:!important)?(?=;|$)"
)
_SHOWING = re.compile(r"(?:^|;)(?:display:(?!none)|visibility:visible|opacity:(?:1|0?\.\d*[1-9]))")
_NO_SIZE = re.compile(r"(?:^|;)(?:max-)?(?:width|height):(?:0(?:px|pt|em)?|1px|1pt)(?:!important)?(?=;|$)")
_COLOUR = re.compile(r"(?:^|;)color:([^;!]+)")
_BEHIND = re.compile(r"(?:^|;)background(?:-color|-image)?:([^;!]+)")
_WHITE = {"white": "#fff", "#ffffff": "#fff", "rgb(255,255,255)": "#fff", "black": "#000", "#000000": "#000",
          "rgb(0,0,0)": "#000"}  # fmt: skip
_RULE = re.compile(r"([^{}@;]{1,500})\{([^{}]{0,5000})\}")
_NAME = re.compile(r"[.#]?[\w-]+")
_SIMPLE = re.compile(r"[\w-]*(?:[.#][\w-]+)*")
_MOST_NAMES = 16
"""Tag, classes and id of an element that are looked up, alone and in pairs."""
_STYLE = 100_000
"""Characters of a page's <style> that are looked at."""
_AT_RULE = re.compile(r"@[^{};]{0,500}\{(?:[^{}]{0,5000}\{[^{}]{0,5000}\}){0,500}[^{}]{0,5000}\}")
_INVISIBLE = re.compile(
    "[\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]|[\u200b-\u200d]{2,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
)
"""Zero-width and tag characters, and what XML has no place for (a page's `&#8;`), which lxml refuses to set.

One joiner alone, or one variation selector, is part of many scripts and of emoji.
"""
_IN_TAGS = re.compile("[\U000e0020-\U000e007e]{8,}")
"""Text in tag characters; the flags of emoji have six."""
_NO_TEXT = frozenset(("script", "style", "noscript", "template"))
_TEXT = etree.XPath(
    "boolean(descendant-or-self::*[not(self::script or self::style or self::noscript or self::template)]"
    "/text()[normalize-space()])"
)


class _Look(NamedTuple):
    """What a style says, each "", None or False where it says nothing."""

    hides: bool | None = None
    is_cut: bool = False
    """Whether what is larger than the element is not shown."""
    has_no_size: bool = False
    colour: str = ""
    behind: str = ""

    def with_(self, other: "_Look") -> "_Look":
        """Both; where they differ, the other."""
        return _Look(
            self.hides if other.hides is None else other.hides, self.is_cut or other.is_cut,
            self.has_no_size or other.has_no_size, other.colour or self.colour, other.behind or self.behind,
        )  # fmt: skip


def drop_hidden(body: Any, omitted: Counter[str]) -> None:
    """Drop what inline styles, or rules of <style> for a tag, class or id, hide; count what of it has text."""
    root = body.getroottree().getroot()
    css = "\n".join(style.text or "" for style in root.iter("style"))[:_STYLE]
    rules, is_known = _rules(css)
    is_plain = is_known and not root.xpath(".//link[contains(@rel, 'stylesheet')]")
    behind = [rules.get(frozenset(("html",)), _Look()).behind or ("#fff" if is_plain else "")]
    hidden = []
    walk = etree.iterwalk(body, events=("start", "end"))
    for event, element in walk:
        if event == "end":
            behind.pop()
            continue
        look = _look(element, rules)
        behind.append(look.behind or behind[-1])
        unseen = look.hides or (look.is_cut and look.has_no_size) or (look.colour and look.colour == behind[-1])
        if element is not body and (unseen or element.tag in _NO_TEXT):
            walk.skip_subtree()
            if unseen:
                hidden.append(element)
    omitted["hidden text"] += sum(bool(_TEXT(element)) for element in hidden)
    drop(hidden)
    for element in body.iter():
        omitted["hidden text"] += len(_IN_TAGS.findall(f"{element.text or ''}\n{element.tail or ''}"))
        element.text = element.text and _INVISIBLE.sub("", element.text)
        element.tail = element.tail and _INVISIBLE.sub("", element.tail)


def drop(elements: Collection[Any]) -> None:
    """Take them out. One by one (lxml's drop_tree) the texts between them would be joined again each time."""
    gone = set(elements)
    for parent in {element.getparent() for element in gone}:
        texts = [parent.text or ""]
        before = None
        for child in (*parent, None):
            if child in gone:
                texts.append(child.tail or "")
                parent.remove(child)
                continue
            if before is None:
                parent.text = "".join(texts)
            else:
                before.tail = "".join(texts)
            before, texts = child, [child.tail or "" if child is not None else ""]


def _rules(css: str) -> tuple[dict[frozenset[str], _Look], bool]:
    """By the names of a selector such as "p.note", and whether they tell all backgrounds.

    Rules inside @media and the like are passed over. What another rule can show (":hover", ".open .x") is not hidden.
    """
    css = re.sub(r"/\*[^*]{0,1000}\*/", "", css)
    rules: dict[frozenset[str], _Look] = {}
    shown: set[str] = set()
    is_known = "@import" not in css and not any("background" in found for found in _AT_RULE.findall(css))
    for selectors, declarations in _RULE.findall(_AT_RULE.sub("", css)):
        look = _read(declarations)
        for selector in map(str.strip, selectors.split(",")):
            names = frozenset(_NAME.findall(selector))
            if _SIMPLE.fullmatch(selector) and 0 < len(names) <= 2:  # noqa: PLR2004 (combinations of two are tried)
                rules[names] = rules.get(names, _Look()).with_(look)
            else:
                is_known = is_known and not look.behind
                if _SHOWING.search(_bare(declarations)):
                    shown.update(names)
    for names in [names for names, look in rules.items() if look.hides and names & shown]:
        rules[names] = rules[names]._replace(hides=None)
    return rules, is_known


def _look(element: Any, rules: Mapping[frozenset[str], _Look]) -> _Look:
    look = _Look(hides=element.get("hidden", "until-found") != "until-found" or None)
    if rules:
        classes = [f".{name}" for name in element.get("class", "").split()[: _MOST_NAMES - 2]]
        names = [str(element.tag), *classes, f"#{element.get('id')}"]
        for chosen in chain(((name,) for name in names), combinations(names, 2)):
            if found := rules.get(frozenset(chosen)):
                look = look.with_(found)
    look = look.with_(_read(element.get("style", "")))
    colour, behind = (_same(_bare(element.get(name, ""))) for name in ("color", "bgcolor"))
    return look._replace(colour=look.colour or colour, behind=look.behind or behind)


@lru_cache(maxsize=1024)
def _read(style: str) -> _Look:
    if not style:
        return _Look()
    style = _bare(style)
    colour, behind = (_same((found.findall(style) or [""])[-1]) for found in (_COLOUR, _BEHIND))
    hides = True if _HIDING.search(style) else False if _SHOWING.search(style) else None
    return _Look(hides, "overflow:hidden" in style, bool(_NO_SIZE.search(style)), colour, behind)


def _bare(style: str) -> str:
    return re.sub(r"\s+", "", style).lower()


def _same(colour: str) -> str:
    return _WHITE.get(colour, colour)
