"""What mammoth passes over, rewritten as what it reads; each function changes the tree of a part in place."""

import re
from collections import Counter
from copy import deepcopy

from lxml import etree

from indexing.document import one_line
from indexing.read.formats.docx_numbering import Styles, value
from indexing.read.formats.markup import local_name, own_rows

_WRAPPERS = ("fldSimple", "bdo", "dir")
_WITH_WORDS = ("{*}t", "{*}chart", "{*}relIds")
_COUNTED_FIELD = re.compile(r"\s*(PAGE|NUMPAGES|SECTIONPAGES|DATE|TIME)\b", re.IGNORECASE)
_RAISED = 6
"""Half points from which a position makes a power and does not only align; Word's own step."""
_LEAST_WORDS = 3
"""Of a running line whose page number was dropped: "Page 1 of 2" says nothing."""
_LEFT_OUT = {
    "OLEObject": "embedded object", "control": "form control", "subDoc": "subdocument", "chart": "chart",
    "relIds": "diagram",
}  # fmt: skip


def unwrap(root: etree._Element, styles: Styles) -> None:
    """Resolve alternatives, wrappers, ruby text and returns, then move text boxes behind their paragraphs."""
    _resolve(root)
    for name in _WRAPPERS:
        for element in reversed(list(root.iter(f"{{*}}{name}"))):
            if _is_word(element):
                _replace(element, [child for child in element if local_name(child) != "fldData"])
    for ruby in reversed(list(root.iter("{*}ruby"))):
        _spell_ruby(ruby)
    for name, known in (("cr", "br"), ("ptab", "tab")):
        for element in root.iter(f"{{*}}{name}"):
            if _is_word(element):
                element.tag = _sibling_tag(element, known)
                element.attrib.clear()
    for field in root.iter("{*}ffData"):
        _spell_field(field)
    _raise_by_style(root, styles)
    _raise_by_position(root)
    _place_text_boxes(root)


def left_out(root: etree._Element) -> Counter[str]:
    """What in this part is not read, by its kind."""
    return Counter(_LEFT_OUT[name] for element in root.iter() if (name := local_name(element)) in _LEFT_OUT)


def running_lines(root: etree._Element) -> list[str]:
    """The lines of a running header or footer, without the numbers that change from page to page."""
    _resolve(root)
    _place_text_boxes(root)
    lines = []
    for paragraph in root.iter("{*}p"):
        if _is_word(paragraph):
            text, dropped = _without_counted(paragraph)
            if re.search(r"[^\W\d_]", text) and (not dropped or len(text.split()) >= _LEAST_WORDS):
                lines.append(text)
    return lines


def text_paragraph(like: etree._Element, text: str) -> etree._Element:
    """A paragraph in the namespace of an element."""
    paragraph = etree.Element(_sibling_tag(like, "p"))
    paragraph.append(_text_run(like, text))
    return paragraph


def _text_run(like: etree._Element, text: str) -> etree._Element:
    run = etree.Element(_sibling_tag(like, "r"))
    words = etree.SubElement(run, _sibling_tag(like, "t"), {"{http://www.w3.org/XML/1998/namespace}space": "preserve"})
    words.text = text
    return run


def flatten_tables(root: etree._Element) -> None:
    """Make of a table in a cell a paragraph for each of its rows: Markdown has no tables in tables."""
    for table in reversed(
        [table for table in root.iter("{*}tbl") if next(table.iterancestors("{*}tc"), None) is not None]
    ):
        rows: list[etree._Element] = []
        for row in own_rows(table, ("tr",)):
            line = etree.Element(_sibling_tag(table, "p"))
            for number, cell in enumerate(own_rows(row, ("tc",))):
                if number:
                    line.append(_text_run(table, ", "))
                for paragraph in own_rows(cell, ("p",)):
                    line.extend([child for child in paragraph if local_name(child) != "pPr"])
            rows.append(line)
        for line in rows[:-1]:
            line.append(_text_run(table, ";"))
        _replace(table, rows)


def _is_word(element: etree._Element) -> bool:
    return "wordprocessingml" in (etree.QName(element).namespace or "")


def _sibling_tag(element: etree._Element, name: str) -> str:
    return f"{{{etree.QName(element).namespace}}}{name}"


def _replace(element: etree._Element, others: list[etree._Element]) -> None:
    parent = element.getparent()
    if parent is not None:
        at = parent.index(element)
        parent[at : at + 1] = others


def _resolve(root: etree._Element) -> None:
    for choice in reversed(list(root.iter("{*}AlternateContent"))):
        _replace(choice, list(_alternative(choice)))


def _alternative(element: etree._Element) -> etree._Element:
    """The fallback, which old readers know, if it has words; else the first choice with words; else the first."""
    branches = [*element.findall("{*}Fallback"), *element.findall("{*}Choice")]
    full = (
        branch for branch in branches if any(each.text or local_name(each) != "t" for each in branch.iter(*_WITH_WORDS))
    )
    return next(full, branches[0] if branches else etree.Element("none"))


def _spell_ruby(ruby: etree._Element) -> None:
    """The base text and its reading in brackets."""
    base, reading = ruby.find("{*}rubyBase"), ruby.find("{*}rt")
    spelled = [] if base is None else [child for child in base if local_name(child) != "rPr"]
    said = "" if reading is None else one_line("".join(t.text or "" for t in reading.iter("{*}t")))
    if said:
        text = etree.Element(_sibling_tag(ruby, "t"))
        text.text = f"({said})"
        spelled.append(text)
    _replace(ruby, spelled)


def _raise_by_style(root: etree._Element, styles: Styles) -> None:
    """Give runs the position that their character style gives them; the marks of notes have one of their own."""
    for style in list(root.iter("{*}rStyle")):
        properties = style.getparent()
        run = None if properties is None else properties.getparent()
        if run is None or properties is None or properties.find("{*}vertAlign") is not None:
            continue
        noted = any(local_name(child).endswith(("noteReference", "noteRef")) for child in run)
        if not noted and (position := styles.first(value(style), "{*}rPr/{*}vertAlign")):
            etree.SubElement(properties, _sibling_tag(style, "vertAlign"), {_sibling_tag(style, "val"): position})


def _raise_by_position(root: etree._Element) -> None:
    for position in root.iter("{*}position"):
        properties, points = position.getparent(), re.fullmatch(r"(-?)(\d{1,4})", value(position) or "")
        if properties is not None and properties.find("{*}vertAlign") is None and points and int(points[2]) >= _RAISED:
            kind = "subscript" if points[1] else "superscript"
            etree.SubElement(properties, _sibling_tag(position, "vertAlign"), {_sibling_tag(position, "val"): kind})


def _spell_field(data: etree._Element) -> None:
    """Write the state of a check box or drop-down list of an old form before its field."""
    run = next(data.iterancestors("{*}r"), None)
    box, choices = data.find("{*}checkBox"), data.find("{*}ddList")
    text = ""
    if box is not None:
        checked = box.find("{*}checked")
        state = box.find("{*}default") if checked is None else checked
        text = "☐" if state is None or value(state) in ("0", "false", "off") else "☒"
        data.remove(box)  # of which mammoth makes an empty box
    elif choices is not None:
        chosen = next((found for name in ("result", "default") if (found := value(choices.find(f"{{*}}{name}")))), "0")
        texts = [value(entry) or "" for entry in choices.findall("{*}listEntry")]
        text = texts[int(chosen)] if chosen.isdecimal() and int(chosen) < len(texts) else ""
    if text and run is not None:
        run.addprevious(_text_run(run, text))


def _place_text_boxes(root: etree._Element) -> None:
    """Inner boxes first, the last of a paragraph first: each lands behind the paragraph that it is anchored in."""
    for box in reversed(list(root.iter("{*}txbxContent"))):
        anchor = next((up for up in box.iterancestors("{*}p") if _is_word(up)), None)
        outer = box.getparent()
        deleted = any(_is_word(up) for up in box.iterancestors("{*}del", "{*}moveFrom"))
        if anchor is not None and outer is not None and not deleted:
            outer.remove(box)
            for block in reversed(list(box)):
                anchor.addnext(block)


def _without_counted(paragraph: etree._Element) -> tuple[str, bool]:
    """The text without the results of fields that count pages; whether there were such fields."""
    paragraph = deepcopy(paragraph)
    dropped = False
    for field in list(paragraph.iter("{*}fldSimple")):
        if _COUNTED_FIELD.match(value(field, "instr") or ""):
            dropped = True
            _replace(field, [])
    words: list[str] = []
    fields: list[str] = []
    for node in paragraph.iter("{*}t", "{*}tab", "{*}br", "{*}instrText", "{*}fldChar"):
        kind = value(node, "fldCharType")
        if kind == "begin":
            fields.append("")
        elif kind == "end" and fields:
            dropped = bool(_COUNTED_FIELD.match(fields.pop())) or dropped
        elif local_name(node) == "instrText" and fields:
            fields[-1] += node.text or ""
        elif not any(map(_COUNTED_FIELD.match, fields)):
            words.append((node.text or "") if local_name(node) == "t" else " ")
    return one_line("".join(words)), dropped
