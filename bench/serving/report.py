"""The figures of a run as a Markdown table and a picture."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OURS = "ragline"
LIMIT = "engine"
COLUMNS = (OURS, "vllm", "infinity", LIMIT)
LIBRARIES = ("onnxruntime", "openvino-genai", "tokenizers", "faiss-cpu")


@dataclass(frozen=True, slots=True)
class Figure:
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """One row: the value of each contender, and of the engine alone where that is measured."""

    name: str
    unit: str
    values: dict[str, Figure] = field(default_factory=dict)
    smaller_is_better: bool = False

    def ratio(self, other: str) -> float | None:
        """How many times better ours is."""
        if OURS not in self.values or other not in self.values:
            return None
        mine, theirs = self.values[OURS].value, self.values[other].value
        return theirs / mine if self.smaller_is_better else mine / theirs


def markdown(rows: Sequence[Figures]) -> str:
    """A table; ratios say how many times better ours is, or what share of the engine's own speed it reaches."""
    names = [name for name in COLUMNS if any(name in row.values for row in rows)]
    others = [name for name in names if name != OURS]
    head = ["", "unit", *names, *(f"x {name}" for name in others)]
    lines = [_line(head), _line(["---"] + ["---:"] * (len(head) - 1))]
    for row in rows:
        cells = [_number(row.values[name].value) if name in row.values else "" for name in names]
        ratios = [row.ratio(name) for name in others]
        shown = [f"**{ratio:.2f}**" if ratio is not None else "" for ratio in ratios]
        lines.append(_line([row.name, row.unit, *cells, *shown]))
    return "\n".join(lines)


def write(rows: Sequence[Figures], docs: Path, command: str) -> None:
    """docs/benchmarks.md, between its two marks, and docs/images/benchmarks.svg."""
    page = docs / "benchmarks.md"
    before, _, rest = page.read_text().partition("<!-- figures -->\n")
    after = rest.partition("<!-- /figures -->")[2]
    figures = f"{_machine(command)}\n\n{markdown(rows)}\n"
    page.write_text(f"{before}<!-- figures -->\n{figures}<!-- /figures -->{after}")
    (docs / "images/benchmarks.svg").write_text(picture(rows))


def picture(rows: Sequence[Figures]) -> str:
    """Bars of how many times faster ours is than each peer, as SVG."""
    bars = [
        (row.name, other, ratio)
        for row in rows
        for other in ("vllm", "infinity")
        if (ratio := row.ratio(other)) is not None and row.unit not in ("MB", "s")
    ]
    longest = max((ratio for *_, ratio in bars), default=1.0)
    height, left, width = 22, 380, 420
    drawn = [
        f'<path d="M{left + width / longest:.0f} 8V{len(bars) * height + 24}" stroke="#888" stroke-dasharray="3 3"/>'
    ]
    for place, (name, other, ratio) in enumerate(bars):
        y = 18 + place * height
        colour = {"vllm": "#2f6f8f", "infinity": "#c7772e"}[other]
        drawn += [
            f'<text x="{left - 10}" y="{y + 13}" text-anchor="end">{escape(name)}, x {other}</text>',
            f'<rect x="{left}" y="{y}" width="{width * ratio / longest:.0f}" height="16" rx="2" fill="{colour}"/>',
            f'<text x="{left + width * ratio / longest + 6:.0f}" y="{y + 13}">{ratio:.1f}</text>',
        ]
    size = f'width="{left + width + 60}" height="{len(bars) * height + 32}"'
    style = "text{font:13px system-ui,sans-serif;fill:#666}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{style}</style>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _machine(command: str) -> str:
    flags = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in flags.splitlines() if line.startswith("model name")), "?")
    kinds = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if f" {name} " in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    libraries = ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version(name)))
    today = datetime.now(UTC).date()
    return (
        f"{today}, commit {commit.stdout.strip()}: {os.cpu_count()} cores of {model} ({', '.join(kinds)}), "
        f"{memory:.0f} GB, Python {platform.python_version()}, {libraries}. `{command}`"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
