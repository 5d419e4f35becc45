"""What both variants promise, read from the files as Compose understands them."""

import re
from typing import Any

import pytest

from tests.containers.conftest import CPU, GPU, ROOT, Compose

pytestmark = pytest.mark.containers

SERVICES = ("embed", "score", "generate")
LASTING = (*SERVICES, "orchestrator")
MEMORY = (ROOT / "docs" / "containers.md").read_text()
WEIGHTS, SPARE, KIB_A_TOKEN = 14.2, 0.5, 56
"""Of Qwen2.5-7B-Instruct, in 16 bits: GiB; 28 layers, keys and values, 4 heads of 128."""


def test_only_the_orchestrator_is_published_and_on_loopback(variant: Compose) -> None:
    services = variant.config()["services"]
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert published.keys() == {"orchestrator"}
    assert [port["host_ip"] for port in published["orchestrator"]] == ["127.0.0.1"]


def test_model_services_have_no_network_but_the_closed_one(variant: Compose) -> None:
    config = variant.config()
    assert config["networks"]["services"]["internal"]
    assert [list(config["services"][name]["networks"]) for name in SERVICES] == [["services"]] * 3


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_watched_restarted_and_confined(variant: Compose, name: str) -> None:
    service = variant.config()["services"][name]
    assert service["healthcheck"]["start_period"]
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"]
    ours = service["image"].startswith("ragline:")
    assert service.get("read_only", False) is ours
    assert service.get("user") == (None if ours else "2000:0")


@pytest.mark.parametrize("name", ["models", "embed", "score", "generate", "orchestrator", "index"])
def test_images_are_pinned_or_our_own(variant: Compose, name: str) -> None:
    image = variant.config()["services"][name]["image"]
    assert re.fullmatch(r"ragline:(gpu|cpu)|vllm/vllm-openai:v\d+\.\d+\.\d+", image)


def test_on_a_gpu_each_starts_when_the_one_before_is_healthy() -> None:
    services = Compose(GPU, {}).config()["services"]
    assert waits(services["embed"]) == {"models": "service_completed_successfully"}
    assert waits(services["score"]) == {"embed": "service_healthy"}
    assert waits(services["generate"]) == {"score": "service_healthy"}
    assert [device(services[name]) for name in SERVICES] == [["0"]] * 3
    assert services["embed"]["environment"]["RAGLINE_EMBED__DEVICE"] == "cuda"
    assert services["score"]["environment"]["RAGLINE_SCORE__DEVICE"] == "cuda"


def test_search_needs_no_generator_at_the_first_start(variant: Compose) -> None:
    assert waits(variant.config()["services"]["orchestrator"]) == {"models": "service_completed_successfully"}


def test_a_secret_reaches_only_those_who_use_it(variant: Compose) -> None:
    secrets = {"HF_TOKEN": "token-of-the-hub", "RAGLINE_SERVER__API_KEY": "key-of-the-api"}
    services = Compose(variant.files, secrets).config()["services"]
    holders = {
        name: {service for service, config in services.items() if value in str(config.get("environment", {}))}
        for name, value in secrets.items()
    }
    assert holders == {"HF_TOKEN": {"models"}, "RAGLINE_SERVER__API_KEY": {"orchestrator"}}
    files = [path for file in CPU for path in re.findall(r"env_file:.*path: ([^, ]+)", (ROOT / file).read_text())]
    assert set(files) == {"ragline.env"}, "and never .env, where the secrets are"


def test_each_service_can_have_a_card_of_its_own() -> None:
    cards = {"EMBED_GPU": "1", "SCORE_GPU": "2", "GENERATE_GPU": "3"}
    services = Compose(GPU, cards).config()["services"]
    assert [device(services[name]) for name in SERVICES] == [["1"], ["2"], ["3"]]


def test_without_a_gpu_nothing_asks_for_one() -> None:
    services = Compose(CPU, {}).config()["services"]
    assert {service["image"] for service in services.values()} == {"ragline:cpu"}
    assert not [name for name, service in services.items() if service.get("deploy")]
    for name in SERVICES:
        assert waits(services[name]) == {"models": "service_completed_successfully"}
        assert services[name]["environment"]["RAGLINE_PROFILE"] == "cpu"


def test_vllm_serves_the_name_that_the_orchestrator_asks_for() -> None:
    model = {"RAGLINE_GENERATE__MODEL": "Llama-3.1-8B-Instruct"}
    services = Compose(GPU, model).config()["services"]
    asked = services["orchestrator"]["environment"]["RAGLINE_GENERATE__SERVED_MODEL_NAME"]
    assert asked == services["generate"]["environment"]["NAME"] == "Llama-3.1-8B-Instruct"
    assert services["models"]["environment"]["RAGLINE_GENERATE__MODEL"] == asked


def test_the_example_names_every_variable_and_its_default() -> None:
    used = {
        name: default
        for file in CPU
        for name, default in re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", (ROOT / file).read_text())
    } | dict.fromkeys(re.findall(r"^ {6}([A-Z_]+):$", (ROOT / GPU[0]).read_text(), re.MULTILINE), "")
    told = dict(re.findall(r"^#(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    told.pop("COMPOSE_FILE")
    assert told.keys() - used.keys() == set()
    assert used.keys() - told.keys() == {"NO_PROXY"}
    differing = {name for name, default in used.items() if told.get(name, default) != default}
    assert differing == {"DOCS", "PIP_CONF"}, "examples, not defaults"


@pytest.mark.parametrize("line", [line for line in MEMORY.splitlines() if re.match(r"\| \d+ GB ", line)])
def test_what_the_docs_give_vllm_fits_the_card(line: str) -> None:
    """Rows of docs/containers.md: card, GiB, profile, embed + score, fraction, cache, longest, prompts at once."""
    _, _, card, _, others, fraction, cache, longest, prompts, _ = (cell.strip() for cell in line.split("|"))
    own = float(card) * float(fraction)
    gib, tokens, at_once, prompt = (float(n.replace(",", "")) for n in re.findall(r"[\d.,]*\d", f"{cache} {prompts}"))
    assert own + float(others) + SPARE <= float(card)
    left = own - WEIGHTS - (3.2 if float(card) > 70 else 1.6)
    assert gib == pytest.approx(left, abs=0.06)
    assert tokens == pytest.approx(left * 2**20 / KIB_A_TOKEN, rel=0.01)
    assert at_once == pytest.approx(tokens // prompt, abs=1)
    assert int(longest) <= tokens


def test_the_docs_take_their_default_from_the_file() -> None:
    default = Compose(GPU, {}).config()["services"]["generate"]["environment"]
    row = next(line for line in MEMORY.splitlines() if "(the default)" in line)
    assert f"| {default['MEMORY']} |" in row
    assert f"| {default['MAX_MODEL_LEN']} |" in row


def waits(service: dict[str, Any]) -> dict[str, str]:
    return {name: needed["condition"] for name, needed in service.get("depends_on", {}).items()}


def device(service: dict[str, Any]) -> list[str]:
    (reserved,) = service["deploy"]["resources"]["reservations"]["devices"]
    return list(reserved["device_ids"])
