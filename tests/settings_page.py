"""Writes docs/configuration.md from the settings themselves: `make docs`."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.settings import AppSettings
from services.settings import EncoderSettings, GeneratorSettings, ScoreSettings, ServiceSettings

TARGET = Path(__file__).parent.parent / "docs/configuration.md"
INTRODUCTION = """\
# Settings

Made by `make docs` from the settings themselves.

A profile (TOML, see [models.md](models.md)) sets them, and the environment wins over it: `min_score` of section `[ask]`
is `RAGLINE_ASK__MIN_SCORE`. A key that does not exist is an error that names it.
"""
SERVICES = {
    ServiceSettings: "The model services, on ports 8001 to 8004: `[embed]`, `[score]`, `[generate]`, `[verify]`",
    EncoderSettings: "Beside these, of encoders: `[embed]`, `[score]` and `[verify]`",
    ScoreSettings: "Beside these, of the cross-encoder: `[score]`",
    GeneratorSettings: "Beside these, of the generator: `[generate]`",
}
SECTIONS = {
    "index": "How documents become an index: `[index]`",
    "milvus": "Milvus, where `index.store` says so: `[milvus]`",
    "ask": "How a question is answered: `[ask]`",
    "server": "Where the orchestrator serves: `[server]`",
    "up": "How `ragline up` watches its processes: `[up]`",
}
PATHS = {"data_dir": "~/.local/share/ragline", "cache_dir": "~/.cache/ragline"}


def page() -> str:
    fields = AppSettings.model_fields
    top = {name: field for name, field in fields.items() if not isinstance(field.default, BaseModel)}
    parts = [INTRODUCTION, _table("Every process", top)]
    parts += [_table(title, _own_fields(kind)) for kind, title in SERVICES.items()]
    parts += [_table(title, type(fields[name].default).model_fields) for name, title in SECTIONS.items()]
    return "\n".join(parts)


def _own_fields(kind: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """The fields that the section's parent has not; all of ServiceSettings."""
    inherited = {} if kind is ServiceSettings else kind.__base__.model_fields
    return {name: field for name, field in kind.model_fields.items() if name not in inherited}


def _table(title: str, fields: dict[str, FieldInfo]) -> str:
    rows = [f"| `{name}` | {_default(name, field)} | {_text(field)} |" for name, field in fields.items()]
    return "\n".join([f"## {title}", "", "| key | default | |", "|---|---|---|", *rows, ""])


def _default(name: str, field: FieldInfo) -> str:
    value: Any = PATHS.get(name, field.default)
    return "" if value in (None, "") else f"`{value}`"


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(page())
