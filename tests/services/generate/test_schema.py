"""Whatever the schema allows is answered with a documented status and body, and never with a 5xx."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from services.settings import ServiceSettings

CHECKS = [schemathesis.checks.not_a_server_error, status_code_conformance, response_schema_conformance]

MANY = 16
ALLOWED = ServiceSettings().max_documents
"""Choices of one request."""


def test_every_route_keeps_to_the_schema(generate_server):
    schema = schemathesis.openapi.from_url(f"{generate_server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 8
    for operation in operations:
        _fuzz(operation)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Say hi"}]}),
        ("/v1/completions", {"prompt": "Say hi"}),
    ],
)
def test_streams_keep_to_the_schema(generate_server, path, body):
    """Which few of the fuzzed bodies ask for."""
    operation = schemathesis.openapi.from_url(f"{generate_server.url}/openapi.json")[path]["POST"]
    case = operation.Case(body=body | {"stream": True, "max_tokens": 4}, media_type="application/json")
    answer = case.call_and_validate(checks=CHECKS, timeout=60)
    assert answer.headers["content-type"][0].startswith("text/event-stream")


def _fuzz(operation):
    @given(case=operation.as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def ask(case):
        if isinstance(case.body, dict):  # short answers and few, or the fuzzing takes hours; more than allowed stays so
            case.body["max_tokens"] = case.body["max_completion_tokens"] = 4
            case.body["min_tokens"] = 0
            if case.body.get("n") in range(MANY, ALLOWED + 1):
                case.body["n"] = MANY
        case.call_and_validate(checks=CHECKS, timeout=60)

    ask()
