"""The API reference and the style guide."""

from typing import Any

from gatepass.web import pages
from gatepass.web.app import create_app
from gatepass.web.pages.reference.api_reference import reference
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

DOCUMENT: dict[str, Any] = {
    "info": {"version": "1", "description": "All of it."},
    "paths": {
        "/things/{id}": {
            "post": {
                "tags": ["Things"],
                "summary": "Change it",
                "operationId": "change",
                "parameters": [
                    {"name": "id", "in": "path", "schema": {"type": "string"}},
                    {
                        "name": "limit",
                        "in": "query",
                        "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    },
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}
                    }
                },
                "responses": {
                    "200": {"description": "Done."},
                    "404": {"$ref": "#/components/responses/Problem404"},
                    "500": {"$ref": "#/components/responses/Problem500"},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "examples": ["it's"], "description": "Its `name`."},
                    "kind": {"enum": ["a", "b"]},
                    "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "Part": {"properties": {"size": {"type": "integer"}}},
        },
        "responses": {
            f"Problem{status}": {"description": f"Problem {status}."}
            for status in (400, 404, 405, 408, 413, 415, 500, 503)
        },
    },
}


def test_a_document_is_grouped_by_tag() -> None:
    arranged = reference(DOCUMENT, "https://gatepass.example")
    (subject,) = arranged.subjects
    (operation,) = subject.operations
    assert (subject.name, operation.method, operation.anchor) == ("Things", "POST", "change")
    assert [(row.name, row.kind, row.required) for row in operation.body] == [
        ("name", "text", True),
        ("kind", '"a" or "b"', False),
        ("at", "time or null", False),
        ("parts", "list of anything", False),
        ("parts[].size", "whole number", False),
    ]
    assert [(row.name, row.kind) for row in operation.query] == [("limit", "whole number")]
    assert operation.errors == (("404", "Problem 404."),)
    assert operation.curl == (
        "curl -X POST https://gatepass.example/things/ID \\\n"
        '  -H "Authorization: Bearer $GATEPASS_TOKEN" \\\n'
        "  --json '{\"name\": \"it'\\''s\"}'"
    )


def test_every_operation_is_shown_to_everyone(installation: Installation, stranger: Visit) -> None:
    page = stranger.get("/v1/docs")
    assert page.answer.status_code == 200
    document = stranger.client.get("/v1/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in page.text, path
    assert "Sign in" in page.links
    anchors = {href[1:] for href in page.links.values() if href.startswith("#")}
    assert anchors <= {each.get("id") for _, each in page.elements}


def test_signed_in_users_see_their_menu(ada: Visit) -> None:
    page = ada.get("/v1/docs")
    assert "Ada Lovelace" in page.text
    assert page.links["API documentation"] == "/v1/docs"


def test_the_style_guide_must_be_mounted(installation: Installation, stranger: Visit) -> None:
    assert stranger.get("/styleguide").answer.status_code == 404
    shown = Installation.__new__(Installation)
    shown.node = installation.node
    shown.app = create_app(installation.node, [pages.styleguide_router])
    page = Visit(shown.client()).get("/styleguide")
    assert page.answer.status_code == 200
    page.shows(
        "Active",
        "Expired",
        "Deactivated",
        "No access tokens yet",
        "No matching tokens",
        "Not saved: 3 fields need your attention",
        "Deactivate Permanently",
        "permission_missing",
    )
    assert "unsafe" not in page.answer.headers["content-security-policy"]
