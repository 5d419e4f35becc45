"""Settings: one frozen object per process, from a profile (TOML) under the environment.

    RAGLINE_PROFILE=cpu                    a name in configs/profiles, or a path to a .toml file
    RAGLINE_EMBED__MODEL=bge-large-en-v1.5  one key of one section; the environment wins over the profile

Each section belongs to the package that reads it: [embed] [score] [generate] here, [index] to indexing, [ask] and
[server] to app. A process validates only the sections that it reads, and refuses unknown keys in them.
"""

import logging
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from services import CONFIGS
from services.addresses import http_url, read_addresses
from services.errors import BadRequestError
from services.presets import Preset, find_preset

log = logging.getLogger(__name__)

Task = Literal["embed", "score", "generate", "classify", "verify"]

_PREFIX = "RAGLINE_"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class EndpointSettings(Section):
    """A model service as its clients reach it."""

    url: str = ""
    """Where clients reach it, with or without /v1 at the end; empty: http://HOST:PORT below."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    model: str = ""
    """A preset's name, hub:ORG/NAME@REVISION[/FILE.gguf], pypi:PACKAGE==VERSION/PATH, or a folder."""
    served_model_name: str = ""
    """The name on the wire; empty: the preset's name, or the last part of `model`."""
    max_model_len: int | None = Field(default=None, gt=0)
    """Tokens of one input, or of prompt and answer; None: as the preset or the server says."""
    timeout_s: float = Field(default=60.0, gt=0)
    """How long a client waits for one answer."""

    @property
    def base_url(self) -> str:
        return self.url.rstrip("/").removesuffix("/v1") or http_url(self.host, self.port)

    @property
    def is_named(self) -> bool:
        """Whether the section says of a model, or where one serves."""
        return bool(self.model or self.url)

    @property
    def preset(self) -> Preset | None:
        return find_preset(self.model)

    @property
    def model_name(self) -> str:
        if self.served_model_name:
            return self.served_model_name
        return self.preset.name if self.preset else Path(self.model.partition("@")[0].rstrip("/")).name


class ServiceSettings(EndpointSettings):
    """A model service as its server runs it."""

    engine: Literal["auto", "onnx", "openvino", "torch"] = "auto"
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    threads: int = Field(default=0, ge=0)
    """Compute threads of the engine; 0: as many as there are cores."""
    hosts: tuple[str, ...] = ()
    """Names by which clients reach it, without port, beside loopback's. Empty: any, if it listens beyond loopback."""
    allow_insecure: bool = False
    """Serve beyond loopback without an API key."""
    max_batch_tokens: int = Field(default=32768, gt=0)
    """Tokens of one forward pass, padding counted; fewer where the engine is no faster for more."""
    max_queue_tokens: int = Field(default=2_000_000, gt=0)
    """Tokens that may wait; past it 429 with Retry-After."""
    max_concurrent: int = Field(default=512, gt=0)
    """Requests in flight; past it 429 with Retry-After."""
    max_body_bytes: int = Field(default=32 * 2**20, gt=0)
    max_documents: int = Field(default=10_000, gt=0)
    """Inputs, pairs or choices of one request."""
    max_chars: int = Field(default=1_000_000, gt=0)
    """Characters of one input."""
    drain_s: float = Field(default=30.0, ge=0)
    """After SIGTERM, how long requests in flight may take to finish."""


class EncoderSettings(ServiceSettings):
    cache_entries: int = Field(default=0, ge=0)
    """Embeddings or scores of identical inputs that are kept; 0: none."""


class ScoreSettings(EncoderSettings):
    score_route: Literal["auto", "/v1/score", "/v1/rerank", "/rerank"] = "auto"
    """Where clients ask for scores; auto: the first of these that the server has."""


class GeneratorSettings(ServiceSettings):
    ignore_tools: bool = False
    """Answer a chat that offers `tools`, as Open WebUI's all do, as if it did not; else it is refused."""
    kv_cache_gb: float | None = Field(default=None, gt=0)
    """Key-value cache, in GiB; None: 0.5 on a CPU, four fifths of what is free on a GPU."""


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "ragline"


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ragline"


class Settings(BaseSettings):
    """What every process reads. indexing and app extend it with their sections."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
        use_attribute_docstrings=True,
    )

    profile: str = "cpu"
    data_dir: Path = Field(default_factory=_data_home)
    """Indexes and jobs."""
    cache_dir: Path = Field(default_factory=_cache_home)
    """Weights."""
    offline: bool = False
    """Never fetch weights: what is not in cache_dir is an error."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    embed: EncoderSettings = EncoderSettings(port=8001)
    score: ScoreSettings = ScoreSettings(port=8002)
    generate: GeneratorSettings = GeneratorSettings(port=8003)
    verify: EncoderSettings = EncoderSettings(port=8004)
    """An entailment model, asked about what the rules of the verifier leave open; off without `model` and `url`."""
    index: Any = None
    milvus: Any = None
    ask: Any = None
    server: Any = None
    up: Any = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        profile = profile_path(str(init_settings().get("profile") or env_settings().get("profile") or "cpu"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=profile)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read profile and environment. Raises BadRequestError that names each wrong or unknown variable."""
        known = cls.variables()
        wrong = {name: _unknown(name, known) for name in map(str.upper, os.environ) if not _is_known(name, known)}
        try:
            settings = cls(**overrides)
        except ValidationError as exc:
            for error in exc.errors():
                name = _PREFIX + "__".join(map(str, error["loc"])).upper()
                wrong[name] = _unknown(name, known) if error["type"] == "extra_forbidden" else f"{name}: {error['msg']}"
        if wrong:
            raise BadRequestError(f"settings are wrong, in the environment or the profile: {'; '.join(wrong.values())}")
        return settings

    @classmethod
    def variables(cls) -> list[str]:
        """Return the environment variables that this process reads; one that ends in __ stands for all that go on."""
        names = []
        for key, field in cls.model_fields.items():
            name = _PREFIX + key.upper()
            section = field.annotation
            if isinstance(section, type) and issubclass(section, Section):
                names += [name, *(f"{name}__{inner.upper()}" for inner in section.model_fields)]
            else:
                names += [name, f"{name}__"] if section is Any else [name]
        return names

    def running(self) -> Self:
        """These settings with the addresses of the `ragline up` that runs over this data_dir, if one does.

        An address that the settings themselves name is kept.
        """
        addresses = read_addresses(self.data_dir)
        sections = {
            name: section.model_copy(update={"url": url})
            for name, url in addresses.items()
            if (section := getattr(self, name, None)) is not None and not section.url
        }
        return self.model_copy(update=sections)


def _is_known(name: str, known: list[str]) -> bool:
    return not name.startswith(_PREFIX) or any(
        name == each or (each.endswith("__") and name.startswith(each)) for each in known
    )


def _unknown(name: str, known: list[str]) -> str:
    """A sentence for a variable that nothing reads, with the same key of the nearest section, or the nearest name."""
    same_key = [each for each in known if "__" in name and each.partition("__")[2] == name.partition("__")[2] != ""]
    names = [each for each in known if not each.endswith("__")]
    near = get_close_matches(name, same_key, n=1, cutoff=0) or get_close_matches(name, names, n=1, cutoff=0.8)
    return f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else "")


def check_device(section: ServiceSettings, engine: str) -> None:
    """Raises BadRequestError where an engine of CPUs is asked to run elsewhere."""
    if section.device not in ("auto", "cpu"):
        raise BadRequestError(
            f"device = {section.device!r}, but engine {engine!r} runs on CPUs only; take a model and engine for torch "
            "(`ragline models list`), or leave the device out.",
            param="device",
        )


def warn_unread(section: ServiceSettings, *names: str, why: str) -> None:
    """Logs which of the settings `names` were set to no effect."""
    for name in names:
        value = getattr(section, name)
        if value != type(section).model_fields[name].default:
            log.warning("%s = %s has no effect: %s.", name, value, why)


def profile_path(profile: str) -> Path:
    """The file of a profile. Raises BadRequestError that lists the known ones."""
    path = Path(profile) if profile.endswith(".toml") else CONFIGS / "profiles" / f"{profile}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in (CONFIGS / "profiles").glob("*.toml")))
        raise BadRequestError(f"no profile {profile!r}; take one of {known}, or the path of a .toml file")
    return path
