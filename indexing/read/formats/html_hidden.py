"""Text of an HTML page that no reader sees: hidden by a style, of no size, in the colour of what is behind it."""

import re
from typing import Any

_HIDING = re.compile(
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|opacity:(?:0|0?\.0+)"
    r"|font-size:(?:(?:0|0?\.0+)(?:em|rem|%)?|[01]?(?:\.\d{1,9})?(?:px|pt))"
    r"|color:transparent|color:(?:rgba|hsla)\([^)]{0,40},0(?:\.0{1,9})?\)"
    r"|(?:text-indent|left|top|margin-left|margin-top):-(?:\d{4,9}(?:px|pt)|\d{3,9}(?:em|rem)))(?:!important)?(?=;|$)"
)
_NO_SIZE = re.compile(r"(?:^|;)(?:max-)?(?:width|height):(?:0(?:px|pt|em)?|1px|1pt)(?:!important)?(?=;|$)")
_COLOUR = re.compile(r"(?:^|;)color:([^;!]+)")
_BEHIND = re.compile(r"(?:^|;)background(?:-color)?:([^;!]+)")
_WHITE = {"white": "#fff", "#ffffff": "#fff", "rgb(255,255,255)": "#fff", "black": "#000", "#000000": "#000",
          "rgb(0,0,0)": "#000"}  # fmt: skip
_RULE = re.compile(r"([^{}@;]{1,500})\{([^{}]{0,5000})\}")
_SIMPLE = re.compile(r"([.#])([\w-]+)$")
_STYLE = 100_000
"""Characters of one <style> that are looked at."""
_AT_RULE = re.compile(r"@[^{};]{0,500}\{(?:[^{}]{0,5000}\{[^{}]{0,5000}\}){0,500}[^{}]{0,5000}\}")
_INVISIBLE = re.compile(
    "[\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]|[\u200b-\u200d]{2,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
)
"""Zero-width and tag characters, and what XML has no place for (a page's `&#8;`), which lxml refuses to set.

One joiner alone, or one variation selector, is part of many scripts and of emoji.
"""


def drop_hidden(body: Any) -> None:
    """Drop it from the tree, by inline styles and by the rules of <style> for one class or id."""
    rules = _rules(body)
    is_plain = not body.getroottree().getroot().xpath(".//link[contains(@rel, 'stylesheet')]")
    for element in [found for found in body.iterdescendants() if isinstance(found.tag, str)]:
        if element.getparent() is not None and _is_hidden(element, rules, is_plain=is_plain):
            element.drop_tree()
    for element in body.iter():
        element.text = element.text and _INVISIBLE.sub("", element.text)
        element.tail = element.tail and _INVISIBLE.sub("", element.tail)


def _rules(body: Any) -> dict[str, str]:
    """Selector of one class or id: declarations. Rules inside @media and the like are passed over."""
    rules: dict[str, str] = {}
    for style in body.getroottree().getroot().iter("style"):
        text = _AT_RULE.sub("", re.sub(r"/\*[^*]{0,1000}\*/", "", (style.text or "")[:_STYLE]))
        for selectors, declarations in _RULE.findall(text):
            for selector in selectors.split(","):
                if _SIMPLE.match(name := selector.strip()):
                    rules[name] = f"{rules.get(name, '')};{_bare(declarations)}"
    return rules


def _bare(style: str) -> str:
    return re.sub(r"\s+", "", style).lower()


def _style(element: Any, rules: dict[str, str]) -> str:
    names = [f".{name}" for name in (element.get("class") or "").split()] + [f"#{element.get('id')}"]
    return ";".join([*(rules[name] for name in names if name in rules), _bare(element.get("style") or "")])


def _is_hidden(element: Any, rules: dict[str, str], *, is_plain: bool) -> bool:
    style = _style(element, rules)
    if _HIDING.search(style) or ("overflow:hidden" in style and _NO_SIZE.search(style)):
        return True
    colour = _COLOUR.findall(style) or ([element.get("color").lower()] if element.get("color") else [])
    return bool(colour) and _same(colour[-1]) == _behind(element, rules, is_plain=is_plain)


def _same(colour: str) -> str:
    return _WHITE.get(colour, colour)


def _behind(element: Any, rules: dict[str, str], *, is_plain: bool) -> str:
    """The colour behind it; white where no style says another."""
    for parent in (element, *element.iterancestors()):
        if found := _BEHIND.findall(_style(parent, rules)) or (
            [_bare(parent.get("bgcolor"))] if parent.get("bgcolor") else []
        ):
            return _same(found[-1])
    return "#fff" if is_plain and not rules else ""
