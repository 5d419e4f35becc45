"""Whatever the OpenAPI schema allows is answered with a documented status and body, and never with a 5xx."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("server", ["embed_server", "score_server"])
def test_every_route_keeps_to_the_schema(server, request):
    url = request.getfixturevalue(server).url
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 15
    fuzzed = set()
    for operation in operations:
        raw = operation.definition.raw
        takes = json.dumps([raw.get("parameters"), raw.get("requestBody")])
        _fuzz(operation, 2 if takes in fuzzed else 12)  # most are one function at several paths
        fuzzed.add(takes)


def _fuzz(operation, examples):
    @given(case=operation.as_strategy())
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def ask(case):
        case.call_and_validate(checks=CHECKS, timeout=30)

    ask()
