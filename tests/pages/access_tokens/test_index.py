"""The list of access tokens."""

import pytest

from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.actor import Actor
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import observed_calls
from gatepass.web.times import format_time
from tests.support.apps.installation import Installation
from tests.support.apps.used_tokens import use
from tests.support.browser.page_reader import Page, Visit
from tests.support.database.many_records import fill_tokens

NASTY = """<script>alert(1)</script>"' onmouseover=x {{ 7777*7 }} \u200f"""


def labels(page: Page) -> list[str]:
    found = [t for t, href in page.links.items() if href.startswith("/access-tokens/gpat_")]
    actions = ("Open", "Edit", "Rotate", "Rehearse Deactivating…", "Deactivate Permanently…")
    first_steps = ("Make the first call", "Limit where from")
    return [text for text in found if text not in (*actions, *first_steps)]


def test_an_empty_list_explains_itself(ada: Visit, rita: Visit) -> None:
    page = ada.get("/access-tokens")
    assert "No access tokens yet" in page.text
    assert page.links["Create New"] == "/access-tokens/new"
    assert "0 tokens" in page.text
    others = rita.get("/access-tokens")
    assert "Create New" not in others.links
    assert "Your role, Reporting, can't create access tokens." in others.text


def test_a_row_shows_the_token(installation: Installation, ada: Visit) -> None:
    installation.access_token(
        "charges:create",
        "charges:get",
        "refunds:get",
        label="Settlement",
        networks=["203.0.113.0/24"],
    )
    page = ada.get("/access-tokens")
    page.shows(
        "Settlement",
        "charges:create",
        "+1",
        "203.0.113.0/24",
        "Ada Lovelace",
        "API",
        "Never",
        "just now",
        "1 token",
    )


def test_what_needs_attention_is_marked(installation: Installation, ada: Visit) -> None:
    """And the state of each token only where the filter doesn't say it."""
    clock = installation.node.clock
    week = 7 * 86_400_000
    silent = installation.access_token("charges:get", label="silent")
    tried = installation.access_token("charges:get", label="tried")
    clock.offset_ns += (week + 1_000) * 1_000_000
    soon = format_time(clock.now() + week - 60_000)
    installation.access_token("charges:get", label="ending", expires_at=soon)
    ended = installation.access_token("charges:get", label="ended")[:21]
    ada = Visit.signed_in(installation.client())
    ada.send(f"/access-tokens/{ended}/deactivate", {})
    use(installation.node, tried, 60_000)
    refused = ObservedCall("address_not_allowed", (), None, None, "192.0.2.1", None)
    with installation.node.database.auxiliary_write(clock.now()) as write:
        observed_calls.fold(
            write,
            [
                CountedCall(tried[:21], False, refused, 26, clock.now(), clock.now()),
                CountedCall(silent[:21], False, refused, 9, clock.now(), clock.now()),
            ],
        )

    def marks(page: Page) -> list[str]:
        badges = page.html.split('<span class="badge ')[1:]
        return [each.partition(">")[2].partition("<")[0] for each in badges]

    page = ada.get("/access-tokens?sort=label")
    assert labels(page) == ["ending", "silent", "tried"]
    assert marks(page) == ["Expires soon", "Never used", "26 refused"]
    page = ada.get("/access-tokens?sort=label&status=any")
    assert marks(page) == [
        *("Deactivated", "Active", "Expires soon"),
        *("Active", "Never used", "Active", "26 refused"),
    ]


def test_search_by_label_and_id(installation: Installation, ada: Visit) -> None:
    one = installation.access_token("charges:get", label="Nightly Settlement")
    installation.access_token("charges:get", label="Terraform")
    assert labels(ada.get("/access-tokens?q=SETTLE")) == ["Nightly Settlement"]
    assert labels(ada.get(f"/access-tokens?q={one[:21]}")) == ["Nightly Settlement"]
    assert labels(ada.get("/access-tokens?q=+settle+")) == ["Nightly Settlement"]
    nothing = ada.get("/access-tokens?q=%3Cb%3E")
    nothing.shows("No matching tokens", "“<b>”")
    assert "<b>" not in nothing.html


def test_deactivated_tokens_can_be_found(installation: Installation, ada: Visit) -> None:
    ended = installation.access_token("charges:get", label="Old one")[:21]
    installation.access_token("charges:get", label="New one")
    ada.send(f"/access-tokens/{ended}/deactivate", {})
    assert labels(ada.get("/access-tokens")) == ["New one"]
    assert labels(ada.get("/access-tokens?status=deactivated")) == ["Old one"]
    assert labels(ada.get("/access-tokens?status=any")) == ["New one", "Old one"]
    assert labels(ada.get("/access-tokens?kind=ui&status=any")) == []


def test_a_list_without_active_tokens_says_so(installation: Installation, ada: Visit) -> None:
    ended = installation.access_token("charges:get")[:21]
    ada.send(f"/access-tokens/{ended}/deactivate", {})
    page = ada.get("/access-tokens")
    assert "There are no active tokens." in page.text
    assert page.links["Show all tokens"] == "/access-tokens?status=any"


def test_pages_continue_without_gaps(installation: Installation, ada: Visit) -> None:
    maker = installation.signed_in()
    for number in range(52):
        new = {"label": f"token {number}", "kind": "api", "permissions": ["charges:get"]}
        assert maker.post("/v1/access-tokens", json=new).status_code == 201
    first = ada.get("/access-tokens?kind=api")
    assert "52 tokens" in first.text
    assert labels(first)[:2] == ["token 51", "token 50"]
    assert "Newest" not in first.links
    second = ada.get(first.links["Next"])
    assert labels(second) == ["token 1", "token 0"]
    assert "Next" not in second.links
    assert labels(ada.get(second.links["Newest"])) == labels(first)


@pytest.mark.parametrize("query", ["cursor=nonsense", "cursor=W10", "cursor=%00"])
def test_an_invalid_cursor_gets_an_error_page(ada: Visit, query: str) -> None:
    page = ada.get(f"/access-tokens?{query}")
    assert page.answer.status_code == 422
    assert "no longer exists" in page.text


@pytest.mark.parametrize(
    "query", ["q=%00", "q=" + "x" * 5000, "status=nonsense", "kind=nonsense", "q=%ff", "q=a&q=b"]
)
def test_invalid_queries_get_a_page(ada: Visit, query: str) -> None:
    assert ada.get(f"/access-tokens?{query}").answer.status_code == 200


def test_labels_are_escaped(installation: Installation, ada: Visit) -> None:
    token = installation.access_token("charges:get", label=NASTY)[:21]
    for path in (
        "/access-tokens",
        f"/access-tokens/{token}",
        f"/access-tokens/{token}/edit",
        f"/access-tokens/{token}/deactivate",
        f"/access-tokens/{token}/rotate",
        f"/access-tokens/new?replace={token}",
    ):
        page = ada.get(path)
        assert page.answer.status_code == 200, path
        assert "<script>alert" not in page.html
        assert "54439" not in page.text
        assert not [name for _, each in page.elements for name in each if name == "onmouseover"]
        assert NASTY.split(" onmouseover")[0] in page.html.replace("&lt;", "<").replace(
            "&gt;", ">"
        ).replace("&#34;", '"').replace("&#39;", "'")


def test_another_companys_tokens_are_not_listed(installation: Installation, ada: Visit) -> None:
    other = installation.new_company("Difference Engines")
    installation.new_user("eve@example.com", "Eve", company=other)
    theirs = installation.access_token("charges:get", maker="eve@example.com", label="theirs")[:21]
    assert "theirs" not in ada.get("/access-tokens?status=any").text
    for path in (
        f"/access-tokens/{theirs}",
        f"/access-tokens/{theirs}/edit",
        f"/access-tokens/{theirs}/deactivate",
        f"/access-tokens/{theirs}/rotate",
        f"/access-tokens/new?replace={theirs}",
    ):
        assert ada.get(path).answer.status_code == 404, path
    assert ada.send(f"/access-tokens/{theirs}/deactivate", {}).answer.status_code == 404
    assert installation.verify(
        installation.access_token("charges:get", maker="eve@example.com"), permission="charges:get"
    )["allowed"]


def test_counts_end_at_a_thousand(installation: Installation, ada: Visit) -> None:
    one = installation.access_token("charges:get", label="The first")
    with installation.node.database.read(0) as reading:
        maker = access_tokens.get(reading, Actor.command_line(), one[:21])
    assert maker.created_by.id is not None
    fill_tokens(
        installation.node.database,
        maker.company,
        maker.created_by.id,
        1_000,
        lambda n: {},
        newest=maker.created_at - 1,
    )
    exact = ada.get("/access-tokens?q=settlement")
    assert "1,000 tokens" in exact.text
    above = ada.get("/access-tokens")
    assert "1,000+" in above.text
    assert "more than 1,000 tokens" in " ".join(above.text.split()).replace("1,000+", "")
    assert "1,000+" in ada.get("/company").text


def test_tokens_to_look_at_are_counted_and_lead_to_their_list(
    installation: Installation, ada: Visit
) -> None:
    maker = installation.signed_in()
    now = installation.node.clock.now()
    soon = {"expires_at": format_time(now + 3 * 86_400_000)}
    for label, fields in {
        "soon": soon,
        "limited": {"networks": ["10.0.0.0/8"]},
        "ended": soon,
    }.items():
        new = {"label": label, "kind": "api", "permissions": ["charges:get"], **fields}
        id = maker.post("/v1/access-tokens", json=new).json()["id"]
    maker.post(f"/v1/access-tokens/{id}/deactivate")
    used = installation.access_token("charges:get", label="used")
    use(installation.node, used, 61 * 86_400_000)
    page = ada.get("/access-tokens")
    expected = {
        "Expiring in 7 days 1": ["soon"],
        "Never used 2": ["limited", "soon"],
        "Unused 60 days 1": ["used"],
        "No limits 2": ["used", "soon"],
    }
    for title, found in expected.items():
        listed = ada.get(page.links[title])
        assert labels(listed) == found, title
        assert f"{len(found)} token" in listed.text
        assert sorted(labels(ada.get(listed.links[title]))) == ["limited", "soon", "used"]
    listed = ada.get(page.links["Expiring in 7 days 1"])
    assert listed.links["Expires↑"].endswith("show=expiring&sort=expires-desc")
    assert "sort" not in listed.links["Never used 2"]
    labelled = ada.get("/access-tokens?sort=label")
    assert labelled.links["Expiring in 7 days 1"].endswith("show=expiring&sort=label")


def test_headings_sort_the_list(installation: Installation, ada: Visit) -> None:
    for label in ("b", "C", "a"):
        installation.access_token("charges:get", label=label)
    page = ada.get("/access-tokens")
    assert labels(page) == ["a", "C", "b"]
    page = ada.get(page.links["Token"])
    assert labels(page) == ["a", "b", "C"]
    assert 'aria-sort="ascending"' in page.html
    page = ada.get(page.links["Token↑"])
    assert labels(page) == ["C", "b", "a"]
    assert 'aria-sort="descending"' in page.html
    assert labels(ada.get(page.links["Created"])) == ["a", "C", "b"]
    assert labels(ada.get("/access-tokens?sort=oldest")) == ["b", "C", "a"]
    assert labels(ada.get("/access-tokens?sort=nonsense")) == ["a", "C", "b"]


def test_filters_by_people_permission_and_network(installation: Installation, ada: Visit) -> None:
    installation.access_token("charges:get", label="hers", networks=["203.0.113.0/24"])
    installation.new_user("max@example.com", "Max", role="manager")
    theirs = installation.signed_in("max@example.com")
    new = {"label": "his", "kind": "api", "permissions": ["refunds:get"]}
    theirs.post("/v1/access-tokens", json=new)
    form = ada.get("/access-tokens").form("/access-tokens")
    max_id = theirs.get("/v1/me").json()["user"]["id"]
    assert max_id in form.offered["owner"]
    assert max_id in form.offered["made_by"]
    assert "refunds:get" in form.offered["permission"]
    assert form.offered["network"] == ["", "any", "none"]
    of_people = (f"owner={max_id}", f"made_by={max_id}")
    for query in (*of_people, "permission=refunds:get", "network=none"):
        assert labels(ada.get(f"/access-tokens?{query}")) == ["his"], query
    assert labels(ada.get("/access-tokens?made_by=usr_unknown")) == []
    assert labels(ada.get("/access-tokens?network=any")) == ["hers"]
    for query in ("permission=nonsense", "network=nonsense"):
        assert labels(ada.get(f"/access-tokens?{query}")) == ["his", "hers"]


def test_the_list_is_exported_as_it_is_filtered(installation: Installation, ada: Visit) -> None:
    for label in ("b", "a", "other"):
        installation.access_token("charges:get", label=label)
    page = ada.get("/access-tokens?sort=label&status=active")
    answer = ada.client.get(page.links["Export as CSV"])
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert [line.split(",")[1] for line in answer.text.splitlines()[1:]] == ["a", "b", "other"]
    lines = ada.client.get(ada.get("/access-tokens?q=oth").links["Export as JSON Lines"])
    assert len(lines.text.splitlines()) == 1
