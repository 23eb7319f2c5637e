"""The OpenAPI document as a reference: by subject, with fields in words and a curl example each.

No endpoint is named here, so new ones appear by themselves.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatepass.web.schema_examples import JsonSchema, example, followed

Document = Mapping[str, Any]

#: Errors that any request can get, which the page lists once.
COMMON = ("400", "405", "408", "413", "415", "500", "503")
_DEEPEST = 2
_SAMPLE_ID = "ID"


@dataclass(frozen=True)
class FieldRow:
    """One field of a body, an answer or a query. The ``name`` of a nested field is its path."""

    name: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        anchor: its id on the page.
        query, body, answer: the fields of each.
        status: of the successful answer.
        errors: (status, meaning) of its errors, except the common ones.
        curl: an example command.
    """

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    query: tuple[FieldRow, ...]
    body: tuple[FieldRow, ...]
    status: str
    answer: tuple[FieldRow, ...]
    errors: tuple[tuple[str, str], ...]
    curl: str


@dataclass(frozen=True)
class Subject:
    """The operations of one subject."""

    name: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Reference:
    """The whole API. ``common``: (status, meaning) of the errors that any request can get."""

    version: str
    description: str
    subjects: tuple[Subject, ...]
    common: tuple[tuple[str, str], ...]


def reference(document: Document, base_url: str) -> Reference:
    """The reference of *document*; its examples call *base_url*."""
    by_subject: dict[str, list[Operation]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            subject = next(iter(operation.get("tags", ())), "Other")
            made = _operation(document, base_url, path, method, operation)
            by_subject.setdefault(subject, []).append(made)
    return Reference(
        version=document["info"]["version"],
        description=document["info"].get("description", ""),
        subjects=tuple(Subject(name, tuple(made)) for name, made in by_subject.items()),
        common=tuple(
            (status, _resolved(document, {"$ref": f"#/components/responses/Problem{status}"}))
            for status in COMMON
        ),
    )


def _operation(
    document: Document, base_url: str, path: str, method: str, operation: Mapping[str, Any]
) -> Operation:
    schema = _json_schema(operation.get("requestBody", {}))
    answers = operation.get("responses", {})
    status = min((code for code in answers if code.startswith("2")), default="200")
    return Operation(
        anchor=operation.get("operationId") or f"{method}{path.replace('/', '-')}",
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        query=tuple(
            FieldRow(
                each["name"],
                _kind(document, each.get("schema", {})).removesuffix(" or null"),
                each.get("required", False),
                each.get("description", ""),
            )
            for each in operation.get("parameters", ())
            if each["in"] == "query"
        ),
        body=tuple(_fields(document, schema)),
        status=status,
        answer=tuple(_fields(document, _json_schema(answers.get(status, {})), mark_required=False)),
        errors=tuple(
            (code, _resolved(document, answer))
            for code, answer in sorted(answers.items())
            if not code.startswith("2") and code not in COMMON
        ),
        curl=_curl(document, base_url, path, method, schema, operation),
    )


def _json_schema(content: Mapping[str, Any]) -> JsonSchema:
    schema: JsonSchema = content.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _resolved(document: Document, answer: Mapping[str, Any]) -> str:
    target = followed(document, answer)
    description: str = target.get("description", "")
    return description


def _fields(
    document: Document,
    schema: JsonSchema,
    prefix: str = "",
    depth: int = 0,
    mark_required: bool = True,
) -> list[FieldRow]:
    """The fields of an object, each followed by its own. *mark_required*: mark required fields."""
    schema = followed(document, schema)
    rows = []
    for name, part in schema.get("properties", {}).items():
        described = part.get("description") or followed(document, part).get("description", "")
        required = mark_required and name in schema.get("required", ())
        rows.append(FieldRow(prefix + name, _kind(document, part), required, described))
        inner = _object_in(document, part)
        if inner is not None and depth < _DEEPEST:
            mark = "[]." if followed(document, part).get("type") == "array" else "."
            rows += _fields(document, inner, prefix + name + mark, depth + 1, mark_required)
    return rows


def _object_in(document: Document, schema: JsonSchema) -> JsonSchema | None:
    schema = followed(document, schema)
    if schema.get("properties"):
        return schema
    for inner in (schema.get("items"), *schema.get("anyOf", ())):
        if inner:
            found = _object_in(document, inner)
            if found is not None:
                return found
    return None


def _kind(document: Document, schema: JsonSchema) -> str:
    """A schema's type in words: ``list of text``, ``"api" or "ui"``, ``time or null``."""
    schema = followed(document, schema)
    if "anyOf" in schema:
        return " or ".join(_kind(document, part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        items: JsonSchema = schema.get("items") or {}
        return f"list of {_kind(document, items)}"
    if kind == "string" and schema.get("format") == "date-time":
        return "time"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return words.get(str(kind), str(kind or "anything"))


def _curl(
    document: Document,
    base_url: str,
    path: str,
    method: str,
    schema: JsonSchema,
    operation: Mapping[str, Any],
) -> str:
    path = path.replace("{id}", _SAMPLE_ID)
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f"curl {verb}{base_url}{path}"]
    if operation.get("security") != []:
        lines.append('  -H "Authorization: Bearer $GATEPASS_TOKEN"')
    body = example(document, schema) if schema else None
    if body:
        text = json.dumps(body, ensure_ascii=False)
        lines.append("  --json '" + text.replace("'", "'\\''") + "'")
    elif schema or method in ("post", "patch", "put"):
        lines.append("  -H 'Content-Type: application/json'")
    return " \\\n".join(lines)
