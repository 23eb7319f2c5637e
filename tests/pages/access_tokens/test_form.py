"""The form of a token: reading input, errors by row, and changes to send."""

from dataclasses import replace

import pytest

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Person
from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.registry.tokens.records import AccessToken, TokenOwner
from gatepass.web.pages.access_tokens.form import TokenForm, changes
from gatepass.web.pages.text.forms import Fields
from gatepass.web.pages.text.times import DAY, HOUR

NOW = 1_798_000_000_000

TOKEN = AccessToken(
    id="gpat_7HqXw2Lk90aZbYcT",
    company="com_1",
    label="Settlement",
    kind="ui",
    status="active",
    permissions=("charges:get", "refunds:get"),
    effective_permissions=("charges:get",),
    networks=("203.0.113.0/24", "2001:db8::1/128"),
    domains=("shop.example.com",),
    expires_at=NOW + 30 * DAY + 12_345,
    metadata={},
    external_id=None,
    unused_days=None,
    created_at=NOW,
    owner=TokenOwner("user", "usr_1", None, "Ada"),
    created_by=Person("usr_1", "Ada"),
    deactivated_at=None,
    deactivated_by=None,
    last_used=None,
    rotation=None,
    rehearsal=None,
    approval=None,
)


def form(*pairs: tuple[str, str], **fields: str) -> TokenForm:
    given = {"label": "Settlement", "permissions": "charges:get", **fields}
    return TokenForm.read(Fields([*given.items(), *pairs]))


def network(address: str, bits: str = "") -> list[tuple[str, str]]:
    return [("network_address", address), ("network_bits", bits)]


@pytest.mark.parametrize("index", ["9" * 5_000, "٣", "-1", "", "7"])
def test_a_button_of_an_unknown_row_does_nothing(index: str) -> None:
    pressed = form(*network("10.0.0.0", "8"), *network("10.1.0.0"), ("domain", "a.example"))
    pressed.press(f"remove_network_{index}", None)
    pressed.press(f"remove_domain_{index}", None)
    assert len(pressed.networks) == 2
    assert len(pressed.domains) == 1


def test_a_replacement_expires_no_later_than_the_latest_time() -> None:
    long = replace(TOKEN, expires_at=LATEST_EXPIRY)
    form = TokenForm.replacing(long, NOW + DAY)
    assert (form.expire, form.expires_on) == ("at", "9999-12-31T23:59")


def test_blank_rows_are_ignored() -> None:
    chosen = form(*network("", ""), *network(" 203.0.113.77 ", " 24 "), *network("")).chosen(NOW)
    assert chosen.networks == ("203.0.113.0/24",)


def test_bits_without_an_address_are_refused() -> None:
    wrong = form(("network_bits", "24"))
    with pytest.raises(InvalidInput):
        wrong.chosen(NOW)
    assert list(wrong.errors) == ["networks.0"]


def test_bits_may_be_in_either_field_but_not_in_both() -> None:
    assert form(*network("10.0.0.0/8")).chosen(NOW).networks == ("10.0.0.0/8",)
    twice = form(*network("10.0.0.0/8", "16"))
    with pytest.raises(InvalidInput):
        twice.chosen(NOW)
    assert "only once" in (twice.error("networks.0") or "")


def test_common_notations_of_networks_are_parsed() -> None:
    typed = form(
        *network("203.0.113.0 - 203.0.113.255"),
        *network("198.51.100.0", "255.255.255.0"),
        *network("192.0.2.*"),
        *network("10.0.0.0/8\n2001:db8::/32"),
    )
    assert typed.chosen(NOW).networks == (
        *("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"),
    )


def test_several_networks_in_one_row_must_be_confirmed() -> None:
    """Two addresses without a word between them may be a range."""
    typed = form(*network("203.0.113.0 203.0.113.255"), *network("10.0.0.0", "8"))
    assert typed.networks == [("203.0.113.0", ""), ("203.0.113.255", ""), ("10.0.0.0", "8")]
    with pytest.raises(InvalidInput):
        typed.chosen(NOW)
    assert "now has its own row" in (typed.error("") or "")
    typed.press("remove_network_1", None)
    assert len(typed.networks) == 3


@pytest.mark.parametrize(
    "address", ["203.0.113.0 Office", "203.0.113.0 - 203.0.113.9", "10.0.0.0 8"]
)
def test_a_row_that_is_not_a_single_network_is_refused(address: str) -> None:
    wrong = form(*network(address))
    with pytest.raises(InvalidInput):
        wrong.chosen(NOW)
    assert list(wrong.errors) == ["networks.0"]


@pytest.mark.parametrize(("address", "bits"), [("", "24"), ("10.0.0.1", "0"), ("x", "")])
def test_an_invalid_row_is_refused(address: str, bits: str) -> None:
    wrong = form(*network("10.0.0.0", "8"), *network(address, bits))
    with pytest.raises(InvalidInput):
        wrong.chosen(NOW)
    assert list(wrong.errors) == ["networks.1"]
    assert wrong.summary(NOW).missing == "1 address isn't valid."


def test_domains_apply_to_ui_tokens_only_and_are_kept() -> None:
    for_api = form(("domain", "https://typed"), kind="api")
    assert for_api.chosen(NOW).domains == ()
    assert for_api.domains == ["https://typed"]
    for_ui = form(("domain", "Shop.Example.com"), ("domain", ""), kind="ui")
    assert for_ui.chosen(NOW).domains == ("shop.example.com",)


def test_every_error_is_reported_at_once() -> None:
    wrong = TokenForm.read(
        Fields([("kind", "ui"), ("domain", "-"), ("expire", "at"), ("expires_on", "?")])
    )
    with pytest.raises(InvalidInput):
        wrong.chosen(NOW)
    assert set(wrong.errors) == {"label", "permissions", "domains.0", "expires_at"}


def test_metadata_rows_are_read_and_each_error_is_shown_at_its_row() -> None:
    def rows(*pairs: tuple[str, str]) -> TokenForm:
        return form(
            *(
                each
                for key, value in pairs
                for each in (("metadata_key", key), ("metadata_value", value))
            ),
            external_id=" deploy/7 ",
        )

    chosen = rows(("", ""), (" team ", " pay ments"), ("env", "")).chosen(NOW)
    assert chosen.metadata == {"team": " pay ments", "env": ""}
    assert chosen.external_id == "deploy/7"
    wrong = rows(("team", "a"), ("Team", "b"), ("", "c"), ("team", "d"), ("e", "\u202e"))
    with pytest.raises(InvalidInput):
        wrong.chosen(NOW)
    assert list(wrong.errors) == [f"metadata.{row}" for row in (1, 2, 3, 4)]
    wrong.press("remove_metadata_1", None)
    wrong.press("add_metadata", None)
    assert [key for key, _ in wrong.metadata] == ["team", "", "team", "e", ""]


def test_a_wildcard_replaces_the_permissions_it_covers() -> None:
    chosen = form(("permissions", "charges:*"), ("permissions", "refunds:get")).chosen(NOW)
    assert chosen.permissions == ("charges:*", "refunds:get")


def test_the_summary_names_what_is_missing() -> None:
    assert "label" in TokenForm().summary(NOW).missing
    assert TokenForm(label="x").summary(NOW).missing == "Choose at least one permission."
    unnamed = TokenForm(permissions=["charges:get"]).summary(NOW)
    assert not unnamed.missing
    assert unnamed.permissions == ("charges:get",)


def test_a_summary_adds_no_errors() -> None:
    unfinished = TokenForm()
    unfinished.summary(NOW)
    assert unfinished.errors == {}


def test_buttons_add_and_remove_rows() -> None:
    pressed = form(*network("10.0.0.1"), *network("10.0.0.2"), ("domain", "a.example"))
    pressed.press("remove_network_0", None)
    pressed.press("add_network", None)
    pressed.press("add_my_network", "203.0.113.9")
    pressed.press("add_domain", None)
    pressed.press("remove_domain_0", None)
    assert pressed.networks == [("10.0.0.2", ""), ("", ""), ("203.0.113.9", "")]
    assert pressed.domains == [""]
    for nonsense in ("remove_network_99", "remove_network_", "remove_network_-1", "drop_tables"):
        pressed.press(nonsense, None)
    assert len(pressed.networks) == 3


def test_registry_errors_are_assigned_to_their_rows() -> None:
    rows = form(*network(""), *network("10.0.0.1"), *network("10.0.0.2"))
    rows.accept_errors([("networks.1", "Not this one."), ("form_id", "Lost."), ("label", "No.")])
    assert rows.errors == {"networks.2": "Not this one.", "": "Lost.", "label": "No."}


def test_an_unedited_form_changes_nothing() -> None:
    spaced = replace(TOKEN, label=f" {TOKEN.label} ")
    assert changes(spaced, TokenForm.of(TOKEN).chosen(NOW)) == {}
    untouched = TokenForm.of(TOKEN)
    assert changes(TOKEN, untouched.chosen(NOW)) == {}


def test_only_edited_fields_are_sent() -> None:
    edited = TokenForm.of(TOKEN)
    edited.label = "Settlement 2"
    edited.networks.pop()
    edited.expire = "never"
    assert changes(TOKEN, edited.chosen(NOW)) == {
        "label": "Settlement 2",
        "networks": ["203.0.113.0/24"],
        "expires_at": None,
    }


def test_a_replacement_has_the_lifetime_of_the_original() -> None:
    assert TokenForm.replacing(TOKEN, NOW + 90 * DAY).expire == "30d"
    odd = TokenForm.replacing(
        AccessToken(
            **{name: getattr(TOKEN, name) for name in TOKEN.__slots__}
            | {"expires_at": NOW + 5 * HOUR}
        ),
        NOW + DAY,
    )
    assert odd.expire == "at"
    assert odd.chosen(NOW + DAY).expires_at == (NOW + DAY + 5 * HOUR) // 60_000 * 60_000
