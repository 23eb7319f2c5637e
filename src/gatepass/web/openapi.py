"""The OpenAPI document, ``/v1/openapi.json``.

FastAPI describes each route's path, parameters and answer. This module derives the rest from the
same routes: bodies and their schemas, credentials, refusals, headers and examples. The feed, which
only embedded verifiers speak, isn't in it (``docs/reference/feed.md``).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gatepass.core.reason import STATUS
from gatepass.web.api import verification
from gatepass.web.api.confirmation import HEADER
from gatepass.web.api.request_body import body_model
from gatepass.web.api.router import dependencies
from gatepass.web.api.shapes import Problem, Record
from gatepass.web.problems import MEDIA_TYPE, SENTENCES, problem_of_status
from gatepass.web.schema_examples import example

VERSION = version("gatepass")

_DESCRIPTION = """\
Create, restrict, monitor and deactivate access tokens, and authorize calls that present one.

Times are RFC 3339 with an offset; answers have UTC. Errors are problem documents (RFC 9457);
programs should switch on `reason`. Lists are newest first and continue with `cursor`; a page has
up to 50 records unless `limit` says otherwise.
"""
_CONTACT = {"name": "The Gatepass developers"}
_LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}

#: A sentence for each tag, in the order of the document.
_TAGS = {
    "Authentications": "Sign-ins, and the credential in use.",
    "Permissions": "The catalogue of permissions.",
    "Catalogue": "The catalogue's text and its versions, for operators.",
    "Access tokens": "Long-lived credentials of API clients and pages.",
    "Decisions": "Why a call is allowed or refused, and what would allow it.",
    "Access requests": "Access tokens that ask for a permission, and exceptions that allow it.",
    "Company": "The company's account and its allowlist.",
    "Invitations": "Links by which new users join the company.",
    "Users": "The company's people, their roles and e-mail addresses.",
    "Service accounts": "Owners of access tokens that aren't people.",
    "Roles": "Named sets of permissions for users.",
    "Webhooks": "Requests that tell other systems of the company's events.",
    "Audit": "Who did what, when, from where.",
    "Verifier keys": "Credentials of gateways and services that authorize calls.",
    "Admin keys": "Credentials with which a platform's backend manages companies.",
    "Reported credentials": "Ends credentials that were found where they shouldn't be.",
    "Portal sessions": "An owner's access tokens, managed on a page of another product.",
    "Companies": "All companies of the installation, for its operators and admin keys.",
    "Owners": "Service accounts and external owners of a company, likewise.",
    "Companies' access tokens": "The access tokens of a company, likewise.",
    "Nodes": "Everything that makes decisions, and how current it is.",
    "Verify": "Decisions about calls, for gateways and services.",
    "Health": "For load balancers and monitoring.",
}

_PROBLEMS = {
    400: "The body can't be read.",
    401: "The credential is missing or not valid, or the sign-in failed.",
    403: "The credential is valid, but lacks a permission or isn't allowed from this address.",
    404: "The record doesn't exist, or belongs to another company.",
    405: "The address doesn't support this method.",
    408: "The body must be complete within 15 seconds.",
    409: "The record's state, or a concurrent change, doesn't allow it.",
    410: "The link or code is broken: used, replaced, expired, or no longer valid because its "
    "maker lost the right to give it.",
    413: "The body must be at most 1 MiB; 16 KiB without a credential, 4 KiB to sign in.",
    415: "The body must be application/json.",
    422: "Some fields or parameters aren't valid; `errors` lists them.",
    429: "Too many attempts; `Retry-After` says when to try again.",
    500: "An internal error.",
    503: "Gatepass can't answer this right now. After a change, `not_confirmed` means that it was "
    "made, and `outcome_unknown` that it may have been: check before you retry either.",
}
#: Reasons beside the decisions' own. What only a few operations answer, these describe themselves.
_REASONS = {
    401: ("sign_in_failed",),
    403: (
        "signed_in_user_required",
        "operator_required",
        "admin_key",
        "portal_session",
        "second_factor_required",
    ),
    409: ("changed_meanwhile", "ended", "idempotency_mismatch"),
    410: ("invitation_broken", "code_broken"),
    429: ("too_many_attempts",),
    503: ("unavailable", "stale", "not_confirmed", "outcome_unknown"),
}
_ALWAYS = frozenset((400, 405, 408, 413, 422, 500, 503))


def _header(description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


_CONFIRMED = _header(
    "`false` if this node's copy doesn't include the new record yet (PostgreSQL). The record "
    "exists; this node's decisions include it within seconds.",
    {"type": "string", "enum": ["false"]},
)
_ETAG = _header(
    "The record's version, to send as `If-Match`.",
    {"type": "string", "examples": ['"4fT0aB3cD5eF7gH9"']},
    required=True,
)
_LOCATION = _header(
    "The new record's address.", {"type": "string", "format": "uri-reference"}, required=True
)
_CHALLENGE = _header("The challenge (RFC 6750).", {"type": "string"})
_RETRY_AFTER = _header("Seconds to wait before trying again.", {"type": "integer", "minimum": 1})
_PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": {**_CHALLENGE, "required": True}},
    403: {"WWW-Authenticate": _CHALLENGE},
    405: {"Allow": _header("The methods that it supports.", {"type": "string"})},
    429: {"Retry-After": {**_RETRY_AFTER, "required": True}},
    503: {"Retry-After": _RETRY_AFTER},
}


def openapi_document(api: APIRouter, cookie: str, public_url: str) -> dict[str, Any]:
    """The OpenAPI document of the whole surface.

    Args:
        api: the router of everything under ``/v1``.
        cookie: the name of the dashboard's cookie.
        public_url: where the API is served.

    Raises:
        ValueError: two models have the same name.
    """
    routes = {
        route.unique_id: route
        for route in (*api.routes, *verification.router.routes)
        if isinstance(route, APIRoute)
    }
    document = get_openapi(
        title="Gatepass",
        version=VERSION,
        description=_DESCRIPTION,
        routes=[*api.routes, *verification.router.routes],
        servers=[{"url": public_url}],
        contact=_CONTACT,
        license_info=_LICENSE,
    )
    document["tags"] = _tags(routes.values())
    schemas = document["components"]["schemas"]
    # FastAPI's own error schemas, which we never send.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _name_by_title(document)
    _add(schemas, _body_schemas([one for one in routes.values() if one.include_in_schema]))
    document["components"]["responses"] = {
        _problem_name(status): _problem_response(status) for status in _PROBLEMS
    }
    document["components"]["securitySchemes"] = _security_schemes(cookie)
    paths = document["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            _complete(operation, routes[operation["operationId"]])
            # A record that has an address of its own.
            if any("get" in paths[one] for one in _below(path, paths)):
                for status in {"201"} & operation["responses"].keys():
                    operation["responses"][status]["headers"]["Location"] = _LOCATION
    _tidy(paths)
    _tidy(document["components"])
    for name, schema in schemas.items():
        if "properties" in schema:
            schemas[name] = {**schema, "examples": [example(document, schema)]}
    return document


def _below(path: str, paths: dict[str, Any]) -> list[str]:
    """The addresses of single records in the list that *path* adds to."""
    listed = re.escape(path.removesuffix("/by-external-id/{external_id}"))
    return [one for one in paths if re.fullmatch(listed + r"/\{\w+\}", one)]


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    """Add to *operation* what follows from its route."""
    model = body_model(route)
    calls = dependencies(route.dependant)
    accepted = next((call.accepts for call in calls if hasattr(call, "accepts")), ())
    operation["security"] = [{scheme: []} for scheme in accepted]
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        parameter["schema"] = _given(parameter["schema"])
        # The parameter has it already.
        parameter["schema"].pop("description", None)
        if parameter["name"] == "If-Match":
            # A client sends one; the header may list several.
            parameter["schema"] = {"type": "string", "examples": ['"4fT0aB3cD5eF7gH9"']}
    if model is not None:
        schema = {"$ref": _REFERENCE.format(model=model.__name__)}
        operation["requestBody"] = {
            "required": not model.may_be_absent,
            "content": {"application/json": {"schema": schema}},
        }
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            headers = _answer_headers(status, route.response_model)
            if headers:
                response["headers"] = headers
    # Health takes no input, and 503 is its answer, not a refusal.
    always = _ALWAYS if "Health" not in route.tags else {405}
    refusals = always | {int(status) for status in route.responses if int(status) >= 400}
    if operation["security"]:
        refusals |= {401} if "verifier-key" in operation["security"][0] else {401, 403}
    if model is not None and "Verify" not in route.tags:
        refusals |= {415}
    if any(parameter["in"] == "path" for parameter in parameters):
        refusals |= {404} if route.methods == {"GET"} else {404, 409}
    # A condition: If-Match and the like.
    if any(parameter["in"] == "header" for parameter in parameters):
        refusals |= {409}
    described = {int(status) for status, more in route.responses.items() if more.get("model")}
    for refusal in sorted(refusals - described):
        name = f"#/components/responses/{_problem_name(refusal)}"
        operation["responses"][str(refusal)] = {"$ref": name}
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that is given: it can be absent, but not null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**kinds[0], **rest}


def _answer_headers(status: str, model: Any) -> dict[str, Any]:
    headers = {}
    if isinstance(model, type) and issubclass(model, Record) and model.etag is not None:
        headers["ETag"] = _ETAG
    if status in ("201", "202"):
        headers[HEADER] = _CONFIRMED
    return headers


def _tags(routes: Collection[APIRoute]) -> list[dict[str, str]]:
    used = {str(tag) for route in routes for tag in route.tags}
    # A tag without a sentence fails a test.
    names = [*(name for name in _TAGS if name in used), *sorted(used - _TAGS.keys())]
    return [{"name": name, "description": _TAGS.get(name, name)} for name in names]


# --- schemas --------------------------------------------------------------------------------------

_REFERENCE = "#/components/schemas/{model}"


def _body_schemas(routes: Collection[APIRoute]) -> dict[str, Any]:
    """The schemas of all bodies, and of the problem document."""
    models: set[type[BaseModel]] = {Problem}
    models |= {model for model in map(body_model, routes) if model is not None}
    wanted = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in wanted], ref_template=_REFERENCE
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def _name_by_title(document: dict[str, Any]) -> None:
    """Name each schema by its title: FastAPI names ``AccessTokenList`` after its generic type."""
    schemas = document["components"]["schemas"]
    titles = {name: schema.get("title", name) for name, schema in schemas.items()}
    renamed = {
        _REFERENCE.format(model=name): _REFERENCE.format(model=title)
        for name, title in titles.items()
        if name != title
    }
    for name, title in titles.items():
        if name != title:
            _add(schemas, {title: schemas.pop(name)})
    _refer(document, renamed)


def _refer(part: Any, renamed: Mapping[str, str]) -> None:
    if isinstance(part, list):
        for each in part:
            _refer(each, renamed)
    if isinstance(part, dict):
        if part.get("$ref") in renamed:
            part["$ref"] = renamed[part["$ref"]]
        for each in part.values():
            _refer(each, renamed)


def _add(schemas: dict[str, Any], more: dict[str, Any]) -> None:
    for name, schema in more.items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two models are named {name}")


#: Members whose values are data, not schemas.
_DATA = ("examples", "example", "enum", "const")


def _tidy(schema: Any) -> None:
    """Remove titles, which repeat the names, and defaults.

    Generated clients would send a default, although the absence of a field has a meaning of its own
    where a record is changed; descriptions say what it means elsewhere.
    """
    if isinstance(schema, list):
        for each in schema:
            _tidy(each)
    if not isinstance(schema, dict):
        return
    # A property may have one of these names; its value is a schema.
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if not isinstance(schema.get("default"), dict) or "type" in schema:
        schema.pop("default", None)
    for key, value in schema.items():
        if key not in _DATA:
            _tidy(value)


# --- problems and credentials ---------------------------------------------------------------------


def _problem_name(status: int) -> str:
    return f"Problem{status}"


def _problem_response(status: int) -> dict[str, Any]:
    reasons = [reason.value for reason, code in STATUS.items() if code == status]
    reasons += _REASONS.get(status, ())
    description = _PROBLEMS[status]
    if reasons:
        description += f" Reasons: {', '.join(f'`{reason}`' for reason in reasons)}."
    shown = problem_of_status(status)
    if reasons:
        detail = SENTENCES.get(reasons[0], _PROBLEMS[status])
        shown = replace(shown, reason=reasons[0], detail=detail)
    schema = {"$ref": _REFERENCE.format(model="Problem")}
    content = {"schema": schema, "example": shown.document()}
    response = {"description": description, "content": {MEDIA_TYPE: content}}
    if status in _PROBLEM_HEADERS:
        response["headers"] = _PROBLEM_HEADERS[status]
    return response


def _security_schemes(cookie: str) -> dict[str, Any]:
    return {
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
        "portal-session": {
            "type": "http",
            "scheme": "bearer",
            "description": "A portal session's token (`gpps_…`), from a page of the session. It "
            "reaches its owner's access tokens alone; every other endpoint is 403 "
            "`portal_session`.",
        },
        "verifier-key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A verifier key (`gpvk_…`), of a gateway or service.",
        },
    }
