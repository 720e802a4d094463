"""/openapi.json is true: generated requests find no 500 and no answer off the document."""
import os

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from minimax_server import PARSERS, Server

# More by command: OPENAPI_EXAMPLES=200 .venv/bin/python -m pytest tests/test_openapi.py --timeout 3600
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "5"))
CHECKS = [not_a_server_error, checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]


@pytest.fixture(scope="module")
def short_server():
    # Few tokens, so that many requests fit into the time.
    server = Server(*PARSERS, "--override-generation-config", '{"max_new_tokens": 3}')
    yield server
    assert server.stop() == 0


def test_generated_requests_get_answers_of_the_document(short_server):
    document = schemathesis.openapi.from_url(short_server.url + "/openapi.json")
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) > 15
    statuses = set()
    for operation in operations:
        @hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck),
                             phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
        @hypothesis.given(case=operation.as_strategy())
        def ask(case):
            statuses.add(case.call_and_validate(checks=CHECKS, timeout=30).status_code)
        ask()
    assert {200, 400, 404} <= statuses and not any(status >= 500 for status in statuses)


def test_every_path_of_the_document_is_served_and_the_other_way_round(short_server):
    document = httpx.get(short_server.url + "/openapi.json").json()
    assert document["openapi"].startswith("3.1") and document["info"]["version"] == httpx.get(short_server.url + "/version").json()["version"]
    for path, methods in document["paths"].items():
        here = path.replace("{response_id}", "x").replace("{model}", "tiny")
        allowed = httpx.options(short_server.url + here).headers["allow"].lower()
        assert all(method in allowed for method in methods), path
