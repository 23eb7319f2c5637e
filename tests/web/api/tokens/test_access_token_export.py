"""``/v1/access-tokens/export``: the list as a file."""

import asyncio
import csv
import io
import json
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from gatepass.core.errors import Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.tokens import access_tokens
from gatepass.web.api.tokens import access_token_export
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

PATH = "/v1/access-tokens/export"


def create(installation: Installation, **changes: Any) -> Any:
    new = {"label": "Job", "kind": "api", "permissions": ["charges:get"], **changes}
    made = installation.signed_in().post("/v1/access-tokens", json=new)
    assert made.status_code == 201, made.text
    return made.json()


def rows_of(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_both_formats_have_the_tokens_of_the_list(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    create(
        any_installation,
        label='=HYPERLINK("https://evil.example")',
        networks=["10.0.0.0/8", "192.0.2.1/32"],
        metadata={"note": "+1"},
        external_id="@sum",
    )
    create(any_installation, label="a, b", expires_at="2126-01-01T00:00:00Z")
    answer = ada.get(PATH, params={"format": "csv", "sort": "label"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert 'filename="access-tokens-' in answer.headers["content-disposition"]
    first, second = rows_of(answer.text)
    assert first["label"] == '\'=HYPERLINK("https://evil.example")'
    assert first["external_id"] == "'@sum"
    assert first["networks"] == "10.0.0.0/8 192.0.2.1/32"
    assert json.loads(first["metadata"]) == {"note": "+1"}
    assert second["label"] == "a, b"
    assert second["expires_at"] == "2126-01-01T00:00:00.000Z"
    lines = ada.get(PATH, params={"format": "jsonl"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    listed = ada.get("/v1/access-tokens").json()["items"]
    assert [json.loads(line) for line in lines.text.splitlines()] == listed


def test_filters_and_pages(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_token_export, "LARGEST_PAGE", 2)
    ids = [create(installation, label=f"Job {n % 2}")["id"] for n in range(7)]
    ada = installation.signed_in()
    found = rows_of(ada.get(PATH, params={"format": "csv", "q": "job 1"}).text)
    assert [each["id"] for each in found] == [ids[5], ids[3], ids[1]]
    everything = rows_of(ada.get(PATH, params={"format": "csv", "order": "asc"}).text)
    assert [each["id"] for each in everything] == ids
    assert rows_of(ada.get(PATH, params={"format": "csv", "q": "none"}).text) == []
    assert ada.get(PATH, params={"format": "jsonl", "q": "none"}).text == ""


def test_what_is_refused(installation: Installation) -> None:
    ada = installation.signed_in()
    assert fields(ada.get(PATH)) == ["format"]
    assert fields(ada.get(PATH, params={"format": "xls"})) == ["format"]
    assert fields(ada.get(PATH, params={"format": "csv", "metadata": "x"})) == ["metadata"]
    assert fields(ada.get(PATH, params={"format": "csv", "sort": "name"})) == ["sort"]
    without = installation.client(installation.access_token("charges:get"))
    assert reasons(without.get(PATH, params={"format": "csv"})) == (403, "permission_missing")


def test_a_revoked_credential_ends_the_export(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_token_export, "LARGEST_PAGE", 1)
    create(installation)
    ada, text = installation.ada, installation.access_token("access-tokens:search")
    permissions = frozenset({"access-tokens:search"})
    actor = Actor("token", ada.company, ada.id, ada.name, permissions, text[:21])
    answer = access_token_export.exported(
        installation.node, actor, "jsonl", {}, {"sort": "created_at", "order": None}
    )
    assert isinstance(answer, StreamingResponse)

    async def read() -> None:
        stream = aiter(answer.body_iterator)
        await anext(stream)
        with installation.write() as change:
            access_tokens.deactivate(change, Actor.command_line(), text[:21])
        with pytest.raises(Forbidden):
            await anext(stream)

    asyncio.run(read())
