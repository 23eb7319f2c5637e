"""The feed in OpenAPI's terms, for generated requests. The public document leaves it out."""

from typing import Any

import msgspec

from gatepass.verify.replica.frames import MEDIA_TYPE
from gatepass.web.feed.acknowledgement import Acknowledgement
from gatepass.web.feed.limits import MOST_NAMED
from gatepass.web.feed.usage_report import UsageReport

_KEY: list[dict[str, list[str]]] = [{"verifier-key": []}, {"x-access-token": []}]


def with_feed(document: dict[str, Any]) -> dict[str, Any]:
    """The public *document* and the feed."""
    schemas = {**document["components"]["schemas"], **_schemas()}
    return {
        **document,
        "paths": {**document["paths"], **_paths()},
        "components": {**document["components"], "schemas": schemas},
    }


def _paths() -> dict[str, Any]:
    refused = {
        str(status): {"$ref": f"#/components/responses/Problem{status}"}
        for status in (400, 401, 404, 405, 408, 413, 422, 500, 503)
    }
    return {
        "/v1/feed": {
            "get": {
                "tags": ["Feed"],
                "operationId": "feed",
                "summary": "Follow the grants",
                "description": "For embedded verifiers, with a verifier key (`gpvk_…`): a stream "
                "of binary frames that stays open for minutes. It begins with a snapshot, or with "
                "the changes since `revision` and `tag`; then come changes as they happen, and a "
                "heartbeat every second. The format is in `docs/reference/feed.md`.",
                "security": _KEY,
                "parameters": [
                    _parameter("node", "The follower's id.", {"pattern": "^node_[0-9A-Za-z]{16}$"}),
                    _parameter("name", "Its machine's name.", {"maxLength": 253}),
                    _parameter("version", "Its version.", {"maxLength": 64}),
                    _parameter(
                        "revision",
                        "The revision of its copy.",
                        {"type": "integer", "minimum": 0},
                        required=False,
                    ),
                    _parameter(
                        "tag",
                        "That revision's tag.",
                        {"pattern": "^[0-9a-f]{16}$"},
                        required=False,
                    ),
                    _names("company", "Only what belongs to these companies (ids)."),
                    _names("permission", "Only tokens that hold one of these permissions."),
                ],
                "responses": {
                    "200": {"description": "The stream.", "content": {MEDIA_TYPE: {"schema": {}}}},
                    **refused,
                },
            }
        },
        "/v1/feed/acknowledgement": {
            "post": {
                "tags": ["Feed"],
                "operationId": "feed_acknowledgement",
                "summary": "Acknowledge the position of the follower's copy",
                "description": "Stored when this answers; deactivation receipts include it.",
                "security": _KEY,
                "parameters": [
                    {
                        "name": "use_age_ms",
                        "in": "query",
                        "description": "All calls allowed until so many ms ago are reported.",
                        "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
                    }
                ],
                "requestBody": _body(Acknowledgement),
                "responses": {"200": _json_answer("Stored.", {"type": "object"}), **refused},
            }
        },
        "/v1/feed/use": {
            "post": {
                "tags": ["Feed"],
                "operationId": "feed_use",
                "summary": "Report the follower's usage counts",
                "description": "Idempotent: a report that is sent twice counts once.",
                "security": _KEY,
                "requestBody": _body(UsageReport),
                "responses": {
                    "200": _json_answer(
                        "The offset up to which this spool is counted; continue from there.",
                        {
                            "type": "object",
                            "required": ["folded_to"],
                            "properties": {"folded_to": {"type": "integer"}},
                        },
                    ),
                    **refused,
                },
            }
        },
    }


def _schemas() -> dict[str, Any]:
    kinds = [Acknowledgement, UsageReport]
    return msgspec.json.schema_components(kinds, ref_template=_REFERENCE)[1]


_REFERENCE = "#/components/schemas/{name}"


def _parameter(
    name: str, description: str, schema: dict[str, Any], *, required: bool = True
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _names(name: str, description: str) -> dict[str, Any]:
    many = {"type": "array", "items": {"type": "string"}, "maxItems": MOST_NAMED}
    return _parameter(name, description + " May be repeated.", many, required=False)


def _body(kind: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name=kind.__name__)}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _json_answer(meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}
