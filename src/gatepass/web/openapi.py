"""``/v1/openapi.json``: what FastAPI knows of the API, and what it can't know.

Everything can be refused with a problem document; ``/v1/verify``, the feed and health are answered
before the framework. Both are written down here.
"""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi

from gatepass.web.api.confirmation import HEADER
from gatepass.web.api.shapes import ProblemDocument
from gatepass.web.feed.document import feed_paths, feed_schemas
from gatepass.web.problems import MEDIA_TYPE

VERSION = version("gatepass")

_DESCRIPTION = """\
Make, limit, watch and deactivate access tokens, and ask whether one may do this, from here, now.

Times are RFC 3339 with an offset, and are sent in UTC. Errors are problem documents (RFC 9457); go
by their `reason`. Lists are newest first and continue with `cursor`.
"""

_PROBLEMS = {
    400: "The body can't be read.",
    401: "No credential, or not one that is good; or the sign-in failed.",
    403: "The credential is good, but not for this, or not from here.",
    404: "There is no such thing, or it belongs to another company.",
    405: "The address doesn't answer this method.",
    408: "The body must be complete within 15 seconds.",
    409: "Its state, or another change, doesn't allow it.",
    410: "The link is broken: used, replaced, expired, or no longer valid because the inviter "
    "lost the right to grant it.",
    413: "The body must be at most 1 MiB; 16 KiB without a credential, 4 KiB to sign in.",
    415: "The body must be application/json.",
    422: "What was sent can't be accepted as it stands; `errors` says what.",
    429: "Too many attempts; `Retry-After` says when to try again.",
    500: "A fault of ours.",
    503: "It can't be answered right now. Of a change, go by `reason`: `not_confirmed` was made "
    "and stands, `outcome_unknown` may have been; don't repeat either unseen.",
}
_UNCONFIRMED = {
    "description": "`false` if this node has not caught up with what was created (PostgreSQL). It "
    "stands; this node decides by it within seconds.",
    "schema": {"type": "string", "enum": ["false"]},
}
_ALWAYS = (400, 405, 408, 413, 500, 503)
_ANY_TOKEN: list[dict[str, list[str]]] = [
    {"bearer": []},
    {"x-access-token": []},
    {"dashboard": []},
]
#: What can be in conflict without being named by an id.
_MAY_CONFLICT = (
    *(("/v1/roles", "post"), ("/v1/company", "patch")),
    *(("/v1/invitations", "post"), ("/v1/me/email", "post")),
)
#: Too many wrong passwords, or too many mails.
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
    # FastAPI's own form of errors, which is never sent.
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
            "description": "An access token (`gpat_…`) or a login token (`gplt_…`).",
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
            "description": "The dashboard's cookie. It counts only for same-site requests, and "
            "where something is to change only with `Content-Type: application/json`.",
        },
    }
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add who may call it, and every way in which it can be refused."""
    refusals = set(_ALWAYS) | {422}
    if (path, method) == _SIGN_IN:
        operation["security"] = []
        refusals |= {401, 403, 429}
    elif (path, method) == _ACCEPT:
        # Whoever holds the link needs nothing else.
        operation["security"] = []
        refusals |= {401, 403, 410}
    else:
        operation["security"] = _ANY_TOKEN
        refusals |= {401, 403}
    if "requestBody" in operation:
        refusals.add(415)
    if "{id}" in path:
        refusals |= {404, 409} if method != "get" else {404}
    if method == "put" or (path, method) in _MAY_CONFLICT:
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
            "token": {**text, "description": "The token's text, as it was presented."},
            "permission": {
                "type": ["string", "null"],
                "pattern": "^[a-z0-9-]+:[a-z0-9-]+$",
                "examples": ["charges:create"],
            },
            "method": {**text, "examples": ["POST"]},
            "path": {**text, "examples": ["/v1/charges"]},
            "address": {**text, "description": "Where the call comes from."},
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
        "description": "Of whom and what; there once the token's secret matched.",
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
            "status": {"type": "integer", "description": "What to answer the call with."},
            "grant": grant,
        },
    }
    health = {"type": "object", "required": ["status"], "properties": {"status": {}, "reason": {}}}
    return {
        "/v1/verify": {
            "post": {
                "tags": ["Verify"],
                "operationId": "verify",
                "summary": "May this token do this, from here, now?",
                "description": "For gateways and services, with a verifier key (`gpvk_…`). Ask "
                "for a `permission`, for `method` and `path`, or for all three.",
                "security": [{"bearer": []}, {"x-access-token": []}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": question}},
                },
                "responses": {"200": _json("The decision.", answer), **refused},
            }
        },
        **feed_paths(refused, {"404": {"$ref": "#/components/responses/Problem404"}}),
        "/health/live": {
            "get": {
                "tags": ["Health"],
                "operationId": "health_live",
                "summary": "Does this process answer?",
                "security": [],
                "responses": {"200": _json("It does.", health)},
            }
        },
        "/health/ready": {
            "get": {
                "tags": ["Health"],
                "operationId": "health_ready",
                "summary": "Can this node decide?",
                "security": [],
                "responses": {
                    "200": _json("It can.", health),
                    "503": _json("It can't, for the reason that is given.", health),
                },
            }
        },
    }


def _json(meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}
