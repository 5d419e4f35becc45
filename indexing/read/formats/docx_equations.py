"""Replaces Word's equations (OMML), which mammoth ignores, by LaTeX-like text."""

from collections.abc import Callable

from lxml import etree

from indexing.read.formats.markup import local_name

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def spell(root: etree._Element) -> None:
    """Replace each equation by a run of text."""
    for equation in list(root.iter(f"{_M}oMath")):
        parent = equation.getparent()
        if parent is None:
            continue
        run = etree.Element(f"{_W}r")
        text = etree.SubElement(run, f"{_W}t", {"{http://www.w3.org/XML/1998/namespace}space": "preserve"})
        text.text = f" ${latex(equation).strip()}$ "
        run.tail = equation.tail
        parent.replace(equation, run)
        if local_name(parent) == "oMathPara" and (outer := parent.getparent()) is not None:
            outer.replace(parent, run)


def latex(element: etree._Element) -> str:
    """The formula below an element, on one line."""
    name = local_name(element)
    if name == "t":
        return element.text or ""
    if name in _FORMS:
        return _FORMS[name](element)
    return "".join(latex(child) for child in element if not local_name(child).endswith("Pr"))


def _part(element: etree._Element, name: str) -> str:
    return "".join(latex(child) for child in element.findall(f"{_M}{name}"))


def _sign(element: etree._Element, path: str, default: str) -> str:
    found = element.find("/".join(f"{_M}{step}" for step in path.split("/")))
    return default if found is None else found.get(f"{_M}val", default)


def _fraction(element: etree._Element) -> str:
    return f"\\frac{{{_part(element, 'num')}}}{{{_part(element, 'den')}}}"


def _root(element: etree._Element) -> str:
    degree = _part(element, "deg")
    return f"\\sqrt{f'[{degree}]' if degree else ''}{{{_part(element, 'e')}}}"


def _scripts(element: etree._Element) -> str:
    base, below, above = _part(element, "e"), _part(element, "sub"), _part(element, "sup")
    base = f"{{{base}}}" if base.startswith("\\") else base
    return f"{base}{f'_{{{below}}}' if below else ''}{f'^{{{above}}}' if above else ''}"


def _sum(element: etree._Element) -> str:
    below, above = _part(element, "sub"), _part(element, "sup")
    sign = _sign(element, "naryPr/chr", "∫")
    return f"{sign}{f'_{{{below}}}' if below else ''}{f'^{{{above}}}' if above else ''} {_part(element, 'e')}"


def _brackets(element: etree._Element) -> str:
    inner = ", ".join(latex(child) for child in element.findall(f"{_M}e"))
    return f"{_sign(element, 'dPr/begChr', '(')}{inner}{_sign(element, 'dPr/endChr', ')')}"


def _function(element: etree._Element) -> str:
    return f"{_part(element, 'fName')} {_part(element, 'e')}"


_FORMS: dict[str, Callable[[etree._Element], str]] = {
    "f": _fraction, "rad": _root, "sSup": _scripts, "sSub": _scripts, "sSubSup": _scripts, "nary": _sum, "d": _brackets,
    "func": _function,
}  # fmt: skip
