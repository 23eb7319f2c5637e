"""The audit log as a file: complete, safe in spreadsheets, and stopped when the client leaves."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from starlette.responses import StreamingResponse

from gatepass.core.errors import Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.directory import users
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens
from gatepass.web.api.my_company import audit_export
from tests.support.apps.installation import Installation
from tests.support.database.audit_events import write_events

PATH = "/v1/audit-events/export"


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    text = answer.content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def lengthen(installation: Installation, number: int, *, ago: int = 60_000, **more: Any) -> None:
    node = installation.node
    write_events(node.database, installation.company.id, number, at=node.clock.now() - ago, **more)


def test_both_formats_have_every_event(any_installation: Installation) -> None:
    lengthen(any_installation, 450)
    token = any_installation.access_token("audit:get", expires_at="2126-12-24T00:00:00Z")
    client = any_installation.client(token)
    with any_installation.node.database.read(0) as reading:
        total = search.count(reading, reader(any_installation))
    as_csv = client.get(PATH, params={"format": "csv"})
    as_lines = client.get(PATH, params={"format": "jsonl"})
    assert as_csv.headers["x-total-count"] == as_lines.headers["x-total-count"] == str(total)
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert as_lines.headers["content-type"] == "application/x-ndjson"
    for answer in (as_csv, as_lines):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-disposition"].startswith('attachment; filename="audit-log-')
        assert token[21:] not in answer.text
    events = [json.loads(line) for line in as_lines.text.splitlines()]
    listed = client.get("/v1/audit-events", params={"limit": 200}).json()["items"]
    assert events[:200] == listed
    assert len({event["id"] for event in events}) == len(events) == total
    found = rows(as_csv)
    assert [row["id"] for row in found] == [event["id"] for event in events]
    (made,) = (row for row in found if row["action"] == "access_token.created")
    assert made["sentence"] == "Ada Lovelace created the access token sample"
    assert json.loads(made["after"])["expires_at"] == "2126-12-24T00:00:00.000Z"
    assert made["subject_id"] == token[:21]
    assert all(row["at"].endswith("Z") for row in found)


def test_no_cell_is_a_formula(installation: Installation, ada: httpx.Client) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", 'quoted "name", and more', "plain = text"]
    names += ["＝1+1", " =1", "\u200b＠SUM(A1)"]
    for name in names:
        body = {"label": name, "kind": "api", "permissions": ["charges:get"]}
        assert ada.post("/v1/access-tokens", json=body).status_code == 201
    # Names that no form accepts today.
    lengthen(installation, 1, subject_name="\t=1", actor_name="\r=1", address="")
    answer = ada.get(PATH, params={"format": "csv"})
    found = rows(answer)
    assert answer.content.startswith(b"\xef\xbb\xbfat,sentence,action,")
    assert answer.content.count(b"\r\n") == len(found) + 1
    told = {row["subject_name"] for row in found}
    assert {"'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", names[4], names[5]} <= told
    assert {f"'{name}" for name in names[6:]} <= told
    assert not [cell for row in found for cell in row.values() if cell[:1] in ("=", "+", "-", "@")]
    assert "\r=1" not in {row["actor_name"] for row in found}


def test_an_event_is_one_line_for_every_reader(installation: Installation) -> None:
    """Older releases accepted names with line separators; ``splitlines`` splits at NEL, too."""
    name = "a\u2028b\u2029c\x85d"
    lengthen(installation, 1, subject_name=name)
    answer = installation.signed_in().get(PATH, params={"format": "jsonl"})
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert len(events) == int(answer.headers["x-total-count"])
    assert name in {event["subject"]["name"] for event in events}


def test_filters_apply(installation: Installation) -> None:
    first, second = installation.access_token("charges:get"), installation.access_token("audit:get")
    ada = installation.signed_in()

    def said(**query: str) -> list[str]:
        answer = ada.get(PATH, params={"format": "csv", **query})
        assert answer.headers["x-total-count"] == str(len(rows(answer)))
        return [row["action"] for row in rows(answer)]

    # A token's text works as its id; the secret is ignored.
    assert said(token=first) == said(token=first[:21]) == ["access_token.created"]
    assert said(kind="access-tokens") == ["access_token.created"] * 2
    assert said(kind="roles") == []
    assert said(person=installation.ada.id)[-1] == "user.created"
    assert "user.created" not in said(user=installation.ada.id)
    assert said(subject=second[:21]) == ["access_token.created"]
    assert said(until="2020-01-01T00:00:00Z") == []


def test_filters_are_those_of_the_list(ada: httpx.Client) -> None:
    for kind in KINDS:
        for path in (PATH + "?format=jsonl&", "/v1/audit-events?"):
            assert ada.get(f"{path}kind={kind}").status_code == 200, kind
    for query in ("format=jsonl&kind=nonsense", "format=xml", "", "format=csv&since=yesterday"):
        assert ada.get(f"{PATH}?{query}").status_code == 422, query


def test_exporting_needs_audit_get(installation: Installation) -> None:
    installation.new_user("bob@example.com", role="customer-service")
    refused = installation.signed_in("bob@example.com").get(PATH, params={"format": "csv"})
    assert (refused.status_code, refused.json()["reason"]) == (403, "permission_missing")
    assert installation.client().get(PATH, params={"format": "csv"}).status_code == 401


def reader(installation: Installation, token: str | None = None) -> Actor:
    with installation.node.database.read(0) as reading:
        ada = users.on_behalf_of(reading, installation.ada.id)
    if token is None:
        return ada
    return Actor("token", ada.company, ada.user, ada.name, ada.permissions, token[:21])


def chunks(installation: Installation, actor: Actor) -> AsyncIterator[Any]:
    answer = audit_export.exported(installation.node, actor, "jsonl", {})
    assert isinstance(answer, StreamingResponse)
    return aiter(answer.body_iterator)


def test_later_events_are_left_out(any_installation: Installation) -> None:
    lengthen(any_installation, 450)

    async def read() -> None:
        stream = chunks(any_installation, reader(any_installation))
        await anext(stream)
        # Written by a node whose clock is behind, among the pages still to be read.
        lengthen(any_installation, 7, ago=3_600_000, subject_name="Too late")
        rest = [chunk async for chunk in stream]
        assert len(rest) == 2
        assert "Too late" not in "".join(rest)

    asyncio.run(read())


def test_no_transaction_is_open_between_pages(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengthen(installation, 450)
    actor = reader(installation)
    database = installation.node.database
    open_reading, opened = database.read, 0

    @contextmanager
    def watched(now: int) -> Iterator[Reading]:
        nonlocal opened
        opened += 1
        with open_reading(now) as reading:
            yield reading
        opened -= 1

    monkeypatch.setattr(database, "read", watched)

    async def read() -> None:
        async for _ in chunks(installation, actor):
            assert opened == 0

    asyncio.run(read())


def test_a_revoked_credential_ends_the_export(installation: Installation) -> None:
    lengthen(installation, 450)
    token = installation.access_token("audit:get")

    async def read() -> None:
        stream = chunks(installation, reader(installation, token))
        await anext(stream)
        with installation.write() as change:
            access_tokens.deactivate(change, Actor.command_line(), token[:21])
        with pytest.raises(Forbidden):
            await anext(stream)

    asyncio.run(read())


def test_reading_stops_when_the_client_disconnects(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengthen(installation, 2_000)
    token = installation.access_token("audit:get")
    read_pages = 0
    list_ = search.list_

    def counted(*arguments: Any, **filters: Any) -> Any:
        nonlocal read_pages
        read_pages += 1
        return list_(*arguments, **filters)

    monkeypatch.setattr(search, "list_", counted)
    gone = asyncio.Event()
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        for message in asked:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        # Like a server whose buffers are full after the first page.
        if message["type"] == "http.response.body":
            gone.set()
            await asyncio.Event().wait()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"format=csv",
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8787),
    }
    asyncio.run(asyncio.wait_for(installation.app(scope, receive, send), 10))
    assert read_pages <= 2
