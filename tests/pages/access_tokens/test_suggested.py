"""Links that fill in the form of a token."""

from urllib.parse import parse_qsl

import pytest
from starlette.datastructures import QueryParams

from gatepass.core.catalogue import parse_catalogue
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.access_tokens.suggested import fill_in

CATALOGUE = parse_catalogue("""
permissions:
  charges:get: {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
""")


def test_what_a_link_adds() -> None:
    form = TokenForm(kind="ui", networks=[("10.0.0.0", "8")])
    query = (
        "add_network=192.0.2.9&add_domain=Shop.Example.com&add_permission=charges:get"
        "&expires_at=2027-01-15T08:00:30.000Z"
    )
    assert fill_in(form, QueryParams(parse_qsl(query)), CATALOGUE)
    assert form.networks == [("10.0.0.0", "8"), ("192.0.2.9", "32")]
    assert (form.domains, form.permissions) == (["shop.example.com"], ["charges:get"])
    assert (form.expire, form.expires_on) == ("at", "2027-01-15T08:00")
    assert fill_in(form, QueryParams("expires_at=never"), CATALOGUE)
    assert form.expire == "never"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "add_network=nowhere",
        "add_network=%00",
        "add_domain=shop.example.com",
        "add_permission=unknown:get",
        "add_permission=*",
        "expires_at=soon",
        "label=Another",
    ],
)
def test_what_is_not_valid_is_left_out(query: str) -> None:
    form = TokenForm(kind="api", label="Till")
    assert not fill_in(form, QueryParams(query), CATALOGUE)
    assert form == TokenForm(kind="api", label="Till")
