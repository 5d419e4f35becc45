"""The bundled generator, and one server of it for the session."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest


@pytest.fixture(scope="session")
def generate_server(generate_folder: Path, launch):
    return launch("--task", "generate", "--served-model-name", "gen")


@pytest.fixture(scope="session")
def client(generate_server) -> Iterator[httpx2.Client]:
    with generate_server.client() as client:
        yield client


@pytest.fixture(scope="session")
def sdk(generate_server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{generate_server.url}/v1", api_key="none", max_retries=0) as client:
        yield client
