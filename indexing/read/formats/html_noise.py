"""What of an HTML page is no content: scripts, menus, controls, search forms, the footer of the page."""

from typing import Any

_DROPPED = "script|style|noscript|template|svg|iframe|object|embed|nav|input|select|textarea"
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "dt", "summary"))
_LINKED = 0.5
"""Share of its words in links from which an aside or the footer of a section is a menu."""
_FORM_WORDS = 20
"""A form with fewer words and no block of text is only its controls and their labels."""


def drop_noise(body: Any) -> None:
    """Drop it from the tree. Forms, asides and footers with content become plain blocks, which no library drops."""
    for element in body.xpath("|".join(f".//{tag}" for tag in _DROPPED.split("|"))):
        element.drop_tree()
    for element in body.xpath(".//*[@hidden and not(@hidden='until-found')]|.//dialog[not(@open)]"):
        element.drop_tree()
    for element in body.xpath(".//button"):
        _keep(element, wanted=any(parent.tag in _HEADINGS for parent in element.iterancestors()))
    for name, is_content in (("form", _is_page), ("aside", _is_note), ("footer", _is_part)):
        for element in body.xpath(f".//{name}"):
            _keep(element, wanted=is_content(element))
    for element in body.xpath(".//*[contains(@class, 'omment') or contains(@id, 'omment')]"):
        _forget_names(element)


def _keep(element: Any, *, wanted: bool) -> None:
    if not wanted:
        element.drop_tree()
        return
    element.tag = "span" if element.tag == "button" else "div"
    _forget_names(element)


def _forget_names(element: Any) -> None:
    """Drop the names by which a library would take it for noise."""
    for name in ("class", "id", "role"):
        element.attrib.pop(name, None)


def _words(element: Any) -> int:
    return len(element.text_content().split())


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
