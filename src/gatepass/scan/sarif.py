"""A scan's results as SARIF 2.1.0, which code scanning services read."""

from collections.abc import Sequence
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import quote

from gatepass.core.credentials import ID_LENGTH
from gatepass.scan.findings import Finding, Unreadable
from gatepass.scan.rules import RULES

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_INDEXES = {prefix: index for index, prefix in enumerate(RULES)}


def sarif_log(
    findings: Sequence[Finding], unreadable: Sequence[Unreadable], version: str
) -> dict[str, Any]:
    """The log of one run, by Gatepass *version*."""
    driver = {
        "name": "gatepass scan",
        "organization": "Gatepass",
        "version": version,
        "rules": [_rule(prefix) for prefix in RULES],
    }
    invocation = {
        "executionSuccessful": not unreadable,
        "toolExecutionNotifications": [
            {
                "level": "error",
                "message": {"text": f"{one.path} can't be read: {one.reason}"},
            }
            for one in unreadable
        ],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": [_result(one) for one in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(prefix: str) -> dict[str, Any]:
    rule = RULES[prefix]
    return {
        "id": rule.id,
        "name": rule.id.title().replace("-", ""),
        "shortDescription": {"text": f"A Gatepass {rule.noun}"},
        "fullDescription": {
            "text": f"The text of a Gatepass {rule.noun} ({prefix}_…), with a right checksum."
        },
        "help": {"text": rule.remedy.replace("`", ""), "markdown": rule.remedy},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "secret"], "security-severity": "9.0"},
    }


def _result(found: Finding) -> dict[str, Any]:
    rule = RULES[found.prefix]
    where = "" if found.commit is None else f", since commit {found.commit}"
    region = {
        "startLine": found.line,
        "startColumn": found.column,
        # Of the id alone: services show this part of the file.
        "endColumn": found.column + ID_LENGTH,
    }
    location = {"artifactLocation": {"uri": _uri(found.path)}, "region": region}
    return {
        "ruleId": rule.id,
        "ruleIndex": _INDEXES[found.prefix],
        "level": "error",
        "message": {"text": f"{found.id} is {rule.a_noun}{where}."},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"gatepassCredential/v1": found.id},
        **({} if found.commit is None else {"properties": {"commit": found.commit}}),
    }


def _uri(path: str) -> str:
    """The path as a URI: relative ones as they are, without a dot at their start."""
    uri = quote(normpath(path).encode("utf-8", "surrogateescape"))
    return f"file://{uri}" if Path(path).is_absolute() else uri
