"""Deactivating several tokens from the list, without scripts."""

from urllib.parse import urlencode

from tests.support.apps.installation import Installation
from tests.support.apps.used_tokens import use
from tests.support.browser.page_reader import Page, Visit

PATH = "/access-tokens/deactivate"
SURE = "Deactivate 2 access tokens?"


def ticks(page: Page) -> list[str]:
    """The ids that can be ticked."""
    fields = [each for tag, each in page.elements if tag == "input"]
    return [each["value"] for each in fields if each.get("form") == "selection"]


def ask(visit: Visit, *ids: str, **more: str) -> Page:
    """Press the button below the filters, with *ids* ticked."""
    form = visit.get("/access-tokens").form(PATH)
    assert form.method == "get"
    sent = [*form.fields, *(("id", id) for id in ids), *more.items()]
    return visit.get(f"{PATH}?{urlencode(sent)}")


def statuses(installation: Installation) -> list[str]:
    items = installation.signed_in().get("/v1/access-tokens").json()["items"]
    return [each["status"] for each in items]


def test_ticked_tokens_are_deactivated_after_a_confirmation(
    installation: Installation, ada: Visit
) -> None:
    for n in range(3):
        installation.access_token("charges:get", label=f"Job {n}")
    page = ada.get("/access-tokens")
    newest, second, _ = ticks(page)
    assert "Select all" not in page.text, "they are all on this page"
    page = ask(ada, newest, second)
    page.shows(SURE, "This can't be undone.", "Job 2", "Job 1", "never used")
    assert "Job 0" not in page.text
    assert statuses(installation) == ["active"] * 3
    done = ada.send(PATH, page.form(PATH).fields, follow=True)
    done.shows("2 access tokens are deactivated.", "Job 0", "1 token")
    assert statuses(installation) == ["deactivated", "deactivated", "active"]
    ask(ada, newest).shows("Nothing to deactivate", "deactivated already")
    ask(ada).shows("Tick tokens in the list first.")


def test_all_that_match_are_deactivated_if_none_was_added(
    installation: Installation, ada: Visit
) -> None:
    for n in range(52):
        installation.access_token("charges:get", label=f"Job {n}")
    other = installation.access_token("charges:get", label="Another")
    page = ada.get("/access-tokens?q=job")
    page.shows("Select all 52 that match")
    form = page.form(PATH)
    page = ada.get(f"{PATH}?{urlencode([*form.fields, ('all', '1')])}")
    page.shows("Deactivate 52 access tokens?", "and 42 more")
    installation.access_token("charges:get", label="Job of the last second")
    changed = ada.send(PATH, page.form(PATH).fields)
    assert changed.answer.status_code == 409
    changed.shows("Nothing was deactivated.", "53 access tokens match now, and not 52.")
    changed.shows("Deactivate 53 access tokens?")
    done = ada.send(PATH, changed.form(PATH).fields, follow=True)
    done.shows("53 access tokens are deactivated.")
    assert installation.verify(other, permission="charges:get")["allowed"]


def test_their_number_is_typed_if_some_are_in_use(installation: Installation, ada: Visit) -> None:
    texts = [installation.access_token("charges:get", label=f"Job {n}") for n in range(2)]
    use(installation.node, texts[0], 60_000)
    page = ask(ada, *(text[:21] for text in texts))
    page.shows(SURE, "1 token of these was used within the last hour.")
    for number in ("", "3"):
        refused = ada.send(PATH, page.form(PATH).filled(number=number))
        assert refused.answer.status_code == 422
        refused.shows("Type the number of tokens to confirm.")
    assert statuses(installation) == ["active", "active"]
    done = ada.send(PATH, page.form(PATH).filled(number=" 2 "), follow=True)
    done.shows("2 access tokens are deactivated.")


def test_without_the_permission_one_ticks_ones_own(installation: Installation) -> None:
    theirs = installation.access_token("charges:get")[:21]
    installation.new_user("sam@example.com", "Sam", role="manager")
    sam = installation.signed_in("sam@example.com")
    mine = {"label": "mine", "kind": "api", "permissions": ["charges:get"]}
    own = sam.post("/v1/access-tokens", json=mine).json()["id"]
    user = sam.get("/v1/me").json()["user"]["id"]
    role = {"role": "customer-service"}
    installation.signed_in().patch(f"/v1/users/{user}", json=role)
    visit = Visit.signed_in(installation.client(), "sam@example.com")
    assert ticks(visit.get("/access-tokens")) == [own]
    assert visit.get(f"{PATH}?id={theirs}").answer.status_code == 403
    assert visit.send(PATH, [("id", theirs)]).answer.status_code == 403
    visit.send(PATH, [("id", own)], follow=True).shows("1 access token is deactivated.")
    assert sorted(statuses(installation)) == ["active", "deactivated"]


def test_addresses_that_no_browser_sends_get_a_page(installation: Installation, ada: Visit) -> None:
    for query in ("id=%00", "all=1&q=%00", "all=1&status=any", "all=1&owner=%ff", "id=a&" * 2_000):
        assert ada.get(f"{PATH}?{query}").answer.status_code in (200, 400), query
    wrong = [("all", "1"), ("expect", "x" * 99)]
    assert ada.send(PATH, wrong).answer.status_code == 200
    installation.access_token("charges:get")
    assert ada.send(PATH, wrong).answer.status_code == 409
    assert ada.send(PATH, [("id", "x")] * 1_001).answer.status_code == 200
