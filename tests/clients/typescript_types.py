"""The types of the TypeScript client, generated from the OpenAPI document.

``python -m tests.clients.typescript_types`` writes them again after a change of the API. They have
the operations that the client calls, their 2xx answers, and the problem document.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatepass.web.api.router import router
from gatepass.web.openapi import openapi_document
from tests.clients.programs import NODE_MODULES, NODE_TOOLS, ROOT

TYPES = ROOT / "clients/typescript/src/schema.ts"
_PATHS = ("/v1/verify", "/v1/verify/batch", "/v1/verifier-keys", "/v1/portal-sessions")
_PROBLEM = "#/components/schemas/Problem"


def document() -> dict[str, Any]:
    """The part of the OpenAPI document that the client speaks."""
    whole = openapi_document(router, "gatepass", "http://127.0.0.1:8787")
    schemas = whole["components"]["schemas"]
    paths = {
        path: {method: _accepted(operation) for method, operation in operations.items()}
        for path, operations in whole["paths"].items()
        if path in _PATHS or path.startswith("/v1/companies")
    }
    found: set[str] = set()
    wanted = [_PROBLEM, *_references(paths)]
    while wanted:
        name = wanted.pop().rpartition("/")[2]
        if name not in found:
            found.add(name)
            wanted += _references(schemas[name])
    kept = {name: schema for name, schema in schemas.items() if name in found}
    head = {key: whole[key] for key in ("openapi", "info")}
    return {**head, "paths": paths, "components": {"schemas": kept}}


def generate() -> str:
    """The file's text."""
    with tempfile.TemporaryDirectory() as directory:
        described, types = Path(directory, "openapi.json"), Path(directory, "schema.ts")
        described.write_text(json.dumps(document()))
        generator = NODE_MODULES / "openapi-typescript/bin/cli.js"
        command = [NODE_TOOLS / "node", generator, described, "--output", types]
        subprocess.run(command, check=True, capture_output=True)
        return types.read_text()


def _accepted(operation: dict[str, Any]) -> dict[str, Any]:
    answers = {code: each for code, each in operation["responses"].items() if code < "3"}
    rest = {key: value for key, value in operation.items() if key not in ("security", "tags")}
    return {**rest, "responses": answers}


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from _references(each)


if __name__ == "__main__":
    TYPES.write_text(generate())
