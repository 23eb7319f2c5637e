"""The OpenAPI document, ``/v1/openapi.json``.

FastAPI generates the API's part. This module adds the problem documents of each operation, and
``/v1/verify``, the feed and health, which never reach the framework.
"""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi

from gatepass.web.api.changing import HEADER as IDEMPOTENCY_KEY
from gatepass.web.api.confirmation import HEADER
from gatepass.web.api.shapes import ProblemDocument
from gatepass.web.feed.document import feed_paths, feed_schemas, json_answer
from gatepass.web.problems import MEDIA_TYPE

VERSION = version("gatepass")

_DESCRIPTION = """\
Create, restrict, monitor and deactivate access tokens, and authorize calls that present one.

Times are RFC 3339 with an offset; answers have UTC. Errors are problem documents (RFC 9457);
programs should switch on `reason`. Lists are newest first and continue with `cursor`.
"""

_PROBLEMS = {
    400: "The body can't be read.",
    401: "The credential is missing or not valid, or the sign-in failed.",
    403: "The credential is valid, but lacks a permission or isn't allowed from this address.",
    404: "The record doesn't exist, or belongs to another company.",
    405: "The address doesn't support this method.",
    408: "The body must be complete within 15 seconds.",
    409: "The record's state, or a concurrent change, doesn't allow it.",
    410: "The link is broken: used, replaced, expired, or no longer valid because the inviter "
    "lost the right to grant it.",
    413: "The body must be at most 1 MiB; 16 KiB without a credential, 4 KiB to sign in.",
    415: "The body must be application/json.",
    422: "Some fields or parameters aren't valid; `errors` lists them.",
    429: "Too many attempts; `Retry-After` says when to try again.",
    500: "An internal error.",
    503: "Gatepass can't answer this right now. After a change, `not_confirmed` means that it was "
    "made, and `outcome_unknown` that it may have been: check before you retry either.",
}
_UNCONFIRMED = {
    "description": "`false` if this node's copy doesn't include the new record yet (PostgreSQL). "
    "The record exists; this node's decisions include it within seconds.",
    "schema": {"type": "string", "enum": ["false"]},
}
_ALWAYS = (400, 405, 408, 413, 500, 503)
_ANY_TOKEN: list[dict[str, list[str]]] = [
    {"bearer": []},
    {"x-access-token": []},
    {"dashboard": []},
]
#: Operations that are throttled: wrong passwords, or mails.
_MAY_BE_TOO_OFTEN = (("/v1/me/email", "post"), ("/v1/users/{id}/email", "post"))
_SIGN_IN = ("/v1/authentications", "post")
_ACCEPT = ("/v1/invitations/accept", "post")


def openapi_document(api: APIRouter, cookie: str) -> dict[str, Any]:
    """The OpenAPI document of the whole surface.

    Args:
        api: the router of everything under ``/v1``.
        cookie: the name of the dashboard's cookie.
    """
    document = get_openapi(
        title="Gatepass", version=VERSION, description=_DESCRIPTION, routes=api.routes
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    document["paths"].update(_before_the_framework())
    schemas = document["components"]["schemas"]
    schemas.update(feed_schemas())
    # FastAPI's own error schemas, which we never send.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    document["components"]["responses"] = {
        f"Problem{status}": _problem_response(meaning) for status, meaning in _PROBLEMS.items()
    }
    document["components"]["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token (`gpat_…`) or a login token (`gplt_…`); for the "
            "endpoints that say so, an admin key (`gpak_…`).",
        },
        "x-access-token": {
            "type": "apiKey",
            "in": "header",
            "name": "x-access-token",
            "description": "The same, for clients that can't set `Authorization`.",
        },
        "dashboard": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "The dashboard's cookie. Accepted for same-site requests only, and "
            "except for GET and HEAD only with `Content-Type: application/json`.",
        },
    }
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add an operation's security and its problem documents."""
    refusals = set(_ALWAYS) | {422}
    if (path, method) == _SIGN_IN:
        operation["security"] = []
        refusals |= {401, 403, 429}
    elif (path, method) == _ACCEPT:
        # The link's token is the credential.
        operation["security"] = []
        refusals |= {401, 403, 410}
    else:
        operation["security"] = _ANY_TOKEN
        refusals |= {401, 403}
    if "requestBody" in operation:
        refusals.add(415)
    if "{external_id}" in path:
        refusals.add(404)
    if "{id}" in path:
        refusals |= {404, 409} if method != "get" else {404}
    if method == "put" or (path, method) == ("/v1/company", "patch") or _is_repeatable(operation):
        refusals.add(409)
    if (path, method) in _MAY_BE_TOO_OFTEN:
        refusals.add(429)
    if any(parameter["name"] == "user" for parameter in operation.get("parameters", ())):
        refusals.add(404)
    responses = operation["responses"]
    if "201" in responses:
        responses["201"]["headers"] = {HEADER: _UNCONFIRMED}
    for status in sorted(refusals):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}


def _is_repeatable(operation: dict[str, Any]) -> bool:
    """Whether it takes an ``Idempotency-Key``, which may have been used with another body."""
    return any(each["name"] == IDEMPOTENCY_KEY for each in operation.get("parameters", ()))


def _problem_response(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": meaning, "content": {MEDIA_TYPE: {"schema": schema}}}


def _before_the_framework() -> dict[str, Any]:
    refused = {
        str(status): {"$ref": f"#/components/responses/Problem{status}"}
        for status in (*_ALWAYS, 401, 422)
    }
    text = {"type": ["string", "null"]}
    question = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "token": {**text, "description": "The token's text, as the call sent it."},
            "permission": {
                "type": ["string", "null"],
                "pattern": "^[a-z0-9-]+:[a-z0-9-]+$",
                "examples": ["charges:create"],
            },
            "method": {**text, "examples": ["POST"]},
            "path": {**text, "examples": ["/v1/charges"]},
            "address": {**text, "description": "The IP address the call comes from."},
            "origin": {**text, "description": "The call's Origin header."},
            "referer": {**text, "description": "The call's Referer header."},
        },
        "anyOf": [
            {"required": ["permission"], "properties": {"permission": {"type": "string"}}},
            {
                "required": ["method", "path"],
                "properties": {"method": {"type": "string"}, "path": {"type": "string"}},
            },
        ],
        "examples": [{"token": "gpat_…", "permission": "charges:create"}],
    }
    grant = {
        "type": "object",
        "description": "The token and its owner; present if the token's secret matched.",
        "required": ["id", "label", "kind", "company", "user", "permissions", "expires_at"],
        "properties": {
            "id": {"type": "string"},
            "label": {"type": "string"},
            "kind": {"enum": ["api", "ui", "login"]},
            "company": {"type": "string"},
            "user": {"type": "string"},
            "permissions": {"type": "array", "items": {"type": "string"}},
            "expires_at": {"type": ["string", "null"], "format": "date-time"},
        },
    }
    answer = {
        "type": "object",
        "required": ["allowed", "reason", "status"],
        "properties": {
            "allowed": {"type": "boolean"},
            "reason": {"type": "string", "examples": ["allowed", "token_deactivated"]},
            "status": {
                "type": "integer",
                "description": "The HTTP status to refuse the call with.",
            },
            "grant": grant,
        },
    }
    return {
        "/v1/verify": {
            "post": {
                "tags": ["Verify"],
                "operationId": "verify",
                "summary": "Authorize a call",
                "description": "For gateways and services, with a verifier key (`gpvk_…`). Send a "
                "`permission`, `method` and `path`, or all three.",
                "security": [{"bearer": []}, {"x-access-token": []}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": question}},
                },
                "responses": {"200": json_answer("The decision.", answer), **refused},
            }
        },
        "/v1/verify/batch": {
            "post": {
                "tags": ["Verify"],
                "operationId": "verify_batch",
                "summary": "Authorize up to 100 calls",
                "description": "The decisions are in the order of the calls. One invalid call "
                "makes the whole request 422.",
                "security": [{"bearer": []}, {"x-access-token": []}],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["calls"],
                                "additionalProperties": False,
                                "properties": {
                                    "calls": {"type": "array", "items": question, "maxItems": 100}
                                },
                            }
                        }
                    },
                },
                "responses": {
                    "200": json_answer(
                        "The decisions.",
                        {
                            "type": "object",
                            "required": ["decisions"],
                            "properties": {"decisions": {"type": "array", "items": answer}},
                        },
                    ),
                    **refused,
                },
            }
        },
        **feed_paths(refused, {"404": {"$ref": "#/components/responses/Problem404"}}),
        "/health/live": _health(
            "live", "Check that the process answers", {"200": "The process answers."}
        ),
        "/health/ready": _health(
            "ready",
            "Check that the node can make decisions",
            {"200": "It can.", "503": "It can't; `reason` says why."},
        ),
    }


def _health(name: str, summary: str, answers: dict[str, str]) -> dict[str, Any]:
    health = {"type": "object", "required": ["status"], "properties": {"status": {}, "reason": {}}}
    operation = {
        "tags": ["Health"],
        "operationId": f"health_{name}",
        "summary": summary,
        "security": [],
        "responses": {status: json_answer(meaning, health) for status, meaning in answers.items()},
    }
    return {"get": operation}
