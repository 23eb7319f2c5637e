"""A catalogue from an OpenAPI document."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.openapi_import import NotOpenAPI, catalogue_text, import_openapi


def document(paths: dict[str, Any], **more: Any) -> str:
    return json.dumps({"openapi": "3.1.0", "info": {}, "paths": paths, **more})


def names(paths: dict[str, Any], **more: Any) -> dict[str, str]:
    """The permission of each route."""
    found = import_openapi(document(paths, **more))
    return {route: name for name, one in found.permissions.items() for route in one.routes}


@pytest.mark.parametrize(
    ("method", "path", "facts", "name"),
    [
        # By scope.
        ("get", "/charges", {"security": [{"oauth": ["charges:read"]}]}, "charges:read"),
        ("get", "/charges", {"security": [{"oauth": ["read:charges"]}]}, "charges:read"),
        ("post", "/x", {"security": [{"oauth": ["Charges.Write"]}]}, "charges:write"),
        ("get", "/x", {"security": [{"key": []}, {"oauth": ["files/read"]}]}, "files:read"),
        # A scope that can't be read as one falls back to the rest.
        ("get", "/charges", {"security": [{"oauth": ["all"]}]}, "charges:search"),
        ("get", "/charges", {"security": [{"oauth": ["https://a.example/b"]}]}, "charges:search"),
        # By tag and operationId.
        ("get", "/v1/c", {"tags": ["Charges"], "operationId": "listCharges"}, "charges:list"),
        ("get", "/v1/c/{id}", {"tags": ["Charges"], "operationId": "getChargeById"}, "charges:get"),
        ("post", "/v1/c", {"tags": ["Charges"], "operationId": "charges_create"}, "charges:create"),
        (
            "post",
            "/x",
            {"tags": ["Pull requests"], "operationId": "pull/merge"},
            "pull-requests:merge",
        ),
        ("get", "/x", {"tags": ["Policies"], "operationId": "getPolicy"}, "policies:get"),
        # By method and path.
        ("get", "/v1/charges", {}, "charges:search"),
        ("get", "/v1/charges/{id}", {}, "charges:get"),
        ("post", "/v1/charges", {}, "charges:create"),
        ("post", "/v1/charges/{id}/capture", {}, "charges:capture"),
        ("put", "/api/v2/charges/{id}", {}, "charges:replace"),
        ("patch", "/charges/{id}", {}, "charges:modify"),
        ("delete", "/charges/{id}", {}, "charges:delete"),
        ("get", "/{id}", {}, "api:get"),
        # Never one of the control plane's own.
        ("get", "/users/{id}", {"operationId": "getUser"}, "api-users:get"),
    ],
)
def test_a_permission_for_an_operation(
    method: str, path: str, facts: dict[str, Any], name: str
) -> None:
    assert names({path: {method: facts}}) == {f"{method.upper()} {path}": name}


def test_reading_and_changing_never_share_a_permission() -> None:
    scope = {"security": [{"oauth": ["charges:use"]}]}
    found = names({"/charges": {"get": scope, "post": scope}, "/charges/{id}": {"delete": scope}})
    assert found == {
        "GET /charges": "charges:use",
        "POST /charges": "charges:use-post",
        "DELETE /charges/{id}": "charges:use-delete",
    }


def test_a_name_that_the_suffix_makes_is_looked_at_again() -> None:
    def using(scope: str) -> dict[str, Any]:
        return {"security": [{"oauth": [scope]}]}

    paths = {
        "/a": {"get": using("charges:use")},
        "/b": {"get": using("charges:use-post")},
        "/c": {"post": using("charges:use")},
    }
    assert names(paths)["POST /c"] == "charges:use-post-post"


def test_a_name_that_is_too_long_is_left_out() -> None:
    found = import_openapi(document({"/a": {"get": {"operationId": "x" * 500}, "post": {}}}))
    assert list(found.permissions) == ["a:create"]
    assert found.left_out == [("GET /a", "its name would be too long")]


def test_the_servers_path_comes_first() -> None:
    servers = [{"url": "https://api.example.com/v1/"}, {"url": "https://other.example/v2"}]
    assert list(names({"/charges": {"get": {}}}, servers=servers)) == ["GET /v1/charges"]
    assert list(names({"/c": {"get": {}}}, servers=[{"url": "/{base}/v1"}])) == ["GET /c"]
    assert list(names({"/c": {"get": {}}}, servers=[{"url": "https://[x"}])) == ["GET /c"]


def test_what_can_be_no_route_is_left_out_and_named() -> None:
    paths = {
        "/open": {"get": {"security": []}},
        "/files/{name}.json": {"get": {}},
        "/a/{id}": {"get": {}},
        "/a/{other}": {"get": {}},
        "/a//b": {"get": {}, "trace": {}},
    }
    found = import_openapi(document(paths))
    assert [operation for operation, _ in found.left_out] == [
        "GET /open",
        "GET /files/{name}.json",
        "GET /a/{other}",
        "GET /a//b",
    ]
    assert dict(found.left_out)["GET /open"] == "needs no credential"
    assert "same shape" in dict(found.left_out)["GET /a/{other}"]


def test_names_of_before_stay() -> None:
    paths = {"/charges": {"get": {}, "post": {}}}
    found = import_openapi(document(paths), {"GET /charges": "money:look"})
    assert list(found.permissions) == ["money:look", "charges:create"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be an object"),
        ("[]", "must be an object"),
        ("a: [", "neither YAML nor JSON in line"),
        ("swagger: '2.0'", "openapi must be 3.0 or 3.1"),
        ("openapi: 3.0.3", "paths must be an object"),
        ("openapi: 3.0.3\npaths: []", "paths must be an object"),
        ("openapi: 3.0.3\npaths: {x: {}}", "begin with a slash"),
        ("openapi: 3.0.3\npaths: {/x: []}", "must be an object"),
        ("openapi: 3.0.3\npaths: {/x: {get: 1}}", "must be an object"),
        ("openapi: 3.0.3\npaths: {/x: {$ref: y.yaml}}", "must not be a"),
        ("openapi: !!bool foo\npaths: {}", "neither YAML nor JSON"),
        ("openapi: !!int ''\npaths: {}", "neither YAML nor JSON"),
        ("openapi: !!timestamp foo\npaths: {}", "neither YAML nor JSON"),
        ("openapi: [3.0]\npaths: {}", "openapi must be"),
        ("openapi: 3.0.3\nx: &a [1]\ny: *a\npaths: {}", "aliases"),
        ("openapi: 3.0.3\nx: !!python/object:os.system {}\npaths: {}", "neither YAML nor JSON"),
        ("[" * 10_000, "neither YAML nor JSON"),
    ],
)
def test_what_is_no_document_is_refused(text: str, why: str) -> None:
    with pytest.raises(NotOpenAPI, match=why):
        import_openapi(text)


texts = st.text(max_size=12)
operations = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.lists(texts, max_size=2),
        "operationId": texts,
        "summary": texts,
        "security": st.lists(st.dictionaries(texts, st.lists(texts, max_size=2)), max_size=2),
    },
)
paths = st.lists(
    st.sampled_from(["v1", "charges", "{id}", "Über", "a b", "*", ""]), max_size=4
).map(lambda parts: "/" + "/".join(parts))


@given(
    st.dictionaries(
        paths,
        st.dictionaries(st.sampled_from(["get", "post", "put", "patch", "delete"]), operations),
        max_size=8,
    )
)
def test_the_result_is_a_catalogue_with_each_operation_once(made: dict[str, Any]) -> None:
    found = import_openapi(document(made))
    catalogue = parse_catalogue(catalogue_text(found.permissions))
    routes = [route for known in catalogue.permissions for route in known.routes]
    left_out = [operation for operation, _ in found.left_out]
    assert sorted(routes + left_out) == sorted(
        f"{method.upper()} {path}" for path, item in made.items() for method in item
    )
    for known in catalogue.permissions:
        assert len({route.startswith("GET ") for route in known.routes}) < 2


def test_a_large_document() -> None:
    """Several hundred operations, as public APIs have."""
    made = {
        f"/v1/resource-{number}/{{id}}/{part}": {
            "get": {"tags": [f"Resource {number}"], "operationId": f"list{part}OfResource{number}"},
            "post": {"tags": [f"Resource {number}"], "operationId": f"create{part}{number}"},
        }
        for number in range(100)
        for part in ("Lines", "Notes", "Files")
    }
    found = import_openapi(document(made))
    assert len(found.permissions) == 600
    assert not found.left_out
