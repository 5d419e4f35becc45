"""PDF files made of texts at given places."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    x: float
    y: float
    text: str
    size: float = 12
    style: str = ""
    """Operators before it, such as "3 Tr" for invisible text."""


@dataclass(frozen=True)
class Drawn:
    operators: str
    """Drawn in the order of the page's texts."""


def pdf_of(
    *pages: Sequence[Text | Drawn],
    objects: Sequence[str] = (),
    page_extra: str = "",
    x_objects: str = "",
    catalog: str = "",
) -> bytes:
    """In Helvetica. `objects` are numbered from 4; `page_extra` goes into the first page, `catalog` into the root."""
    first = 4 + len(objects)
    kids = " ".join(f"{first + 2 * i} 0 R" for i in range(len(pages)))
    bodies = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *objects,
    ]
    for i, page in enumerate(pages):
        stream = "\n".join(map(_operators, page))
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 700 792] {'' if i else page_extra}"
            f" /Resources << /Font << /F1 3 0 R >> /XObject << {x_objects} >> >> /Contents {first + 1 + 2 * i} 0 R >>"
        )
        bodies.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    return _file(bodies)


def _operators(each: Text | Drawn) -> str:
    if isinstance(each, Drawn):
        return each.operators
    return f"q {each.style} BT /F1 {each.size} Tf {each.x} {each.y} Td ({_quoted(each.text)}) Tj ET Q"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _file(bodies: Sequence[str]) -> bytes:
    out = b"%PDF-1.7\n"
    offsets = []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()
