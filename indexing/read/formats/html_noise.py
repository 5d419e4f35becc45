"""What of an HTML page is no content: scripts, menus, controls, search forms, the footer of the page."""

from typing import Any

from indexing.read.formats.html_hidden import drop

_DROPPED = "script|style|noscript|template|svg|iframe|object|embed|nav|input|select|textarea|dialog[not(@open)]"
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "dt", "summary"))
_LINKED = 0.5
"""Share of its words in links from which an aside or the footer of a section is a menu."""
_FORM_WORDS = 20
"""A form with fewer words and no block of text is only its controls and their labels."""
_COMMENTS = ".//*[contains(@class, 'omment') or contains(@id, 'omment')]"
_NAMED = (
    ".//*[self::main or self::article or @role='main']"
    "//*[not(self::a or self::sup or self::sub) and (@class or @id or @role or @aria-hidden)]"
)
"""What stands in the part that the page itself says to be its main one."""


def drop_noise(body: Any) -> None:
    """Drop it from the tree. Forms, asides and footers with content become plain blocks, which no library drops."""
    drop(body.xpath("|".join(f".//{tag}" for tag in _DROPPED.split("|"))))
    for name, is_content, becomes in (
        ("button", _is_heading, "span"), ("form", _is_page, "div"), ("aside", _is_note, "div"),
        ("footer", _is_part, "div"),
    ):  # fmt: skip
        found = body.xpath(f".//{name}")
        drop([element for element in found if not is_content(element)])
        for element in found:
            element.tag = becomes
            _forget_names(element)
    for element in (*body.xpath(_COMMENTS), *(each for each in body.xpath(_NAMED) if not _is_menu(each))):
        _forget_names(element)


def _forget_names(element: Any) -> None:
    """Drop the names by which a library would take it for noise."""
    for name in ("class", "id", "role", "aria-hidden"):
        element.attrib.pop(name, None)


def _words(element: Any) -> int:
    return len(element.text_content().split())


def _is_heading(button: Any) -> bool:
    return any(parent.tag in _HEADINGS for parent in button.iterancestors())


def _is_page(form: Any) -> bool:
    """Whether there is text in a form, as in pages of ASP.NET, which are one form."""
    if form.get("role") == "search":
        return False
    return _words(form) >= _FORM_WORDS or any(block.text_content().strip() for block in form.xpath(".//p|.//table"))


def _is_note(aside: Any) -> bool:
    """Whether it is a note, a warning or a footnote, not a list of links."""
    role = f"{aside.get('role', '')} {aside.get('epub:type', '')}"
    return "note" in role or not _is_menu(aside)


def _is_part(footer: Any) -> bool:
    """Whether it is the footer of a quote or of a part of the page, not of the page."""
    names = {parent.tag for parent in footer.iterancestors()}
    if names & {"blockquote", "figure", "table"}:
        return True
    return bool(names & {"article", "section"}) and not _is_menu(footer)


def _is_menu(element: Any) -> bool:
    linked = sum(_words(link) for link in element.iter("a"))
    return linked > _LINKED * _words(element)
