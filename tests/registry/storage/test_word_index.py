"""The word index finds what a look through all texts finds, on both engines."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor
from gatepass.registry.directory import user_search
from gatepass.registry.input.text import folded, label_problem, search_text, storable
from gatepass.registry.input.words import parts_of, runs, words_of
from gatepass.registry.storage import scans, word_index
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.lists import selection
from gatepass.registry.tokens.records import AccessToken
from tests.support.database.small_registry import SmallRegistry

#: Few characters, so that parts of texts are often found in others; some that engines, or versions
#: of Unicode, treat differently.
ALPHABET = "aAbé\u0301ßİσς1279٣ _%-.@\\[\u00a0\u2003ｱ日\U0001f511\ud7ff\ue000\uffff\U0010ffff"
#: Longer than what the index stores, and with words that come more than once.
LABELS = (
    "of 7 of 7 of 7",
    "x" * 40 + " y",
    "a" * 17 + "b",
    "word and then a long rest.",
    "Straße 100%_",
)
texts = st.text(ALPHABET, min_size=1, max_size=12).filter(lambda text: label_problem(text) is None)
longer = (
    st.lists(texts, min_size=4, max_size=6)
    .map(" ".join)
    .filter(lambda text: label_problem(text) is None)
)


@given(st.text(ALPHABET + "\n", max_size=40))
def test_runs_are_the_whole_text(text: str) -> None:
    assert "".join(runs(text)) == text


@given(st.text(ALPHABET, min_size=1, max_size=30), st.data())
def test_each_part_of_a_text_begins_in_one_of_its_words(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : data.draw(st.integers(start + 1, len(text)))]
    first = runs(part)[0]
    if first[0] <= " ":
        return
    rest = part[len(first) :]
    found = {
        word
        for word, after in words_of([text])
        if after.startswith(rest[: len(after)])
        and any(end.startswith(first[: len(end)]) for end in parts_of(word))
    }
    assert found


def model(tokens: Sequence[AccessToken], **filters: Any) -> list[str]:
    """The ids that match, newest first, by a look at each token."""
    q, permission = search_text(filters.get("q")), filters.get("permission")
    start = selection.id_start(q) if q else None
    found = [
        token
        for token in tokens
        if (
            not q
            or (storable(q) and folded(q) in folded(token.label))
            or (start is not None and token.id.startswith(start))
        )
        and filters.get("status") in (None, token.status)
        and filters.get("kind") in (None, token.kind)
        and (permission is None or covers(token.permissions, permission))
    ]
    return [t.id for t in sorted(found, key=lambda t: (t.created_at, t.id), reverse=True)]


def check(registry: SmallRegistry, actor: Actor, **filters: Any) -> None:
    with registry.read() as reading:
        every = registry.every(token_search.list_, Actor.command_line(), limit=200)
        own = [token for token in every if token.company == actor.company]
        expected = model(own, **filters)
        page = token_search.list_(reading, actor, limit=200, **filters)
        assert [token.id for token in page.items] == expected[:200], filters
        assert page.count == len(expected), filters
        assert model(every, **filters)[:200] == [
            token.id
            for token in token_search.list_(
                reading, Actor.command_line(), limit=200, **filters
            ).items
        ]


@pytest.fixture(
    params=["as it is", "few words", "no words"], ids=["as-it-is", "few-words", "no-words"]
)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways that a search goes among many records, among few."""
    if request.param == "few words":
        monkeypatch.setattr(word_index, "MANY", 0)
        monkeypatch.setattr(scans, "MANY", 0)
    elif request.param == "no words":
        monkeypatch.setattr(word_index, "_MOST_WORDS", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("limits")
def test_a_search_finds_what_a_look_at_each_token_finds(
    registry: SmallRegistry, ada: Actor
) -> None:
    for number, label in enumerate(LABELS):
        registry.now += number % 2
        registry.token(ada, label=label, kind=("api", "ui")[number % 2])

    @settings(
        max_examples=25,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @example(new=["7of7"], q="of 7 of 7 of 7", status=None, kind=None, permission=None, changed="b")
    @example(new=["7"], q="x" * 41, status=None, kind=None, permission=None, changed="b")
    @example(
        new=["7"],
        q="aaaaaaaaaaaaab",
        status=None,
        kind=None,
        permission=None,
        changed="b",
    )
    @example(
        new=["7"],
        q="word and then a long rest!",
        status=None,
        kind=None,
        permission=None,
        changed="b",
    )
    @given(
        new=st.lists(texts | longer, min_size=1, max_size=2),
        q=texts | longer,
        status=st.sampled_from([None, None, "active", "expired", "deactivated"]),
        kind=st.sampled_from([None, None, "api", "ui"]),
        permission=st.sampled_from([None, None, "charges:create", "charges:*", "refunds:create"]),
        changed=texts,
    )
    def search(
        new: list[str],
        q: str,
        status: str | None,
        kind: str | None,
        permission: str | None,
        changed: str,
    ) -> None:
        made = [
            registry.token(
                ada,
                label=label,
                kind=("api", "ui")[len(label) % 2],
                permissions=[("charges:create", "charges:*", "refunds:create")[len(label) % 3]],
                expires_at=registry.now + 2 if len(label) % 5 == 0 else None,
            )[0]
            for label in new
        ]
        registry.modify(ada, made[0], label=changed, permissions=["refunds:create"])
        registry.now += 1
        for part in (q, q[1:4], new[0][1:], made[0].id[: 5 + len(q)]):
            check(registry, ada, q=part, status=status, kind=kind, permission=permission)

    search()


@pytest.mark.usefixtures("limits")
def test_users_are_found_by_parts_of_names_and_addresses(
    registry: SmallRegistry, ada: Actor
) -> None:
    people = ("Grace Hopper", "GRACE O'Malley", "İsmail", "Zoë 7", "Bob")
    emails = (
        "g.h@example.com",
        "grace@bücher.example",
        "i7@x.example",
        "Zoe@x.example",
        "7@7.example",
    )
    for name, email in zip(people, emails, strict=True):
        registry.user(registry.northwind, email, name)
    every = registry.every(user_search.list_, ada, limit=200)
    for q in (
        "grace",
        "RACE",
        "e",
        "hopper",
        "ce h",
        "@",
        "@x.",
        "BÜCHER",
        "xn--bcher",
        "7",
        "ö",
        "zoë",
        "nobody",
        ".example",
        "i\u0307",
        "h@example.com",
        "grace@b",
        "ace o'm",
    ):
        found = registry.ask(user_search.list_, ada, q=q)
        expected = [
            user.id
            for user in every
            if any(folded(q) in folded(text) for text in (user.name, user.email))
            or (user.email == emails[1] and q in "grace@xn--bcher-kva.example")
        ]
        assert [user.id for user in found.items] == expected, q
        assert found.count == len(expected)


@given(
    start=st.text(ALPHABET, min_size=1, max_size=3),
    others=st.lists(st.text(ALPHABET, max_size=5), max_size=5),
)
@example(start="\U0010ffff", others=["\U0010ffff", "\U0010ffffa"])
@example(start="\ud7ff", others=["\ue000", "\ud7ff\U0010ffff"])
def test_what_begins_with_a_text_is_one_range(start: str, others: list[str]) -> None:
    after = word_index._after(start)
    for other in (start, start + "\U0010ffff", *others):
        within = start.encode() <= other.encode() and (
            after is None or other.encode() < after.encode()
        )
        assert within == other.startswith(start)
