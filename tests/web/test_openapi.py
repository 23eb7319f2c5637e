"""``/v1/openapi.json`` describes every operation."""

from typing import Any

import pytest

from gatepass.web.api import router
from gatepass.web.openapi import openapi_document
from tests.support.apps.installation import Installation

OPERATIONS = {
    "POST /v1/authentications",
    "GET /v1/authentications",
    "POST /v1/authentications/{id}/deactivate",
    "POST /v1/authentications/deactivate-others",
    "POST /v1/sign-out",
    "GET /v1/me",
    "GET /v1/permissions",
    "POST /v1/access-tokens",
    "GET /v1/access-tokens",
    "GET /v1/access-tokens/{id}",
    "PATCH /v1/access-tokens/{id}",
    "POST /v1/access-tokens/{id}/deactivate",
    "GET /v1/access-tokens/{id}/receipt",
    "GET /v1/company/allowlist",
    "PUT /v1/company/allowlist",
    "POST /v1/company/allowlist/preview",
    "POST /v1/invitations",
    "GET /v1/invitations",
    "POST /v1/invitations/accept",
    "POST /v1/invitations/{id}/link",
    "POST /v1/invitations/{id}/resend",
    "POST /v1/invitations/{id}/deactivate",
    "GET /v1/users",
    "GET /v1/users/{id}",
    "PATCH /v1/users/{id}",
    "POST /v1/users/{id}/deactivate",
    "POST /v1/users/{id}/second-factor/deactivate",
    "GET /v1/users/{id}/email",
    "POST /v1/users/{id}/email",
    "POST /v1/users/{id}/email/cancel",
    "GET /v1/me/email",
    "POST /v1/me/email",
    "POST /v1/me/email/cancel",
    "GET /v1/roles",
    "POST /v1/roles",
    "GET /v1/roles/{id}",
    "PATCH /v1/roles/{id}",
    "DELETE /v1/roles/{id}",
    "GET /v1/company",
    "PATCH /v1/company",
    "GET /v1/audit-events",
    "GET /v1/audit-events/export",
    "GET /v1/nodes",
    "GET /v1/verifier-keys",
    "POST /v1/verifier-keys",
    "GET /v1/admin-keys",
    "POST /v1/admin-keys",
    "POST /v1/admin-keys/{id}/deactivate",
    "GET /v1/companies",
    "GET /v1/companies/{id}",
    "PATCH /v1/companies/{id}",
    "POST /v1/companies/{id}/deactivate",
    "PUT /v1/companies/by-external-id/{external_id}",
    "POST /v1/verifier-keys/{id}/deactivate",
    "POST /v1/verify",
    "POST /v1/verify/batch",
    "GET /v1/feed",
    "POST /v1/feed/acknowledgement",
    "POST /v1/feed/use",
    "GET /health/live",
    "GET /health/ready",
}

#: Served without the framework, for verifier keys.
VERIFIERS = {
    "POST /v1/verify",
    "POST /v1/verify/batch",
    "GET /v1/feed",
    "POST /v1/feed/acknowledgement",
    "POST /v1/feed/use",
}

OPEN = {
    "POST /v1/authentications",
    "POST /v1/invitations/accept",
    "GET /health/live",
    "GET /health/ready",
}


@pytest.fixture
def document(installation: Installation) -> Any:
    return installation.client().get("/v1/openapi.json").json()


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_has_its_body_and_its_problems(
    document: Any,
) -> None:
    found = operations(document)
    assert set(found) == OPERATIONS
    assert len({one["operationId"] for one in found.values()}) == len(found)
    for name, operation in found.items():
        assert operation["summary"], name
        assert operation["tags"], name
        if name.startswith("GET /health"):
            continue
        for status in ("400", "401", "408", "413", "422", "500", "503"):
            reference = operation["responses"][status]["$ref"]
            assert reference == f"#/components/responses/Problem{status}", name
        if "{id}" in name:
            assert "404" in operation["responses"], name
        taken = operation.get("requestBody", {}).get("content", {})
        assert set(taken) <= {"application/json"}, name
        assert ("requestBody" in operation) is (not name.startswith(("GET", "DELETE"))), name
        assert ("415" in operation["responses"]) is bool(taken and name not in VERIFIERS), name


def test_every_operation_names_its_security_schemes(document: Any) -> None:
    found = operations(document)
    for name, operation in found.items():
        schemes = {scheme for one in operation["security"] for scheme in one}
        if name in OPEN:
            assert schemes == set(), name
        elif name in VERIFIERS:
            assert schemes == {"bearer", "x-access-token"}
        else:
            assert schemes == {"bearer", "x-access-token", "dashboard"}, name
    assert document["components"]["securitySchemes"]["dashboard"]["name"] == "gatepass"


def test_every_reference_resolves_and_no_framework_schema_is_left(
    document: Any,
) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for inner in value.values() for found in references(inner)]
        if isinstance(value, list):
            return [found for inner in value for found in references(inner)]
        return []

    found = references(document)
    assert len(found) > 100
    for reference in found:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    assert "HTTPValidationError" not in str(document)


def test_schemas_have_formats_and_limits(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["AccessToken"]["properties"]["created_at"]["format"] == "date-time"
    created = operations(document)["POST /v1/access-tokens"]
    taken = created["requestBody"]["content"]["application/json"]["schema"]
    assert taken["additionalProperties"] is False
    assert taken["required"] == ["label", "kind", "permissions"]
    assert taken["properties"]["label"]["maxLength"] == 100
    assert taken["properties"]["networks"]["maxItems"] == 500


def test_the_cookie_scheme_has_the_cookies_name() -> None:
    document = openapi_document(router, "__Host-gatepass")
    assert document["components"]["securitySchemes"]["dashboard"]["name"] == "__Host-gatepass"


def test_every_201_has_the_confirmation_header(installation: Installation) -> None:
    paths = openapi_document(router, "gatepass")["paths"]
    created = [
        operation["responses"]["201"]
        for operations in paths.values()
        for operation in operations.values()
        if "201" in operation["responses"]
    ]
    assert created
    assert all("Gatepass-Confirmed" in response["headers"] for response in created)
