"""Every operation of the OpenAPI document, and of the feed, called with generated requests: valid
and invalid ones.

No answer may be a 5xx, or one that the document doesn't describe.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gatepass.web.api.router import router
from gatepass.web.openapi import openapi_document
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.feed.document import with_feed

CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Surface:
    """An installation, its document and credentials."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.login = installation.sign_in()
        self.key = installation.verifier_key()
        self.token = installation.access_token("charges:get")
        self.schema = schemathesis.openapi.from_dict(_document())
        self.schema.app = self.app

    def known(self, path: str) -> dict[str, str]:
        """Parameters of a path that name records."""
        if path.startswith("/v1/companies/{id}/"):
            token = {"token": self.token[:21]} if "{token}" in path else {}
            return {"id": self.installation.company.id, **token}
        return {"id": self.token[:21]} if "/access-tokens/{id}" in path else {}

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, called by a peer with an address."""
        await self.installation.app({**scope, "client": ("127.0.0.1", 50_000)}, receive, send)

    def call(self, case: Case) -> None:
        """Call an operation with a valid credential, and validate the answer."""
        # Generated credentials would only be token_invalid.
        kept = {k: v for k, v in case.headers.items() if k.lower() not in _CREDENTIALS}
        case.headers.clear()
        case.headers.update(kept)
        case.cookies.clear()
        label = f"{case.method} {case.operation.path}"
        # A feed never ends, so it gets no valid key; other tests read feeds.
        credential = {
            "POST /v1/verify": self.key,
            "POST /v1/feed/acknowledgement": self.key,
            "POST /v1/feed/use": self.key,
            "POST /v1/sign-out": None,
        }.get(label, self.login)
        if credential is None:
            credential = self.installation.sign_in()
        if label == "POST /v1/authentications" and isinstance(case.body, dict):
            # Otherwise throttling would answer all but the first ten.
            case.body = {**case.body, "email": "ada@example.com", "password": PASSWORD}
        if label == "PUT /v1/company/allowlist" and isinstance(case.body, dict):
            # A list on trial would refuse all later calls.
            case.body = {**case.body, "confirm": False}
        case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {credential}"})


_CREDENTIALS = ("authorization", "x-access-token", "cookie")


@pytest.fixture(scope="module")
def surface(postgresql_installation: Installation) -> Surface:
    """On PostgreSQL, which stores less than SQLite."""
    return Surface(postgresql_installation)


def _document() -> dict[str, Any]:
    return with_feed(openapi_document(router, "gatepass", "http://testserver"))


def _operations() -> list[Any]:
    return [
        pytest.param(method, path, mode, id=f"{method} {path} {mode.value}")
        for path, methods in _document()["paths"].items()
        for method in methods
        for mode in GenerationMode
        # Operations without input have no invalid input.
        if mode is GenerationMode.POSITIVE or not path.startswith("/health")
    ]


@pytest.mark.parametrize(("method", "path", "mode"), _operations())
def test_answers_match_the_document(
    surface: Surface, method: str, path: str, mode: GenerationMode
) -> None:
    operation = surface.schema[path][method]

    @settings(max_examples=6, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Case) -> None:
        surface.call(case)
        known = surface.known(path)
        if known.keys() & case.path_parameters.keys():
            case.path_parameters.update(known)
            surface.call(case)
        # Generated roles and permissions are unknown; some records should be created, too.
        if isinstance(case.body, dict) and "permissions" in case.body:
            case.body = {**case.body, "permissions": ["charges:get"], "networks": []}
            surface.call(case)
        elif isinstance(case.body, dict) and "role" in case.body:
            case.body = {**case.body, "role": "customer-service"}
            surface.call(case)

    call()
