"""Search of access tokens, on both engines."""

from typing import Any

import pytest
from sqlalchemy import Engine, event

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.storage.paging import Page
from gatepass.registry.tokens import access_tokens, rotation
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.temporary import rehearsals
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry


def find(registry: SmallRegistry, actor: Actor, **filters: Any) -> Page[AccessToken]:
    return registry.ask(token_search.list_, actor, **filters)


def labels(page: Page[AccessToken]) -> list[str]:
    return [token.label for token in page.items]


def test_filters(registry: SmallRegistry, ada: Actor) -> None:
    ended, _ = registry.token(ada, label="Ended", expires_at=NOW + HOUR)
    registry.token(ada, label="Expiring", expires_at=NOW + HOUR, permissions=["charges:*"])
    registry.token(ada, label="Straße 100%_", kind="ui", permissions=["charges:get"])
    registry.token(registry.signed_in(registry.carl), label="Another company's")
    registry.do(access_tokens.deactivate, ada, ended.id)

    def found(**filters: Any) -> set[str]:
        page = find(registry, ada, **filters)
        assert page.count == len(page.items)
        return set(labels(page))

    assert found() == {"Ended", "Expiring", "Straße 100%_"}
    assert found(status="active") == {"Expiring", "Straße 100%_"}
    assert found(status="deactivated") == {"Ended"}
    assert found(status="expired") == set()
    assert found(kind="ui") == {"Straße 100%_"}
    # Which token may do this? Those that chose it, by name or as part of all of its resource.
    assert found(permission="charges:create") == {"Ended", "Expiring"}
    assert found(permission="charges:get") == {"Expiring", "Straße 100%_"}
    assert found(permission="charges:*") == {"Expiring"}
    assert found(permission="harges:create") == set()
    assert found(q="STRASSE") == found(q="0%_") == {"Straße 100%_"}
    assert found(q="xpiring") == {"Expiring"}
    # One letter, and none that an id may begin with.
    assert found(q="ß") == {"Straße 100%_"}
    assert found(q="%") == {"Straße 100%_"}
    assert found(q="\0") == found(q="\ud800") == set()
    assert found(q="nde", status="deactivated", kind="api", permission="charges:create") == {
        "Ended"
    }
    registry.now += HOUR
    assert found(status="expired") == {"Expiring"}
    assert found(status="active") == {"Straße 100%_"}
    assert found(status="deactivated") == {"Ended"}


def test_what_other_programs_note_of_tokens(registry: SmallRegistry, ada: Actor) -> None:
    """Entries and external ids are compared exactly; what is changed is found as it is now."""
    registry.token(ada, label="Alpha", metadata={"team": "pay:ments", "env": ""}, external_id="x:1")
    changed, _ = registry.token(ada, label="Bravo", metadata={"team": "pay:ments", "env": "prod"})
    registry.token(registry.signed_in(registry.carl), metadata={"team": "pay:ments"})

    def found(**filters: Any) -> list[str]:
        page = find(registry, ada, **filters)
        assert page.count == len(page.items)
        return sorted(labels(page))

    assert found(metadata="team:pay:ments") == ["Alpha", "Bravo"]
    assert found(metadata="env:") == ["Alpha"]
    assert found(metadata="team:pay") == found(metadata="team:Pay:ments") == []
    assert found(metadata="team:\0") == []
    assert found(metadata="team:pay:ments", q="brav", kind="api", status="active") == ["Bravo"]
    assert found(external_id="x:1") == ["Alpha"]
    assert found(external_id="x:1", metadata="env:prod") == found(external_id="X:1") == []
    registry.modify(ada, changed, metadata={"team": "treasury"}, external_id="x:2")
    assert found(metadata="team:pay:ments") == ["Alpha"]
    assert found(metadata="team:treasury") == found(external_id="x:2") == ["Bravo"]
    registry.do(access_tokens.deactivate, ada, changed.id)
    assert found(external_id="x:2") == ["Bravo"], "ended ones are found as well"
    for wrong in ("team", "Team:x", ":x", "", "te am:x"):
        with pytest.raises(InvalidInput, match="key:value"):
            find(registry, ada, metadata=wrong)


def test_ids_match_whole_in_part_and_by_the_pasted_text(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    token, whole_text = registry.token(ada, label="This one")
    registry.token(ada, label="Another")
    for q in (token.id, token.id[:12], token.id[5:], whole_text):
        assert labels(find(registry, ada, q=q)) == ["This one"]


def test_ids_match_by_their_beginning_only(registry: SmallRegistry, ada: Actor) -> None:
    """Every id begins with gpat_: a part of that matches labels only."""
    token, whole_text = registry.token(ada, label="Patrol")
    for number in range(20):
        registry.token(ada, label=f"Another {number}")
    own = token.id[5:]
    for q in (own[:8], f" {own[:8]} ", f"gpat_{own[:8]}", f"gpat_{own[:7]}…", f"{token.id}x{own}"):
        assert labels(find(registry, ada, q=q)) == ["Patrol"], q
    for q in (own[1:], token.id[1:], token.id.lower() + "!", f"gpat_{own[:8]}-", whole_text[21:]):
        assert labels(find(registry, ada, q=q)) == [], q
    # No random id begins with these.
    for q in ("patro", "PATRO", "atrol"):
        assert labels(find(registry, ada, q=q)) == ["Patrol"], q
    for q in ("gpat", "_", "t_"):
        assert labels(find(registry, ada, q=q)) == [], q
    assert find(registry, ada, q="gpat_").count == 21


def test_no_character_is_a_wildcard_and_both_engines_ignore_case(
    registry: SmallRegistry, ada: Actor
) -> None:
    for label in ("Größe", "ΣΊΣΥΦΟΣ", "İstanbul", "a%b", "a_b", "a\\b", "e\u0301", "[a-z]"):
        registry.token(ada, label=label)
    for q, found in (
        ("GRÖSSE", ["Größe"]),
        ("größe", ["Größe"]),
        ("σίσυφος", ["ΣΊΣΥΦΟΣ"]),
        ("i\u0307STANBUL", ["İstanbul"]),
        ("A%B", ["a%b"]),
        ("A_B", ["a_b"]),
        ("A\\B", ["a\\b"]),
        ("É", ["e\u0301"]),
        ("[A-Z]", ["[a-z]"]),
        ("a?b", []),
        ("a*b", []),
    ):
        assert labels(find(registry, ada, q=q)) == found, q


def test_a_changed_label_matches_only_its_new_text(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, label="Before")
    registry.modify(ada, token, label="After")
    assert labels(find(registry, ada, q="after")) == ["After"]
    assert labels(find(registry, ada, q="before")) == []


def test_the_command_line_finds_all_companies_tokens(registry: SmallRegistry) -> None:
    registry.token(registry.signed_in(registry.ada), label="A")
    registry.token(registry.signed_in(registry.carl), label="C")
    assert set(labels(find(registry, Actor.command_line()))) == {"A", "C"}


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"status": "revoked"}, "status"),
        ({"kind": "login"}, "kind"),
        ({"permission": "*"}, "permission"),
        ({"permission": "charges"}, "permission"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": True}, "limit"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "bm8"}, "cursor"),
    ],
)
def test_invalid_filters_are_reported(
    sqlite_registry: SmallRegistry, filters: dict[str, Any], field: str
) -> None:
    ada = sqlite_registry.signed_in(sqlite_registry.ada)
    with pytest.raises(InvalidInput) as refusal:
        find(sqlite_registry, ada, **filters)
    assert [where for where, _ in refusal.value.errors] == [field]


def test_pages_are_consistent_under_concurrent_changes(registry: SmallRegistry, ada: Actor) -> None:
    made = []
    for number in range(7):
        # Some within the same millisecond.
        registry.now += number % 2
        made.append(registry.token(ada, label=f"T{number}")[0].id)
    first = find(registry, ada, limit=3)
    assert first.count == 7
    registry.now += 1
    registry.token(ada, label="Newer")
    seen = [token.id for token in first.items]
    cursor = first.next
    while cursor is not None:
        page = find(registry, ada, limit=3, cursor=cursor)
        seen += [token.id for token in page.items]
        cursor = page.next
    assert sorted(seen) == sorted(made)
    assert len(seen) == 7
    assert find(registry, ada, limit=8).next is None


def test_a_page_takes_as_many_queries_however_many_tokens_close(
    registry: SmallRegistry, ada: Actor
) -> None:
    """And however many are rehearsed; each may be closing in a way of its own."""

    def queries() -> int:
        made: list[str] = []

        def listen(connection: object, cursor: object, statement: str, *rest: object) -> None:
            made.append(statement)

        event.listen(Engine, "before_cursor_execute", listen)
        try:
            find(registry, ada)
        finally:
            event.remove(Engine, "before_cursor_execute", listen)
        return len(made)

    def close_and_rehearse() -> None:
        for closing in (Closing("when_silent"), Closing("after", after=3_600)):
            old = registry.token(ada)[0].id
            registry.do(rotation.rotate, ada, old, closing)
        rehearsed = registry.token(ada)[0].id
        registry.do(rehearsals.start, ada, rehearsed, minutes=5, share=10)

    close_and_rehearse()
    of_a_few = queries()
    for _ in range(3):
        close_and_rehearse()
    page = find(registry, ada)
    assert sum(1 for token in page.items if token.rotation and token.rotation.replaced_by) == 8
    assert sum(1 for token in page.items if token.rehearsal) == 4
    assert queries() == of_a_few
