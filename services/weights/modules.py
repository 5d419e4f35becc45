"""The modules that sentence-transformers made a folder of: which pooling, and what comes after it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from services.errors import BadRequestError

Pooling = Literal["cls", "mean", "last", "max", "weightedmean", "mean_sqrt_len"]
SPELLINGS = {"lasttoken": "last", "cls_token": "cls"}
"""sentence-transformers' names that differ from ours, without "_tokens" at the end."""
WITHOUT_EFFECT = ("Transformer", "Dropout")


@dataclass(frozen=True, slots=True)
class Module:
    """kind: Pooling, Dense, LayerNorm, ...; config: of its own folder."""

    kind: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Modules:
    """pooling: None where the folder does not say. head: Dense and LayerNorm after it."""

    pooling: Pooling | None = None
    head: tuple[Module, ...] = ()
    normalize: bool | None = None
    is_cross_encoder: bool = False

    @property
    def labels(self) -> int:
        """Logits of a cross-encoder whose head is of modules, else 0."""
        ends = [module.config["out_features"] for module in self.head if module.kind == "Dense"]
        return int(ends[-1]) if self.is_cross_encoder and ends else 0


def read_modules(folder: Path) -> Modules:
    """Raises BadRequestError that names a module which is not served."""
    listed = folder / "modules.json"
    if not listed.is_file():
        return Modules(_pooling(folder / "1_Pooling"))
    modules = [_module(folder, entry) for entry in json.loads(listed.read_text(encoding="utf-8"))]
    kinds = [module.kind for module in modules if module.kind not in WITHOUT_EFFECT]
    normalize = kinds[-1:] == ["Normalize"]
    expected = [
        "Pooling",
        *(kind for kind in kinds if kind in ("Dense", "LayerNorm")),
        *["Normalize"][: int(normalize)],
    ]
    if kinds and kinds != expected:
        raise BadRequestError(f"{folder} is made of {', '.join(kinds)}; served is {', '.join(expected)}.")
    about = read_json(folder / "config_sentence_transformers.json")
    return Modules(
        pooling=next((_pooling(module.folder) for module in modules if module.kind == "Pooling"), None),
        head=tuple(module for module in modules if module.kind in ("Dense", "LayerNorm")),
        normalize=normalize,
        is_cross_encoder=about.get("model_type") == "CrossEncoder",
    )


def _module(folder: Path, entry: Mapping[str, Any]) -> Module:
    package, _, kind = str(entry["type"]).rpartition(".")
    if package.split(".")[0] != "sentence_transformers":
        raise BadRequestError(f"{folder} needs its own Python ({entry['type']}), which ragline does not run.")
    own = folder / str(entry.get("path", ""))
    return Module(kind, own, read_json(own / "config.json") if kind != "Transformer" else {})


def _pooling(folder: Path) -> Pooling | None:
    """Raises BadRequestError for a mode that is not served, and for several."""
    config = read_json(folder / "config.json")
    said = config.get("pooling_mode")
    if said is None:
        said = [
            key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on
        ]
    modes: Sequence[str] = [said] if isinstance(said, str) else said
    names = [SPELLINGS.get(mode, mode).removesuffix("_tokens") for mode in modes]
    if not names:
        return "mean" if config else None
    for pooling in get_args(Pooling):
        if names == [pooling]:
            return pooling  # type: ignore[no-any-return]  # get_args has no types
    raise BadRequestError(f"{folder} pools by {' and '.join(modes)}; served is one of {', '.join(get_args(Pooling))}.")


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file; {} where there is none."""
    if not file.is_file():
        return {}
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded
