"""Several services in one catalogue, each below a path of its own."""

import pytest
from msgspec.structs import replace

from gatepass.core.catalogue import CatalogueError, parse_catalogue
from gatepass.core.grants import encode
from gatepass.core.published_catalogue import catalogue_in, digest_in, records
from gatepass.core.reason import Reason
from gatepass.core.routes import CatalogueRoute

TEXT = """
permissions:
  charges:get: {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
services:
  billing:
    prefix: /billing
    permissions:
      invoices:get: {title: "See one invoice", routes: ["GET /v1/charges/{id}", "GET /"]}
  mail:
    prefix: /internal/mail
    permissions:
      letters:send: {routes: ["POST /letters"]}
options:
  encoded_slash: ["GET /billing/v1/charges/{id}"]
presets:
  Clerk: {permissions: ["invoices:get", "letters:*"]}
"""


def needed(method: str, path: str) -> str:
    found = parse_catalogue(TEXT).routes.match(method, path)
    return found.permission if isinstance(found, CatalogueRoute) else found


def test_a_services_routes_begin_with_its_prefix() -> None:
    assert needed("GET", "/v1/charges/1") == "charges:get"
    assert needed("GET", "/billing/v1/charges/1") == "invoices:get"
    assert needed("GET", "/billing/v1/charges/a%2Fb") == "invoices:get"
    assert needed("GET", "/billing/") == "invoices:get"
    assert needed("POST", "/internal/mail/letters") == "letters:send"
    for path in ("/letters", "/mail/letters", "/billing", "/billing/internal/mail/letters"):
        assert needed("POST", path) == Reason.route_unknown
    assert needed("GET", "/v1/charges/a%2Fb") == Reason.path_ambiguous


@pytest.mark.parametrize(
    ("before", "after", "line", "message"),
    [
        ("prefix: /billing", "title: x", 6, "unknown field 'title'"),
        ("    prefix: /billing\n", "", 5, "must have a prefix"),
        ("/billing\n", "/billing/\n", 6, "must be a path of plain segments"),
        ("/billing\n", "/{tenant}\n", 6, "must be a path of plain segments"),
        ("/billing\n", "billing\n", 6, "must be a path of plain segments"),
        ("/billing\n", "/\n", 6, "must be a path of plain segments"),
        ("/billing\n", "/a/../b\n", 6, "must be a path of plain segments"),
        ("/billing\n", "/a%2Fb\n", 6, "must be a path of plain segments"),
        ("/billing\n", "/a?b\n", 6, "must be a path of plain segments"),
        ("/billing\n", "[1]\n", 6, "must be text"),
        ("  billing:", "  Billing:", 5, "must be a service's name"),
        ("letters:send:", "charges:get:", 12, "must be defined once: it is on line 3"),
        ("letters:send:", "users:get:", 12, "control plane's own"),
        ('"POST /letters"', '"POST letters"', 12, "must be an upper-case method"),
        ("/internal/mail", "/billing", 12, ""),
    ],
)
def test_mistakes_are_named_with_their_line(
    before: str, after: str, line: int, message: str
) -> None:
    text = TEXT.replace(before, after, 1)
    if not message:
        # Another prefix, and then a route of the same shape.
        text = text.replace('"POST /letters"', '"GET /v1/charges/{number}"')
        message = "must not have the same shape"
    with pytest.raises(CatalogueError) as raised:
        parse_catalogue(text)
    assert any(at == line and message in said for at, said in raised.value.problems)


def test_a_published_catalogue_is_the_one_that_was_read() -> None:
    catalogue = parse_catalogue(TEXT)
    digest, contents = (encode(record) for record in records(catalogue))
    assert digest_in(digest) == digest_in(contents)
    again = catalogue_in(contents)
    assert again.contents == catalogue.contents
    assert again.permissions == catalogue.permissions
    assert again.presets == catalogue.presets
    assert again.routes.match("GET", "/billing/v1/charges/a%2Fb") == catalogue.routes.match(
        "GET", "/billing/v1/charges/a%2Fb"
    )
    assert again.routes.tag != catalogue.routes.tag


def test_an_entry_that_a_later_release_takes_for_itself_is_left_out_with_its_routes() -> None:
    text = 'permissions: {future:thing: {routes: ["GET /x"]}}'
    _, contents = records(parse_catalogue(text))
    taken = contents.label.replace("future:thing", "users:manage")
    found = catalogue_in(encode(replace(contents, label=taken)))
    assert found.from_file == ()
    assert found.routes.match("GET", "/x") is Reason.route_unknown
