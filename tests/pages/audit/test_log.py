"""``/audit-log``: sentences, days, runs, details, filters in the query, paging, the file."""

import re
from urllib.parse import parse_qs, urlsplit

from gatepass.registry.actor import Actor
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.refusals import refused
from tests.support.browser.page_reader import Page, Visit
from tests.support.database.audit_events import write_events

EARLY = "from=0001-01-01T00:00&from_offset=900"
HOUR = 3_600_000


def said(page: Page) -> list[str]:
    """The sentences, newest first."""
    assert page.answer.status_code == 200, page.text
    found = re.findall(r'<p class="sentence">(.*?)</p>', page.html)
    return [_plain(sentence) for sentence in found]


def _plain(html: str) -> str:
    """The text of a sentence, with the escapes of its names."""
    return re.sub("</?[a-z][^>]*>", "", html)


def now(installation: Installation) -> int:
    return installation.node.clock.now()


def test_each_event_is_a_sentence_with_its_details(installation: Installation, ada: Visit) -> None:
    token = installation.access_token(
        "charges:get", networks=["10.0.0.1"], expires_at="2126-12-24T10:30:00Z"
    )[:21]
    with installation.node.database.write(now(installation)) as change:
        actor = Actor.command_line()
        allowlist.replace(change, actor, installation.company.id, [Entry("127.0.0.0/8", "Here")])
        entries = [Entry("127.0.0.0/8", "Here"), Entry("198.51.100.0/24")]
        allowlist.replace(change, actor, installation.company.id, entries)
    page = ada.get("/audit-log")
    assert said(page)[:3] == [
        "The command line changed the allowlist: 1 added, 2 networks in all",
        "The command line restricted the account to 1 network",
        "Ada Lovelace created the access token sample",
    ]
    assert "The command line created the user Ada Lovelace as Admin" in said(page)
    assert "Networks None 127.0.0.0/8 (Here)" in page.text
    assert re.search("Networks 198.51.100.0/24 ?1 unchanged", page.text)
    assert "IP addresses 10.0.0.1/32 Domains Any Expires 24 Dec 2126, 10:30 UTC" in page.text
    assert page.links["sample"] == f"/access-tokens/{token}"
    assert f"/audit-log?token={token}" in page.links.values()
    assert said(ada.get(f"/audit-log?token={token}")) == [
        "Ada Lovelace created the access token sample"
    ]


def test_what_an_event_is_about_has_its_page(installation: Installation, ada: Visit) -> None:
    text = installation.access_token("charges:get")
    refused(installation, text, permission="charges:create")
    asked = {"permission": "charges:create", "justification": "x"}
    request = installation.client(text).post("/v1/access-requests", json=asked).json()["id"]
    portal = Portal(installation)
    customer = portal.new_owner("customer-1", "Customer One")
    made = {"name": "Nightly jobs", "role": "customer-service"}
    account = installation.signed_in().post("/v1/service-accounts", json=made).json()["id"]
    hook = {"url": "https://hooks.example.com/x", "events": ["user.created"]}
    assert installation.signed_in().post("/v1/webhooks", json=hook).status_code == 201
    page = ada.get("/audit-log")
    for name, path, shown in (
        ("charges:create", f"/access-requests/{request}", "charges:create"),
        ("Customer One", f"/company/external-owners?status=any&q={customer.id}", "Customer One"),
        ("Nightly jobs", f"/company/service-accounts?status=any&q={account}", "Nightly jobs"),
        ("hooks.example.com", "/company/webhooks", "hooks.example.com"),
    ):
        assert page.links[name] == path
        ada.get(path).shows(shown)


def test_filters_apply_and_are_in_the_query(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    text = installation.access_token("charges:get", label="Nightly <b>settlement</b>")
    made = "Ada Lovelace created the access token Nightly &lt;b&gt;settlement&lt;/b&gt;"
    form = ada.get("/audit-log").form("/audit-log")
    assert form.method == "get"
    assert "authentications" in form.offered["kind"]
    for query, expected in (
        ("person=RITA", {"Rita Reporting signed in"}),
        ("person=rita@example.com&kind=access-tokens", set()),
        ("kind=access-tokens", {made}),
        ("token=NIGHTLY", {made}),
        (f"token={text[:21]}", {made}),
        ("token=nothing", set()),
        ("person=nobody", set()),
        ("kind=roles", set()),
        ("kind=nonsense&token=nightly", {made}),
        ("person=%00", set()),
        ("token=%ff", set()),
    ):
        page = ada.get(f"/audit-log?{query}")
        assert (
            set(said(page)) - {"The command line created the user Rita Reporting as Reporting"}
            == expected
        ), query
        if not expected:
            assert "No matching events" in page.text
        kept = page.form("/audit-log")
        for name, [value] in parse_qs(query).items():
            if value not in ("nonsense", "\0", "\ufffd"):
                assert kept.one(name) == value
    assert "Events by or about Rita Reporting" in ada.get("/audit-log?person=rita").text
    assert "No user matches nobody" in ada.get("/audit-log?person=nobody").text


def test_days_are_headings_and_events_have_the_time_alone(
    installation: Installation, ada: Visit
) -> None:
    for at, name in ((1_767_222_000_000, "Late"), (1_767_222_000_000 + 2 * HOUR, "Early")):
        write_events(installation.node.database, installation.company.id, 1, at=at, actor_name=name)
    page = ada.get("/audit-log?until=2026-01-02T00:00")
    days = re.findall(r"<h2>([^<]*)", page.html)
    assert [day.strip() for day in days][:2] == [
        "Thursday, 1 January 2026",
        "Wednesday, 31 December 2025",
    ]
    times = re.findall(r'data-clock title="([^"]*)">([^<]*)<', page.html)
    assert times == [("1 Jan 2026, 01:00 UTC", "01:00"), ("31 Dec 2025, 23:00 UTC", "23:00")]
    assert ada.get("/audit-log").html.count("<h2>Today, ") == 1


def test_the_record_is_a_link_for_those_who_may_open_it(
    installation: Installation, ada: Visit
) -> None:
    bob = installation.new_user("bob@example.com", "Bob Manager", role="manager")
    token = installation.access_token("charges:get")[:21]
    client = installation.signed_in()
    role = client.post("/v1/roles", json={"name": "Desk", "permissions": ["audit:get"]}).json()
    gone = client.post("/v1/roles", json={"name": "Till", "permissions": ["audit:get"]}).json()
    client.delete(f"/v1/roles/{gone['id']}")
    client.post("/v1/invitations", json={"email": "new@example.com", "role": "reporting"})

    def linked(visit: Visit) -> set[str]:
        found = re.findall(r'<a class="which" href="([^"]*)"', visit.get("/audit-log").html)
        return set(found)

    assert linked(ada) >= {
        f"/access-tokens/{token}",
        f"/company/users/{bob.id}",
        f"/company/roles/{role['id']}",
        "/company/users/invitations",
    }
    assert f"/company/roles/{gone['id']}" not in linked(ada), "a page that is gone"
    for path in linked(ada):
        assert ada.get(path).answer.status_code == 200, path
    installation.new_user("dora@example.com", "Dora Desk", role=role["id"])
    dora = Visit.signed_in(installation.client(), "dora@example.com")
    assert linked(dora) == set()
    assert "created the access token sample" in dora.get("/audit-log").text


def test_a_run_of_equal_events_is_folded_and_opens_to_each(
    installation: Installation, ada: Visit
) -> None:
    write_events(installation.node.database, installation.company.id, 7, at=now(installation))
    page = ada.get("/audit-log?kind=authentications")
    (run,) = re.findall(r'<p class="sentence of-run">(.*?)</p>', page.html)
    assert _plain(run) == "Grace Hopper signed in 7 times"
    assert said(page) == ["Grace Hopper signed in"] * 7 + ["Ada Lovelace signed in"]
    assert page.html.count('<div class="from mono">203.0.113.9</div>') == 8, "each, and the run"
    page.shows("8 events")


def test_set_filters_are_counted_on_the_button_of_phones(ada: Visit) -> None:
    plain = ada.get("/audit-log").html
    assert '<details class="on-phones">' in plain
    filtered = ada.get("/audit-log?person=ada&kind=users")
    assert '<details class="on-phones" open>' in filtered.html
    assert "Filters 2" in filtered.text


def test_a_pasted_token_text_is_removed_from_the_query(
    installation: Installation, ada: Visit
) -> None:
    text = installation.access_token("charges:get")
    answer = ada.get(f"/audit-log?token={text}&kind=access-tokens").answer
    assert answer.status_code == 303
    where = parse_qs(urlsplit(answer.headers["location"]).query)
    assert where == {"token": [text[:21]], "kind": ["access-tokens"]}
    # A login token's, too, although it has no label.
    login = installation.sign_in()
    page = ada.get(f"/audit-log?token={login}", follow=True)
    assert said(page) == ["Ada Lovelace signed in"]
    assert login[21:] not in page.html


def test_times_are_the_viewers_own(installation: Installation, ada: Visit) -> None:
    """10:00 in Sydney (+11 h) is 23:00 the day before in UTC."""
    eleven = 1_767_222_000_000  # 2025-12-31T23:00:00Z
    for at, name in ((eleven - 60_000, "Before"), (eleven, "At"), (eleven + 60_000, "After")):
        write_events(installation.node.database, installation.company.id, 1, at=at, actor_name=name)
    sydney = "from=2026-01-01T10:00&from_offset=660"
    names = [sentence.split()[0] for sentence in said(ada.get(f"/audit-log?{sydney}"))]
    assert names[-2:] == ["After", "At"]
    assert "Before" not in names
    page = ada.get(f"/audit-log?{sydney}&until=2026-01-01T10:01&until_offset=660")
    assert said(page) == ["At signed in"]
    assert page.form("/audit-log").one("from") == "2025-12-31T23:00"
    for query in (
        "from=yesterday",
        "until=2026-02-30T10:00",
        f"{sydney}9999",
        "from=0001-01-01T00:00&from_offset=900",
    ):
        page = ada.get(f"/audit-log?{query}")
        assert page.answer.status_code in (200, 422), query
    assert "Must be a valid date and time" in ada.get("/audit-log?from=yesterday").text


def test_pages(installation: Installation, ada: Visit) -> None:
    write_events(installation.node.database, installation.company.id, 60, at=now(installation))
    first = ada.get("/audit-log?kind=authentications")
    assert len(said(first)) == 50
    assert "The newest 50 events" in first.text
    second = ada.get(first.links["Older"])
    assert len(said(second)) == 11
    assert "Older" not in second.links
    assert said(ada.get(second.links["Newest"])) == said(first)
    for cursor in ("nonsense", "W10", "%00"):
        page = ada.get(f"/audit-log?kind=users&cursor={cursor}")
        assert page.answer.status_code == 422
        assert page.links["Show the newest"] == "/audit-log?kind=users"


def test_too_many_matches_of_a_name_are_reported(installation: Installation, ada: Visit) -> None:
    for n in range(21):
        installation.new_user(f"mary{n}@example.com", "Mary Somerville")
    page = ada.get("/audit-log?person=mary")
    assert page.answer.status_code == 422
    assert "more than 20 match" in page.text
    assert said(ada.get("/audit-log?person=mary7@example.com")) == [
        "The command line created the user Mary Somerville as Admin"
    ]


def test_the_file_has_the_filtered_events(installation: Installation, ada: Visit) -> None:
    installation.access_token("charges:get")
    page = ada.get("/audit-log?kind=access-tokens&person=ada")
    answer = ada.client.get(page.links["Export as CSV"])
    assert answer.headers["content-disposition"].endswith('.csv"')
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-total-count"] == "1"
    assert "Ada Lovelace created the access token sample" in answer.text
    assert ada.client.get(page.links["Export as JSON Lines"]).json()["action"] == (
        "access_token.created"
    )
    for query in ("format=xml", "", "format=csv&from=yesterday"):
        assert ada.get(f"/audit-log/export?{query}").answer.status_code in (404, 422), query


def test_users_without_the_permission_get_an_explanation(installation: Installation) -> None:
    installation.new_user("carl@example.com", "Carl", role="customer-service")
    carl = Visit.signed_in(installation.client(), "carl@example.com")
    # Also for a filter by name.
    for path in ("/audit-log", "/audit-log?person=ada&token=x", "/audit-log/export?format=csv"):
        page = carl.get(path)
        assert page.answer.status_code == 403
        assert "Your role, Customer Service, doesn't include audit:get" in page.text
    assert "/audit-log" not in carl.get("/").links.values()


def test_another_companys_names_match_nothing(installation: Installation, ada: Visit) -> None:
    other = installation.new_company("Difference Engines")
    eve = installation.new_user("eve@example.com", "Eve", company=other)
    theirs = installation.access_token("charges:get", maker="eve@example.com", label="theirs")[:21]
    for query in (
        f"person={eve.id}",
        "person=eve",
        "person=eve@example.com",
        "token=theirs",
        f"token={theirs}",
        f"subject={theirs}",
        f"subject={other.id}",
    ):
        page = ada.get(f"/audit-log?{query}")
        assert "No matching events" in page.text, query
        assert not re.search(r"\bEve\b", page.text)
        if query.startswith(("person=usr", "subject")):
            assert "theirs" not in page.text
