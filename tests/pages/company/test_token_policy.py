"""/company/token-policy: the form, what would break it, and what it shows elsewhere."""

import pytest

from gatepass.core.token_policy import TokenPolicy
from gatepass.web.pages.text.policy_text import policy_sentence
from gatepass.web.pages.widgets.expiry import NEVER, choices, longest
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

PATH = "/company/token-policy"
STRICT = {"longest_life_days": "90", "networks_required": "yes", "unused_days": "30"}
NOW, DAY = 1_800_000_000_000, 86_400_000


def test_a_policy_is_previewed_saved_and_shown(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    made = ada.client.post(
        "/v1/access-tokens",
        json={"label": "Old one", "kind": "api", "permissions": ["charges:get"]},
        headers={"Sec-Fetch-Site": "same-origin"},
    ).json()
    opened = ada.get(PATH)
    opened.shows("Nothing is required.", "Owners are warned 14, 7 and 1 days before")
    form = opened.form(PATH)
    assert form.one("warn_days") == "14, 7, 1"

    def send(pressed: str, **changes: str) -> Page:
        filled = form.filled(**STRICT | changes, permissions=["charges:create"], do=pressed)
        return ada.send(PATH, filled)

    preview = send("sentence")
    preview.shows("1 active token breaks this", "1 can live for more than 90 days", "Old one")
    wrong = send("save", unused_days="x", warn_days="7, 0")
    assert wrong.answer.status_code == 422
    wrong.shows("Must be a whole number from 1 to 365.")
    assert wrong.form(PATH).one("unused_days") == "x"

    done = send("save").answer.headers["location"]
    saved = ada.get(done).form(PATH)
    assert (saved.one("longest_life_days"), saved.all("permissions")) == ("90", ["charges:create"])
    stale = send("save", unused_days="60")
    assert stale.answer.status_code == 409
    stale.shows("You changed this in another tab", "Days without use")

    ada.get(f"/access-tokens/{made['id']}").shows("This token breaks the company's policy")
    new = ada.get("/access-tokens/new")
    new.shows("by your company's policy", "at the latest")
    creating = new.form("/access-tokens/new")
    assert creating.one("expire") == "90d"
    assert "never" not in creating.offered["expire"]
    refused = ada.send(
        "/access-tokens/new",
        creating.filled(label="New", permissions=["charges:get"], do="create"),
    )
    assert refused.answer.status_code == 422
    refused.shows("Must have at least one network.")
    rotated = ada.send(f"/access-tokens/{made['id']}/rotate", {"do": "rotate", "label": "Next"})
    assert rotated.answer.status_code == 422
    rotated.shows("your company's policy asks for IP addresses")
    ada.get("/audit-log").shows("changed the policy for access tokens")
    rita.get(PATH).shows("live for 90 days at most", "An administrator can change that.")


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (TokenPolicy(warn_days=()), "Nothing is required. Nobody is warned"),
        (TokenPolicy(1, warn_days=(1,)), "live for 1 day at most. Owners are warned 1 day before"),
        (
            TokenPolicy(7, True, 9),
            "live for 7 days at most, need IP addresses (for UI, domains will do)",
        ),
        (TokenPolicy(approval_required=("charges:*",)), "need approval for charges:*."),
    ],
)
def test_a_policy_in_words(policy: TokenPolicy, sentence: str) -> None:
    assert sentence in policy_sentence(policy)


def test_the_choices_of_an_expiry_end_by_the_latest() -> None:
    assert [value for value, _ in choices(NOW, NOW + 7 * DAY, "at")] == ["1h", "1d", "7d", "at"]
    # That of a token that breaks the policy stays chosen.
    assert NEVER in dict(choices(NOW, NOW + DAY, NEVER))
    assert len(choices(NOW, None, NEVER)) == 8
    assert [longest(days) for days in (1, 6, 7, 89, 3_650)] == ["1d", "1d", "7d", "30d", "1y"]
