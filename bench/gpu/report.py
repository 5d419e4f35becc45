"""One Markdown table: what is asked, and what was reached."""

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import torch

PACKAGES = ("torch", "transformers", "tokenizers", "sentence-transformers")


@dataclass(frozen=True, slots=True)
class Row:
    """`asked` is None where a figure is only for comparison; `at` says how it was reached."""

    name: str
    reached: float
    unit: str
    asked: float | None = None
    better: Literal["more", "less"] = "more"
    at: str = ""

    @property
    def met(self) -> bool | None:
        if self.asked is None:
            return None
        return self.reached >= self.asked if self.better == "more" else self.reached <= self.asked

    def cells(self) -> tuple[str, str, str, str]:
        sign = "at least" if self.better == "more" else "at most"
        asked = "" if self.asked is None else f"{sign} {self.asked:g} {self.unit}"
        mark = {True: " (met)", False: " (**missed**)", None: ""}[self.met]
        return self.name, asked, f"{self.reached:.3g} {self.unit}{mark}", self.at


def markdown(rows: list[Row], device: torch.device) -> str:
    lines = [("", "asked", "reached", "how"), ("---", "---", "---", "---"), *(row.cells() for row in rows)]
    return "\n".join([machine(device), "", *(f"| {' | '.join(line)} |" for line in lines)])


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    packages = ", ".join(f"{package} {found}" for package in PACKAGES if (found := _version(package)))
    return f"{datetime.now(UTC):%Y-%m-%d}: {name}, Python {platform.python_version()}, {packages}."


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
