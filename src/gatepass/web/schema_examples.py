"""Examples of the OpenAPI document's schemas, made of their fields' examples."""

from collections.abc import Mapping
from typing import Any

JsonSchema = Mapping[str, Any]

_BY_TYPE: Mapping[str, Any] = {"array": [], "integer": 1, "number": 1, "boolean": True}


def followed(document: Mapping[str, Any], schema: JsonSchema) -> JsonSchema:
    """The target of a ``$ref``, or *schema* itself."""
    if "$ref" not in schema:
        return schema
    target: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    found: JsonSchema = target
    return found


def example(document: Mapping[str, Any], schema: JsonSchema) -> Any:
    """A value that *schema* allows: its own example, or one of its parts' examples.

    An optional field without an example is left out.
    """
    schema = followed(document, schema)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("anyOf"):
        return example(document, schema["anyOf"][0])
    if "properties" in schema:
        required = schema.get("required", ())
        return {
            name: example(document, part)
            for name, part in schema["properties"].items()
            if name in required or _has_example(document, part)
        }
    kind = schema.get("type")
    items = schema.get("items")
    if kind == "array" and items and _has_example(document, items):
        return [example(document, items)]
    if kind == "object":
        return {}
    return _BY_TYPE.get(str(kind), "string")


def _has_example(document: Mapping[str, Any], schema: JsonSchema) -> bool:
    schema = followed(document, schema)
    if schema.get("examples"):
        return True
    parts = [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]
    return any(_has_example(document, part) for part in parts)
