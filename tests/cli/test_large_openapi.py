"""Documents of several hundred operations, in the manner of large public APIs."""

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from gatepass.cli.catalogue_update import updated
from gatepass.core.catalogue import Catalogue, parse_catalogue
from gatepass.core.catalogue_differences import differences
from gatepass.core.openapi_import import import_openapi
from gatepass.core.routes import CatalogueRoute

Document = dict[str, Any]

_NOUNS = (
    *("account", "alert", "branch", "charge", "commit", "customer", "deployment", "dispute"),
    *("environment", "gist", "hook", "invoice", "issue", "key", "label", "milestone", "package"),
    *("payout", "plan", "price", "project", "refund", "release", "review"),
)


def _document(paths: Document, **more: Any) -> Document:
    return {"openapi": "3.0.3", "info": {"title": "", "version": "1"}, "paths": paths, **more}


def code_host() -> Document:
    """Like GitHub's: tags, ``issues/list-for-repo``, deep paths, records below owner and repo."""
    paths: Document = {}
    for noun in _NOUNS:
        tag, base = f"{noun}s", f"/repos/{{owner}}/{{repo}}/{noun}s"
        one = f"{base}/{{{noun}_id}}"
        paths[base] = {
            "get": {"tags": [tag], "operationId": f"{tag}/list-for-repo"},
            "post": {"tags": [tag], "operationId": f"{tag}/create"},
        }
        paths[one] = {
            "get": {"tags": [tag], "operationId": f"{tag}/get"},
            "patch": {"tags": [tag], "operationId": f"{tag}/update"},
            "delete": {"tags": [tag], "operationId": f"{tag}/delete"},
        }
        paths[f"{one}/comments"] = {
            "get": {"tags": [tag], "operationId": f"{tag}/list-comments"},
            "post": {"tags": [tag], "operationId": f"{tag}/create-comment"},
        }
        paths[f"{one}/lock"] = {
            "put": {"tags": [tag], "operationId": f"{tag}/lock"},
            "delete": {"tags": [tag], "operationId": f"{tag}/unlock"},
        }
        paths[f"/orgs/{{org}}/{noun}s"] = {
            "get": {"tags": ["orgs"], "operationId": f"orgs/list-{noun}s"}
        }
    paths["/repos/{owner}/{repo}/contents/{path}"] = {
        "get": {"tags": ["repos"], "operationId": "repos/get-content"}
    }
    return _document(paths, servers=[{"url": "https://api.example.com"}])


def payments() -> Document:
    """Like Stripe's: no tags, ``GetCustomersCustomer``, POST for changes, actions as last part."""
    paths: Document = {}
    security = [{"basic": []}, {"bearer": []}]
    for noun in _NOUNS:
        name, plural = noun.capitalize(), f"{noun.capitalize()}s"
        base = f"/v1/{noun}s"
        one = f"{base}/{{{noun}}}"
        paths[base] = {
            "get": {"operationId": f"Get{plural}", "summary": f"List all {noun}s"},
            "post": {"operationId": f"Post{plural}", "summary": f"Create a {noun}"},
        }
        paths[one] = {
            "get": {"operationId": f"Get{plural}{name}"},
            "post": {"operationId": f"Post{plural}{name}"},
            "delete": {"operationId": f"Delete{plural}{name}"},
        }
        for action in ("cancel", "capture", "confirm", "expire"):
            paths[f"{one}/{action}"] = {
                "post": {"operationId": f"Post{plural}{name}{action.capitalize()}"}
            }
        paths[f"{base}/search"] = {"get": {"operationId": f"Get{plural}Search"}}
        paths[f"{one}/sources/{{id}}"] = {"get": {"operationId": f"Get{plural}{name}SourcesId"}}
    return _document(paths, security=security, servers=[{"url": "https://api.example.com/"}])


def cluster() -> Document:
    """Like Kubernetes': groups and versions in paths, ``listCoreV1NamespacedPod``, watches, and
    paths that end in a slash."""
    paths: Document = {"/api/": {"get": {"tags": ["core"], "operationId": "getCoreAPIVersions"}}}
    for noun, (group, version) in product(
        _NOUNS[:16], (("", "v1"), ("apps", "v1"), ("batch", "v1beta1"))
    ):
        tag = f"{group or 'core'}_{version}"
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        kind = f"{(group or 'core').capitalize()}{version.capitalize()}"
        base = f"{root}/namespaces/{{namespace}}/{noun}s"
        for verb, path, method in (
            ("list", base, "get"),
            ("create", base, "post"),
            ("deleteCollection", base, "delete"),
            ("read", f"{base}/{{name}}", "get"),
            ("replace", f"{base}/{{name}}", "put"),
            ("patch", f"{base}/{{name}}", "patch"),
            ("delete", f"{base}/{{name}}", "delete"),
            ("watch", f"{root}/watch/namespaces/{{namespace}}/{noun}s", "get"),
        ):
            operation = {
                "tags": [tag],
                "operationId": f"{verb}{kind}Namespaced{noun.capitalize()}",
            }
            paths.setdefault(path, {})[method] = operation
    return _document(paths)


def scoped() -> Document:
    """With a scope for each operation, as APIs behind OAuth have them."""
    paths: Document = {}
    for noun in _NOUNS:
        for path, method, action in (
            (f"/{noun}s", "get", "read"),
            (f"/{noun}s", "post", "write"),
            (f"/{noun}s/{{id}}", "get", "read"),
            (f"/{noun}s/{{id}}", "put", "write"),
            (f"/{noun}s/{{id}}", "delete", "admin"),
        ):
            paths.setdefault(path, {})[method] = {"security": [{"oauth": [f"{action}:{noun}s"]}]}
    return _document(paths, servers=[{"url": "/api/v2"}])


KINDS = [code_host, payments, cluster, scoped]


def number_of(document: Document) -> int:
    return sum(len(item) for item in document["paths"].values())


def catalogue_of(document: Document, former: str = "", service: str | None = None) -> Catalogue:
    return parse_catalogue(updated(json.dumps(document), former, service).text)


def reading_and_changing(catalogue: Catalogue) -> list[str]:
    """The permissions with which one may read as well as change."""
    found = []
    for known in catalogue.permissions:
        methods = {route.partition(" ")[0] for route in known.routes}
        if "GET" in methods and methods != {"GET"}:
            found.append(known.name)
    return found


@pytest.mark.parametrize("document", KINDS)
def test_each_operation_becomes_a_route(document: Callable[[], Document]) -> None:
    made = document()
    assert number_of(made) > 100
    imported = import_openapi(json.dumps(made))
    assert imported.left_out == []
    catalogue = catalogue_of(made)
    routes = [route for known in catalogue.permissions for route in known.routes]
    assert len(routes) == number_of(made)
    assert reading_and_changing(catalogue) == []
    for known in catalogue.permissions:
        for route in known.routes:
            method, _, path = route.partition(" ")
            found = catalogue.routes.match(method, path.replace("{", "").replace("}", ""))
            assert isinstance(found, CatalogueRoute)
            assert found.permission == known.name


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (code_host, {"issues:list-repo", "issues:create", "issues:lock", "orgs:list-issues"}),
        (payments, {"customers:get", "customers:post", "customers:post-cancel"}),
        (cluster, {"core-v-1:list-namespaced-account", "apps-v-1:watch-namespaced-account"}),
        (scoped, {"issues:read", "issues:write", "issues:admin"}),
    ],
)
def test_names_are_those_that_the_document_speaks_of(
    document: Callable[[], Document], expected: set[str]
) -> None:
    assert expected <= set(catalogue_of(document()).from_file)


@pytest.mark.parametrize("document", KINDS)
def test_a_second_import_changes_nothing_and_a_smaller_one_drops_what_went(
    document: Callable[[], Document],
) -> None:
    made = document()
    text = updated(json.dumps(made), "").text
    again = updated(json.dumps(made), text)
    assert (again.text, again.differences) == (text, [])
    gone = [path for path in made["paths"] if "issue" in path]
    smaller = made | {"paths": {p: i for p, i in made["paths"].items() if p not in gone}}
    fewer = updated(json.dumps(smaller), text)
    found = differences(parse_catalogue(text), parse_catalogue(fewer.text))
    assert not found.added
    assert all("issue" in each.name for each in found.dropped)
    routes = sum(len(item) for path, item in made["paths"].items() if path in gone)
    removed = len(_routes(parse_catalogue(text))) - len(_routes(parse_catalogue(fewer.text)))
    assert removed == routes


def test_all_of_them_as_services_of_one_catalogue() -> None:
    text = ""
    for document in KINDS:
        name = document.__name__.replace("_", "-")
        text = updated(json.dumps(document()), text, name).text
    catalogue = parse_catalogue(text)
    total = sum(number_of(document()) for document in KINDS)
    assert len(_routes(catalogue)) == total > 900
    assert reading_and_changing(catalogue) == []
    # The names that two of them have are told apart.
    found = catalogue.routes.match("GET", "/scoped/api/v2/issues")
    assert isinstance(found, CatalogueRoute)
    assert found.permission == "issues:read"
    # One is brought up to date, the others stay.
    smaller = scoped()
    del smaller["paths"]["/issues/{id}"]
    after = updated(json.dumps(smaller), text, "scoped")
    assert after.differences == [
        "changes issues:read: GET /scoped/api/v2/issues",
        "changes issues:write: POST /scoped/api/v2/issues",
        "drops issues:admin",
    ]
    assert len(_routes(parse_catalogue(after.text))) == total - 3


def _routes(catalogue: Catalogue) -> list[str]:
    return [route for known in catalogue.permissions for route in known.routes]
