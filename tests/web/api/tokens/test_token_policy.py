"""``/v1/company/token-policy``, and its effect on tokens from the next request on."""

from typing import Any

import httpx
import pytest

from gatepass.registry.tokens.ending.unused import end_unused
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields

PATH = "/v1/company/token-policy"
NOTHING: dict[str, Any] = {
    "longest_life_days": None,
    "networks_required": False,
    "unused_days": None,
    "approval_required": [],
    "warn_days": [14, 7, 1],
}
STRICT = NOTHING | {"networks_required": True, "unused_days": 30}
SAMPLE = {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:get"]}


def test_a_policy_binds_new_tokens_and_leaves_others(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    nothing = ada.get(PATH)
    assert (nothing.status_code, nothing.json()) == (200, NOTHING)
    old = ada.post("/v1/access-tokens", json=SAMPLE).json()

    preview = ada.post(f"{PATH}/preview", json=STRICT)
    assert preview.status_code == 200
    assert preview.json() == {
        "count": 1,
        "by_rule": {"networks_required": 1, "unused_days": 1},
        "items": [
            {
                **{name: old[name] for name in ("id", "label", "kind", "created_at")},
                "breaks": ["networks_required", "unused_days"],
            }
        ],
    }
    assert ada.get(PATH).json() == NOTHING

    saved = ada.put(PATH, json=STRICT, headers={"If-Match": nothing.headers["etag"]})
    assert (saved.status_code, saved.json()) == (200, STRICT)
    assert ada.get(PATH).headers["etag"] == saved.headers["etag"]
    refused = ada.put(PATH, json=NOTHING, headers={"If-Match": nothing.headers["etag"]})
    assert (refused.status_code, refused.json()["current"]) == (409, STRICT)

    assert fields(ada.post("/v1/access-tokens", json=SAMPLE)) == ["networks"]
    made = ada.post("/v1/access-tokens", json=SAMPLE | {"networks": ["10.0.0.0/8"]})
    assert (made.status_code, made.json()["unused_days"]) == (201, 30)
    path = f"/v1/access-tokens/{old['id']}"
    assert ada.patch(path, json={"label": "Still"}).status_code == 200
    assert fields(ada.post(f"{path}/rotate", json={"close": "now"})) == ["networks"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"longest_life_days": 0}, ["longest_life_days"]),
        ({"longest_life_days": "90"}, ["longest_life_days"]),
        ({"networks_required": None}, ["networks_required"]),
        ({"approval_required": ["charges:none"]}, ["approval_required.0"]),
        ({"warn_days": None}, ["warn_days"]),
        ({"warn_days": [1.5]}, ["warn_days.0"]),
        ({"more": 1}, ["more"]),
    ],
)
def test_an_invalid_rule_is_named(ada: httpx.Client, change: Any, wrong: list[str]) -> None:
    for answer in (
        ada.put(PATH, json=NOTHING | change),
        ada.post(f"{PATH}/preview", json=NOTHING | change),
    ):
        assert fields(answer) == wrong


def test_a_duty_of_the_node_ends_unused_tokens(installation: Installation) -> None:
    text = installation.access_token("charges:get", unused_days=1)
    answers = []
    for seconds in (86_398, 2):
        installation.node.clock.offset_ns += seconds * 1_000_000_000
        installation.node._end_due(end_unused)
        answers.append(installation.verify(text, permission="charges:get")["reason"])
    assert answers == ["allowed", "token_deactivated"]


def test_a_policy_is_sent_whole(ada: httpx.Client) -> None:
    assert fields(ada.put(PATH, json={})) == list(NOTHING)
