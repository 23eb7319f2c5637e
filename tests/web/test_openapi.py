"""``/v1/openapi.json`` describes every operation in full, so that clients can be generated."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from pydantic import Field

from gatepass.core.reason import Reason
from gatepass.web.api.parameters import IfMatch, Paging, RecordId
from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.router import router
from gatepass.web.api.shapes import Listed, Record
from gatepass.web.caller import SignedIn
from gatepass.web.gateway.verification import _FIELDS, BATCH, MOST_CALLS, VERIFY
from gatepass.web.openapi import openapi_document
from tests.docs.test_completeness import reasons
from tests.support.apps.all_routes import api_routes
from tests.support.apps.installation import Installation

#: Served in front of the framework, for verifier keys.
VERIFIERS = {f"POST {VERIFY}", f"POST {BATCH}"}
HEALTH = {"GET /health/live", "GET /health/ready"}
#: Without a credential.
OPEN = {
    *("POST /v1/authentications", "POST /v1/invitations/accept", "POST /v1/portal-sessions/redeem"),
    "POST /v1/credentials/revoke",
    *HEALTH,
}
#: Any string is a token, a method or a path of a call, and gets a decision.
ANY_TEXT = {("Call", name) for name in _FIELDS}
#: Reasons that pages, the command line, gateways and the feed answer, and the API never does.
ELSEWHERE = {
    *("broken_feed", "catalogue_invalid", "cross_site", "email_change_broken", "ended_since"),
    *("openapi_invalid", "not_undoable"),
    *("form_already_used", "misconfigured", "not_empty", "password_reset_broken"),
    *("peer_not_trusted", "refused", "second_factor_missing", "second_factor_present", "serving"),
    *("too_many_followers", "allowed", "error", "conflict", "link_broken"),
    # Of signing in with an OIDC provider, on pages and for the provider.
    *("identity_taken", "password_missing", "provider_unavailable", "invalid_request"),
    # Of owners by external id, which no route creates yet.
    "type_differs",
}


@pytest.fixture
def document(installation: Installation) -> Any:
    return installation.client().get("/v1/openapi.json").json()


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def content(part: Any) -> Iterator[tuple[str, Any]]:
    """(media type, schema) of a body or an answer."""
    for kind, described in part.get("content", {}).items():
        yield kind, described["schema"]


def test_it_is_valid(document: Any) -> None:
    validate(document)


def test_it_says_who_where_and_under_what_terms(document: Any, installation: Installation) -> None:
    assert document["servers"] == [{"url": installation.node.settings.public_url}]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert document["info"]["contact"]["name"]
    used = {tag for one in operations(document).values() for tag in one["tags"]}
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert set(described) == used
    assert {name for name, text in described.items() if text == name} == set()


def test_it_has_every_route_of_the_api(document: Any) -> None:
    shown, hidden = set(), set()
    for path, route in api_routes():
        found = shown if route.include_in_schema else hidden
        found |= {f"{method} {path}" for method in route.methods}
    assert set(operations(document)) == shown | VERIFIERS | HEALTH
    # For OIDC providers, OAuth clients and GitHub, which have specifications of their own.
    assert hidden == {
        *("POST /v1/oidc/back-channel-logout", "POST /v1/oidc/global-token-revocation"),
        *("POST /v1/revoke", "POST /v1/credentials/secret-scanning"),
    }


def test_the_feed_is_not_in_it(document: Any) -> None:
    """Only embedded verifiers speak it; generated clients couldn't."""
    assert not [path for path in document["paths"] if "feed" in path]
    assert not {"Acknowledgement", "UsageReport", "UsageBatch"} & set(
        document["components"]["schemas"]
    )


def test_every_operation_has_its_names(document: Any) -> None:
    found = operations(document)
    assert len({one["operationId"] for one in found.values()}) == len(found)
    for name, operation in found.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name


def test_every_body_and_json_answer_is_a_named_schema(document: Any) -> None:
    for name, operation in operations(document).items():
        taken = operation.get("requestBody", {})
        assert bool(taken) is (not name.startswith(("GET", "DELETE"))), name
        answers = [one for one in operation["responses"].values() if "$ref" not in one]
        for part in (taken, *answers):
            for kind, schema in content(part):
                named = re.fullmatch(r"#/components/schemas/[A-Z]\w+", schema.get("$ref", ""))
                assert named or kind in ("text/csv", "application/x-ndjson"), (name, kind)


def test_every_schema_reads_well_in_generated_code(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"([A-Z][a-z]+)+", name), name
        assert schema["description"], name


def test_every_operation_has_its_problems(document: Any) -> None:
    problems = {
        name: answer["content"]["application/problem+json"]
        for name, answer in document["components"]["responses"].items()
    }
    for problem in problems.values():
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
    for name, operation in operations(document).items():
        answers = operation["responses"]
        for status, answer in answers.items():
            if status >= "400" and name not in HEALTH:
                assert answer == {"$ref": f"#/components/responses/Problem{status}"}, name
        if name in HEALTH:
            continue
        wanted = {"400", "408", "413", "422", "500", "503"}
        if operation["security"]:
            wanted |= {"401"} if name in VERIFIERS else {"401", "403"}
        if "{" in name:
            wanted |= {"404"} if name.startswith("GET") else {"404", "409"}
        if "requestBody" in operation and name not in VERIFIERS:
            wanted |= {"415"}
        if any(one["in"] == "header" for one in operation.get("parameters", ())):
            wanted |= {"409"}
        assert wanted <= set(answers), name
    found = operations(document)
    for name in ("POST /v1/authentications", "POST /v1/me/email", "POST /v1/users/{id}/email"):
        assert "429" in found[name]["responses"], name
    assert "410" in found["POST /v1/invitations/accept"]["responses"]


def test_every_reason_of_the_api_is_named(document: Any) -> None:
    text = json.dumps(document)
    sent = {one for one in reasons() if one} - ELSEWHERE
    assert sent > {reason.value for reason in Reason} - ELSEWHERE
    assert {one for one in sent if f"`{one}`" not in text and f'"{one}"' not in text} == set()


def test_every_operation_names_its_security_schemes(document: Any) -> None:
    schemes = set(document["components"]["securitySchemes"])
    for name, operation in operations(document).items():
        named = {scheme for one in operation["security"] for scheme in one}
        assert named <= schemes, name
        if name in OPEN:
            assert named == set(), name
        elif name in VERIFIERS:
            assert named == {"verifier-key", "x-access-token"}
        else:
            assert "bearer" in named, name
    assert document["components"]["securitySchemes"]["dashboard"]["name"] == "gatepass"


def test_an_operation_without_a_credential_takes_none(
    document: Any, installation: Installation
) -> None:
    """Every other one refuses a stranger."""
    for name, operation in operations(document).items():
        method, path = name.split(" ")
        address = re.sub(r"\{\w+\}", "x", path)
        answer = installation.client().request(method, address)
        assert (answer.status_code == 401) is bool(operation["security"]), name


def test_every_parameter_has_its_limits(document: Any) -> None:
    seen = 0
    for name, operation in operations(document).items():
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            assert "anyOf" not in schema, (name, parameter)
            if parameter["in"] != "header":
                assert _limited(schema), (name, parameter)
                seen += 1
    assert seen > 40


def test_every_field_of_a_body_has_its_limits(document: Any) -> None:
    schemas = document["components"]["schemas"]
    taken = {
        schema["$ref"].rpartition("/")[2]
        for operation in operations(document).values()
        for _, schema in content(operation.get("requestBody", {}))
    }
    assert len(taken) > 10
    for name in taken:
        assert schemas[name]["additionalProperties"] is False
        for field, schema in schemas[name].get("properties", {}).items():
            if (name, field) not in ANY_TEXT:
                assert _limited(schema), (name, field)
    label = schemas["NewAccessToken"]["properties"]["label"]
    assert (label["minLength"], label["maxLength"]) == (1, 100)
    assert schemas["CallBatch"]["properties"]["calls"]["maxItems"] == MOST_CALLS


def _limited(schema: Any) -> bool:
    """Whether a schema says what is valid at all."""
    if "anyOf" in schema:
        return all(map(_limited, schema["anyOf"]))
    wanted = {
        "string": ("maxLength", "pattern", "enum", "const"),
        "integer": ("maximum",),
        "array": ("maxItems",),
    }.get(schema.get("type"), ())
    dated = schema.get("format") == "date-time"
    return dated or not wanted or any(key in schema for key in wanted)


def test_no_field_has_a_default(document: Any) -> None:
    """A generated client would send it, and so change what it should leave alone."""
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            assert "default" not in described, (name, field)


def test_every_list_is_paged(document: Any) -> None:
    lists = 0
    for name, operation in operations(document).items():
        answer = operation["responses"].get("200", {})
        if any(schema.get("$ref", "").endswith("List") for _, schema in content(answer)):
            queries = {one["name"]: one["schema"] for one in operation["parameters"]}
            assert queries["limit"] == {"type": "integer", "minimum": 1, "maximum": 200}, name
            assert "cursor" in queries, name
            lists += 1
    assert lists > 8


def test_every_record_that_can_be_changed_has_its_etag(document: Any) -> None:
    changed = 0
    for name, operation in operations(document).items():
        headers = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"]
        if name.startswith(("PATCH", "PUT")) and "by-external-id" not in name:
            assert "If-Match" in headers, name
        if "If-Match" in headers and "200" in operation["responses"]:
            assert operation["responses"]["200"]["headers"]["ETag"]["required"], name
            changed += 1
    assert changed > 4


def test_every_creation_says_where_and_whether_it_is_confirmed(document: Any) -> None:
    found = operations(document)
    for name, operation in found.items():
        if "201" in operation["responses"] and name.startswith("POST"):
            headers = operation["responses"]["201"]["headers"]
            assert "Gatepass-Confirmed" in headers, name
            one = any(re.fullmatch(re.escape(f"GET {name[5:]}/") + r"\{\w+\}", x) for x in found)
            assert ("Location" in headers) is one, name
    put = found["PUT /v1/companies/by-external-id/{external_id}"]["responses"]["201"]
    for creation in (found["POST /v1/access-tokens"]["responses"]["201"], put):
        assert {"Location", "Gatepass-Confirmed"} <= set(creation["headers"])


def test_every_example_is_valid(document: Any) -> None:
    seen = 0
    for name, schema in document["components"]["schemas"].items():
        for examples, exemplified in _examples(schema):
            checker = _checker(exemplified, document)
            for example in examples:
                checker.validate(example)
                seen += 1
        assert schema.get("examples") or "properties" not in schema, name
    for response in document["components"]["responses"].values():
        (described,) = response["content"].values()
        _checker(described["schema"], document).validate(described["example"])
    assert seen > 150


def _checker(schema: Any, document: Any) -> Any:
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]})


def _examples(schema: Any) -> Iterator[tuple[list[Any], Any]]:
    """The examples below *schema*, each with the schema that it is an example of."""
    if isinstance(schema, dict):
        if isinstance(schema.get("examples"), list):
            yield schema["examples"], schema
        for key, value in schema.items():
            if key != "examples":
                yield from _examples(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _examples(value)


def test_every_reference_resolves_and_no_framework_schema_is_left(document: Any) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for inner in value.values() for found in references(inner)]
        if isinstance(value, list):
            return [found for inner in value for found in references(inner)]
        return []

    found = references(document)
    assert len(found) > 100
    for reference in found:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    assert "HTTPValidationError" not in str(document)


def test_it_describes_the_calls_that_the_gateway_reads(document: Any) -> None:
    assert tuple(document["components"]["schemas"]["Call"]["properties"]) == _FIELDS


def test_the_cookie_scheme_has_the_cookies_name() -> None:
    document = openapi_document(router, "__Host-gatepass", "https://gatepass.example")
    assert document["components"]["securitySchemes"]["dashboard"]["name"] == "__Host-gatepass"


# --- a resource that doesn't exist yet ------------------------------------------------------------


class Thing(Record):
    """A thing."""

    etag = str

    id: str


class ThingPart(Fields):
    """A part of a thing."""

    size: int


class ThingChanges(Fields):
    """Changes of a thing."""

    label: str = ""
    parts: list[ThingPart] = Field(default=[])


def test_a_new_resource_comes_out_right_by_itself() -> None:
    things = resource("Things")

    @things.get("/things")
    def search(actor: SignedIn, paging: Paging) -> Listed[Thing]: ...

    @things.get("/things/{id}")
    def get(actor: SignedIn, id: RecordId) -> Thing: ...

    @things.post("/things", status_code=201)
    def create(actor: SignedIn, new: Annotated[ThingPart, body(ThingPart)]) -> Thing: ...

    @things.patch("/things/{id}")
    def modify(
        actor: SignedIn,
        id: RecordId,
        changes: Annotated[ThingChanges, body(ThingChanges)],
        if_match: IfMatch,
    ) -> Thing: ...

    document = openapi_document(things, "gatepass", "https://gatepass.example")
    validate(document)
    found = operations(document)
    listed = found["GET /v1/things"]["responses"]["200"]["content"]["application/json"]
    assert listed["schema"] == {"$ref": "#/components/schemas/ThingList"}
    changed = found["PATCH /v1/things/{id}"]
    assert set(changed["responses"]) > {"401", "403", "404", "409", "415", "422"}
    assert changed["responses"]["200"]["headers"]["ETag"]
    assert found["POST /v1/things"]["responses"]["201"]["headers"]["Location"]
    schema = document["components"]["schemas"]["ThingChanges"]
    assert schema["properties"] == {
        "label": {"type": "string"},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/ThingPart"}},
    }


def test_two_models_of_one_name_are_an_error() -> None:
    def other() -> type[Fields]:
        class Role(Fields):
            """Not the record."""

        return Role

    things = resource("Things")

    @things.post("/things")
    def create(actor: SignedIn, new: Annotated[Any, body(other())]) -> Thing: ...

    things.routes.extend(router.routes)
    with pytest.raises(ValueError, match="two models are named Role"):
        openapi_document(things, "gatepass", "https://gatepass.example")
