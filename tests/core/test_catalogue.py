"""The catalogue file: what it adds, what is wrong with it and on which line, and built-in roles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.catalogue import (
    BUILT_IN_ROLES,
    CONTROL_PLANE,
    Catalogue,
    CatalogueError,
    CataloguePermission,
    built_in_permissions,
    parse_catalogue,
)
from gatepass.core.decision import Reason
from gatepass.core.errors import GatepassError
from gatepass.core.permissions import is_permission
from tests.support.matched import matched

PAYMENTS = """\
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  charges:search:
    title: List charges
    routes:
      - GET /v1/charges
      - GET /v1/charges/{id}/history
  reports:export: {title: "Export reports"}
"""
OWN = tuple(permission.name for permission in CONTROL_PLANE)


def problems(text: str) -> list[tuple[int, str]]:
    """What is wrong with a catalogue."""
    with pytest.raises(CatalogueError) as caught:
        parse_catalogue(text)
    return caught.value.problems


def test_a_catalogue_adds_to_the_control_planes_own() -> None:
    """Titles and routes are the file's; the control plane's own come first."""
    catalogue = parse_catalogue(PAYMENTS)
    assert catalogue.permissions[: len(CONTROL_PLANE)] == CONTROL_PLANE
    assert catalogue.permissions[len(CONTROL_PLANE)] == CataloguePermission(
        "charges:create", "Create charges", ("POST /v1/charges",), built_in=False
    )
    assert catalogue.from_file == (
        *("charges:create", "charges:get", "charges:search", "reports:export"),
    )
    assert catalogue.names == OWN + catalogue.from_file
    assert matched(catalogue.routes, "GET", "/v1/charges/ch_1") == "charges:get"
    assert matched(catalogue.routes, "GET", "/v1/charges/ch_1/history") == "charges:search"
    assert catalogue.routes.match("DELETE", "/v1/charges/ch_1") is Reason.route_unknown


def test_routes_that_let_an_encoded_slash_stand() -> None:
    """Named by method and shape, before or after the permissions."""
    permissions = "permissions: {files:get: {routes: ['GET /files/{id}', 'GET /x/{id}']}}\n"
    options = "options: {encoded_slash: ['GET /files/{path}']}\n"
    for text in (permissions + options, options + permissions):
        routes = parse_catalogue(text).routes
        assert matched(routes, "GET", "/files/a%2Fb") == "files:get"
        assert routes.match("GET", "/x/a%2Fb") is Reason.path_ambiguous
    for options in ("options:\n", "options: {}\n", "options: {encoded_slash: }\n"):
        routes = parse_catalogue(options + permissions).routes
        assert routes.match("GET", "/files/a%2Fb") is Reason.path_ambiguous


@pytest.mark.parametrize(
    ("name", "routes", "reads"),
    [
        ("charges:get", (), True),
        ("charges:search", ("GET /charges", "POST /charges/search"), True),
        ("charges:get", ("GET /charges/{id}", "DELETE /charges/{id}"), False),
        ("charges:export", ("GET /charges/export", "HEAD /charges/export"), True),
        ("charges:export", ("GET /charges/export", "POST /charges/export"), False),
        ("charges:export", (), False),
        ("charges:read-write", (), False),
        ("get:create", (), False),
    ],
)
def test_a_permission_that_only_reads(name: str, routes: tuple[str, ...], reads: bool) -> None:
    """Its action says so and no route of it changes; or all its routes are GET."""
    assert CataloguePermission(name, name, routes).reads is reads


def test_presets() -> None:
    """Of the file's permissions, their wildcards, and the control plane's own, before or after."""
    presets = """\
presets:
  Reports: {permissions: ["charges:*", "reports:export", "audit:get"]}
  Zoë's till: {description: "Takes payments", permissions: ["charges:create"]}
"""
    for text in (presets + PAYMENTS, PAYMENTS + presets):
        reports, till = parse_catalogue(text).presets
        assert (reports.name, reports.description) == ("Reports", "")
        assert reports.permissions == ("charges:*", "reports:export", "audit:get")
        assert (till.name, till.description) == ("Zoë's till", "Takes payments")
    assert parse_catalogue(PAYMENTS + "presets:\n").presets == ()


@pytest.mark.parametrize(
    ("preset", "sentence"),
    [
        ("P: {}", "the preset 'P' must have permissions"),
        ("P:", "the preset 'P' must have permissions"),
        ("P: {permissions: []}", "the preset 'P' must have permissions"),
        ("P: [charges:get]", "must have fields"),
        ("P: {permissions: charges:get}", "the permissions of the preset 'P' must be a list"),
        ("P: {permissions: [5]}", "put it in quotes"),
        ("P: {permissions: ['*']}", "'*' must not be *: only a role can hold everything"),
        ("P: {permissions: ['refunds:*']}", "'refunds:*' must be of a resource with permissions"),
        ("P: {permissions: ['access-tokens:*']}", "'access-tokens:*' must be replaced by names"),
        ("P: {permissions: ['roles:manage']}", "'roles:manage' must be left out"),
        ("P: {permissions: ['charges:refund']}", "'charges:refund' must be a permission of this"),
        ("P: {permissions: ['Charges']}", "'Charges' must be a permission of this"),
        ("P: {permissions: ['charges:get', 'charges:get']}", "must be given only once"),
        ("P: {permissions: ['charges:get'], title: x}", "known: description and permissions"),
        ("P: {permissions: ['charges:get'], description: 5}", "put it in quotes"),
        ("P: {permissions: ['charges:get'], description: ''}", "1 to 200 printable"),
        (f"{'P' * 61}: {{permissions: ['charges:get']}}", "1 to 60 printable"),
        ("' ': {permissions: ['charges:get']}", "1 to 60 printable"),
        ("\"\u202e\": {permissions: ['charges:get']}", "1 to 60 printable"),
    ],
)
def test_problems_of_presets(preset: str, sentence: str) -> None:
    """Each is told with the line it is on."""
    text = f"permissions:\n  charges:get: {{}}\npresets:\n  {preset}"
    ((line, told),) = problems(text)
    assert line == 4
    assert sentence in told


def test_presets_are_bounded() -> None:
    """At most 20, each of at most 200 permissions."""
    names = [f"a:p{n}" for n in range(201)]
    known = "permissions:\n" + "".join(f"  {name}: {{}}\n" for name in names)
    many = "".join(f"  P{n}: {{permissions: ['a:*']}}\n" for n in range(21))
    ((line, told),) = problems(f"{known}presets:\n{many}")
    assert (line, told) == (224, "there must be at most 20 presets")
    ((_, told),) = problems(f"{known}presets:\n  Large: {{permissions: {names}}}\n")
    assert "at most 200 permissions" in told


@pytest.mark.parametrize(
    "text", [None, "", "\n", "# nothing yet\n", "---\n", "permissions:\n", "permissions: {}", "{}"]
)
def test_an_empty_catalogue_adds_nothing(text: str | None) -> None:
    """Without a file, or with an empty one, there is the control plane alone, and no route."""
    catalogue = parse_catalogue(text)
    assert catalogue.names == OWN
    assert catalogue.from_file == ()
    assert catalogue.routes.match("GET", "/v1/charges") is Reason.route_unknown


def test_title_and_routes_may_be_left_out() -> None:
    """A permission without title is called by its name; one without routes is asked for by name."""
    catalogue = parse_catalogue("permissions: {charges:get: , charges:create: {routes: }}")
    added = catalogue.permissions[len(CONTROL_PLANE) :]
    assert added == (
        CataloguePermission("charges:get", "charges:get"),
        CataloguePermission("charges:create", "charges:create"),
    )


def test_a_name_that_yaml_would_read_as_a_number() -> None:
    """``1:30`` is minutes to YAML 1.1 and a permission here."""
    assert parse_catalogue("permissions: {1:30: {title: Odd}}").knows("1:30")


def test_what_is_known() -> None:
    """Names, and all of a resource; nothing else, not even everything."""
    catalogue = parse_catalogue(PAYMENTS)
    known = ["charges:get", "charges:*", "reports:*", "access-tokens:create", "audit:*"]
    unknown = ["charges:refund", "refunds:*", "*", "*:*", "", "charges", "charges:GET"]
    assert [name for name in known + unknown if catalogue.knows(name)] == known


def test_the_control_planes_own_permissions() -> None:
    """Their names are well formed, their titles said, and they have no routes to guard."""
    assert len(set(OWN)) == len(OWN) == 17
    for permission in CONTROL_PLANE:
        assert is_permission(permission.name)
        assert permission.title
        assert permission.built_in
        assert permission.routes == ()


def test_built_in_roles() -> None:
    """What each role permits follows from the catalogue."""
    catalogue = parse_catalogue(PAYMENTS)
    permitted = {role.id: built_in_permissions(role.id, catalogue) for role in BUILT_IN_ROLES}
    assert {role.id: role.name for role in BUILT_IN_ROLES} == {
        "admin": "Admin",
        "manager": "Manager",
        "customer-service": "Customer Service",
        "reporting": "Reporting",
    }
    assert permitted["admin"] == ("*",)
    assert set(permitted["manager"]) == set(catalogue.names) - {
        *("roles:manage", "company:modify", "company:webhooks")
    }
    assert set(permitted["customer-service"]) == {
        *("access-tokens:search", "access-tokens:get"),
        *("charges:create", "charges:get", "charges:search", "reports:export"),
    }
    assert set(permitted["reporting"]) == {
        *("access-tokens:search", "access-tokens:get", "company:get", "users:get", "roles:get"),
        *("audit:get", "charges:get", "charges:search"),
    }


def test_an_unknown_built_in_role_is_misuse() -> None:
    """A role that isn't built in has no computed permissions."""
    with pytest.raises(KeyError):
        built_in_permissions("owner", parse_catalogue(None))


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: b: c", 1, "must be YAML"),
        ("permissions:\n  - [", 2, "must be YAML"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("permissions: {}\n\0", 1, "must be YAML"),
        ("permissions: {}\n\ud800", 1, "must be YAML"),
        ("- charges:get", 1, "must have fields"),
        ("charges:get", 1, "must have fields"),
        ("permissions: [charges:get]", 1, "must have fields"),
        ("permissions:\n  charges:get: [x]", 2, "must have fields"),
        ("permissions:\n  charges:get: x", 2, "must have fields"),
        ("permission: {}", 1, "unknown field 'permission'"),
        ("permissions: {}\nroles: {}", 2, "unknown field 'roles'"),
        ("permissions: {}\npermissions: {}", 2, "'permissions' must be given only once"),
        ("permissions:\n  a:get: {}\n  a:get: {}", 3, "'a:get' must be given only once"),
        ("permissions:\n  a:get: {title: A, title: B}", 2, "'title' must be given only once"),
        ("permissions:\n  a:get: {titel: A}", 2, "unknown field 'titel'"),
        ("permissions:\n  charges: {}", 2, "'charges' must be a permission"),
        ("permissions:\n  Charges:get: {}", 2, "'Charges:get' must be a permission"),
        ("permissions:\n  'charges:*': {}", 2, "'charges:*' must be a permission"),
        ("permissions:\n  '*': {}", 2, "'*' must be a permission"),
        ("permissions:\n  ? [a]\n  : {}", 2, "name must be plain text"),
        ("permissions:\n  users:get: {}", 2, "control plane's own"),
        ("permissions:\n  a:get: {title: 5}", 2, "put it in quotes"),
        ("permissions:\n  a:get: {title: yes}", 2, "put it in quotes"),
        ("permissions:\n  a:get: {title: !secret x}", 2, "put it in quotes"),
        ("permissions:\n  a:get: {title: ''}", 2, "1 to 200 printable"),
        ('permissions:\n  a:get: {title: "a\\nb"}', 2, "1 to 200 printable"),
        (f"permissions:\n  a:get: {{title: {'x' * 201}}}", 2, "1 to 200 printable"),
        ("permissions:\n  a:get: {routes: GET /a}", 2, "must be a list"),
        ("permissions:\n  a:get:\n    routes:\n      - 5", 4, "put it in quotes"),
        ("permissions:\n  a:get:\n    routes:\n      - GET a", 4, "must be an upper-case method"),
        ("permissions:\n  a:get:\n    routes:\n      - GET /a//", 4, "could never match"),
        ("permissions:\n  a:get:\n    routes:\n      - GET /a/*", 4, "Write GET /a/{name}."),
        ("permissions:\n  a:get: {routes: ['GET /a/:id']}", 2, "Write GET /a/{id}."),
        ("permissions:\n  a:get: {routes: ['GET /a/<int:id>/b']}", 2, "Write GET /a/{id}/b."),
        ("options: {slash: []}", 1, "unknown field 'slash'; known: encoded_slash"),
        ("options: {encoded_slash: GET /a}", 1, "must be a list"),
        ("options: {encoded_slash: [5]}", 1, "put it in quotes"),
        ("options: {encoded_slash: [GET a]}", 1, "must be an upper-case method"),
        ("options:\n  encoded_slash:\n    - GET /a/{id}", 3, "must be a route of one of"),
        ("options: {encoded_slash: ['PUT /{x}']}\npermissions: {a:get: {routes: ['GET /{x}']}}",
         1, "must be a route of one of"),
        ("options: {encoded_slash: ['GET /a']}\npermissions: {a:get: {routes: ['GET /a']}}", 1,
         "must have a parameter"),
        ("permissions:\n  a:get: {routes: [GET /a, GET /a]}", 2, "same shape as 'GET /a' on line"),
        ("permissions:\n  a:get: {routes: ['GET /{x}']}\n  a:put: {routes: ['GET /{y}']}", 3,
         "same shape as 'GET /{x}' on line 2"),
        ("permissions:\n  a:get: &a {title: A}\n  b:get: *a", 3, "aliases"),
        ("permissions:\n  a:get:\n    <<: {title: A}", 3, "unknown field '<<'"),
        ("[" * 100_000, 1, "must not be nested so deeply"),
        ("a: " * 3 + "{" * 100_000, 1, "must be YAML"),
        ("# " + "x" * 1_048_576, 1, "larger than 1 MiB"),
    ],
)  # fmt: skip
def test_problems_have_their_line(text: str, line: int, sentence: str) -> None:
    """Each problem is told with the line it is on."""
    found = problems(text)
    assert found[0][0] == line
    assert sentence in found[0][1]
    assert len(found) == 1


def test_all_problems_are_told_at_once() -> None:
    """Nobody mends a catalogue one error at a time."""
    text = """\
permissions:
  charges: {title: 5}
  users:get: {routes: ["get /x"]}
  charges:get: {routes: ["GET /a", "GET /a"], colour: red}
other:
"""
    assert [line for line, _ in problems(text)] == [2, 2, 3, 3, 4, 4, 5]


def test_the_error_in_one_line() -> None:
    """What the command line shows of it names the first problem's line and counts the rest."""
    with pytest.raises(GatepassError, match=r"line 1: .*\(and 1 more\)$") as caught:
        parse_catalogue("a: 1\nb: 2")
    assert caught.value.reason == "catalogue_invalid"


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    """A few lines that stand for billions of nodes are refused at once."""
    layers = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases" in problems("\n".join(layers))[0][1]


@given(
    st.text(st.characters(), max_size=60)
    | st.text("permissions: {}[]&*!|>-\n\t'\"#,a", max_size=60)
)
def test_any_text_is_a_catalogue_or_an_error(text: str) -> None:
    """Whatever the file holds, the answer is a catalogue or CatalogueError."""
    try:
        catalogue = parse_catalogue(text)
    except CatalogueError:
        return
    assert isinstance(catalogue, Catalogue)
