"""HTML to Markdown: the article that trafilatura finds, or the whole body where that keeps the text better."""

import logging
import re
from collections import Counter
from typing import Any

import lxml.html
import markdownify
import trafilatura
from bs4 import BeautifulSoup
from lxml import etree

from indexing.document import one_line
from indexing.errors import NoTextError, UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import charset
from indexing.read.formats.charset import decode
from indexing.read.formats.extract import Extract, Limits, counted, tidy
from indexing.read.formats.html_hidden import drop_hidden
from indexing.read.formats.html_noise import drop_noise
from indexing.read.formats.html_tables import plain_tables
from indexing.read.formats.superscript import BLOCKS, spell

logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
_META_CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?\s*([\w-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(r"\A\s*<\?xml[^>]*\?>")
_XML_CHARSET = re.compile(rb"\s*<\?xml[^>]*?encoding=[\"']([\w.:-]+)", re.IGNORECASE)
_CONTROL = dict.fromkeys((*range(9), 0x0B, *range(0x0E, 0x20)))
_CODE = frozenset(("pre", "code", "textarea"))
_IN_LINE = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "li", "td", "th"))
"""Blocks whose text does not begin a line of Markdown."""
_FRAME = re.compile(
    r"(?:^|[\s_-])(?:nav\w*|menu|side-?bar|footer|header|banner|cookies?|breadcrumbs?|share|social|search|contentinfo)(?:$|[\s_-])",
    re.IGNORECASE,
)
_MAX_LINKS = 0.1
"""Share of a page's words in links, above which some of them lead elsewhere."""
_ARTICLE_KEEPS = (0.4, 0.9)
"""Share of the body's words within which the article is taken. With fewer, trafilatura lost text; with more, there is
no boilerplate, and the whole body keeps its structure better."""


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    source = _decode(content)
    root = _parse(source)
    title = one_line(root.findtext(".//title") or root.findtext(".//h1") or "")
    omitted: Counter[str] = Counter()
    body = _body(root, omitted)
    words = len(body.text_content().split())
    text = _article(root) if _has_frame(root, words) else ""
    least, most = _ARTICLE_KEEPS
    if not least * words <= len(re.findall(r"[^\s|*#-]\S*", text)) < most * words:
        text = to_markdown(lxml.html.tostring(body, encoding="unicode"))
    if not text:
        raise NoTextError("no text: the page has none in its HTML (scripts may add it in a browser)")
    return Extract(text, title, omitted=counted(omitted))


def _decode(content: bytes, label: str = "") -> str:
    """By the BOM, by the label of the mail's part, by what the page declares, else by a guess."""
    if label and (text := charset.labelled(content, label)) is not None:
        return text
    declared = _XML_CHARSET.match(content[:2048]) or _META_CHARSET.search(content[:2048])
    return decode(content, declared[1].decode("ascii") if declared else "")


def _parse(source: str) -> Any:
    parser = lxml.html.HTMLParser(no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        root: Any = lxml.html.document_fromstring(_XML_ENCODING.sub("", source.translate(_CONTROL)), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as exc:
        raise UnreadableError(f"no text: its HTML is empty or broken ({exc})") from exc
    for value in root.xpath("//@*[contains(., '<!--')]"):  # libxml2 looks for the end of each when it writes them
        value.getparent().set(value.attrname, value.replace("<!--", ""))
    return root


def _has_frame(root: Any, words: int) -> bool:
    """Return True where something may stand around the article, of what drop_noise() left.

    A page without is all content, repeated texts too.
    """
    links = sum(len(link.text_content().split()) for link in root.iter("a"))
    return links > _MAX_LINKS * words or any(
        element.tag == "header"
        or _FRAME.search(f"{element.get('class', '')} {element.get('id', '')} {element.get('role', '')}")
        for element in root.iter(etree.Element)
    )


def _body(root: Any, omitted: Counter[str]) -> Any:
    body = root.find("body")
    body = root if body is None else body
    drop_hidden(body, omitted)
    drop_noise(body)
    plain_tables(body)
    _escape(body)
    return body


def _escape(body: Any) -> None:
    """Put a backslash before what would be a heading or a fence where a block's text begins; line breaks are blanks."""
    begins = True
    code = 0
    for event, element in etree.iterwalk(body, events=("start", "end")):
        if element.tag in _CODE:
            code += 1 if event == "start" else -1
        begins = begins or element.tag in BLOCKS
        if element.tag in _IN_LINE and event == "start":
            begins = False
        text = element.text if event == "start" else element.tail
        if text and not code:
            plain = text.replace("\n", " ")
            plain = escaped(plain.lstrip()) if begins and plain.strip() else plain
            if event == "start":
                element.text = plain
            else:
                element.tail = plain
        begins = begins and not (text and text.strip())


def _article(root: Any) -> str:
    found = trafilatura.extract(
        _spelled(lxml.html.tostring(root, encoding="unicode")),
        output_format="markdown", include_comments=False, include_tables=True, include_formatting=True,
        favor_recall=True,
    )  # fmt: skip
    return tidy(found or "")


def _spelled(source: str) -> str:
    """The page with its powers as text; trafilatura drops the tags."""
    return str(spell(BeautifulSoup(source, "html.parser"))) if re.search("<su[bp]", source, re.IGNORECASE) else source


def body_markdown(content: bytes | str, label: str = "", omitted: Counter[str] | None = None) -> str:
    """The whole body, for mails and chapters, which have no boilerplate; "" where it is empty."""
    body = _body_of(content, label, Counter() if omitted is None else omitted)
    return "" if body is None else to_markdown(lxml.html.tostring(body, encoding="unicode"))


def body_words(content: bytes | str, label: str = "") -> str:
    """The words of the body without any structure, which takes a tenth of the time; "" where it is empty."""
    body = _body_of(content, label, Counter())
    return "" if body is None else one_line(" ".join(body.itertext()))


def _body_of(content: bytes | str, label: str, omitted: Counter[str]) -> Any:
    try:
        return _body(_parse(content if isinstance(content, str) else _decode(content, label)), omitted)
    except UnreadableError:
        return None


class _Markdown(markdownify.MarkdownConverter):
    def convert_td(self, el: Any, text: str, parent_tags: Any) -> str:
        """A cell without spans: `plain_tables` and the reader of DOCX write them out."""
        del el, parent_tags
        return " " + one_line(text).replace("|", "\\|") + " |"

    convert_th = convert_td

    def convert_img(self, el: Any, text: str, parent_tags: Any) -> str:
        """The alternative text, without address or data."""
        del text, parent_tags
        return one_line(el.attrs.get("alt") or "")


_CONVERTER = _Markdown(
    heading_style="ATX", bullets="-", strip=["a"], wrap=True, wrap_width=None, escape_asterisks=False,
    escape_underscores=False, escape_misc=False, table_infer_header=True, sub_symbol="", sup_symbol="",
    strong_em_symbol="*",
)  # fmt: skip


def to_markdown(html: str) -> str:
    """An HTML fragment as Markdown; links and images become their text."""
    try:
        return tidy(_CONVERTER.convert_soup(spell(BeautifulSoup(html, "html.parser"))))
    except RecursionError as exc:
        raise UnreadableError("broken HTML: its elements are nested too deep") from exc
