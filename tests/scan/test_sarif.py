"""SARIF: the log has the shape of the standard's schema, and what services show of it."""

from typing import Annotated, Any, Literal

import msgspec

from gatepass.core.credentials import PREFIXES, make
from gatepass.scan.findings import Finding, Unreadable
from gatepass.scan.rules import RULES
from gatepass.scan.sarif import sarif_log

# The part of SARIF 2.1.0 (OASIS Standard, 27 March 2020) that the log uses: names, required
# properties, types and limits as its JSON schema has them. A name that isn't in it is refused.
Index = Annotated[int, msgspec.Meta(ge=1)]
Level = Literal["none", "note", "warning", "error"]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Message(Strict):
    text: str


class MultiformatMessage(Strict):
    text: str
    markdown: str = ""


class Configuration(Strict):
    level: Level = "warning"


class Descriptor(Strict):
    id: str
    name: str
    shortDescription: MultiformatMessage
    fullDescription: MultiformatMessage
    help: MultiformatMessage
    defaultConfiguration: Configuration
    properties: dict[str, Any]


class Driver(Strict):
    name: str
    organization: str
    version: str
    rules: list[Descriptor]


class Tool(Strict):
    driver: Driver


class Notification(Strict):
    message: Message
    level: Level = "warning"


class Invocation(Strict):
    executionSuccessful: bool
    toolExecutionNotifications: list[Notification]


class Region(Strict):
    startLine: Index
    startColumn: Index
    endColumn: Index


class ArtifactLocation(Strict):
    # A URI reference (RFC 3986) has these characters alone.
    uri: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+$")]


class PhysicalLocation(Strict):
    artifactLocation: ArtifactLocation
    region: Region


class Location(Strict):
    physicalLocation: PhysicalLocation


class Result(Strict):
    ruleId: str
    ruleIndex: Annotated[int, msgspec.Meta(ge=0)]
    level: Level
    message: Message
    locations: list[Location]
    partialFingerprints: dict[str, str]
    properties: dict[str, Any] = {}


class Run(Strict):
    tool: Tool
    invocations: list[Invocation]
    columnKind: Literal["utf16CodeUnits", "unicodeCodePoints"]
    results: list[Result]


class Log(Strict):
    version: Literal["2.1.0"]
    runs: list[Run]
    schema: str = msgspec.field(name="$schema")


def run_of(findings: list[Finding], unreadable: list[Unreadable] | None = None) -> Run:
    written = msgspec.json.encode(sarif_log(findings, unreadable or [], "1.2.3"))
    (run,) = msgspec.json.decode(written, type=Log).runs
    return run


def finding(path: str = "a", prefix: str = "gpat", commit: str | None = None) -> Finding:
    return Finding(id=make(prefix).id, path=path, line=3, column=7, commit=commit)


def test_every_kind_has_its_rule() -> None:
    run = run_of([finding(prefix=prefix) for prefix in PREFIXES])
    rules = run.tool.driver.rules
    assert set(PREFIXES) == set(RULES)
    assert len({rule.id for rule in rules}) == len(PREFIXES)
    for prefix, result in zip(PREFIXES, run.results, strict=True):
        rule = rules[result.ruleIndex]
        assert rule.id == result.ruleId == RULES[prefix].id
        assert f"{prefix}_" in rule.fullDescription.text
        assert rule.help.text == rule.help.markdown.replace("`", "")
        # GitHub takes this for critical or high.
        assert float(rule.properties["security-severity"]) >= 9


def test_a_result_has_its_place_and_the_id_alone() -> None:
    found = finding("src/app.py", commit="1234abcd" * 5)
    (result,) = run_of([found]).results
    assert result.message.text == f"{found.id} is an access token, since commit {found.commit}."
    assert result.properties == {"commit": found.commit}
    place = result.locations[0].physicalLocation
    assert place.artifactLocation.uri == "src/app.py"
    assert (place.region.startLine, place.region.startColumn) == (3, 7)
    assert place.region.endColumn == 7 + len(found.id)


def test_paths_are_uris() -> None:
    """Relative paths to the repository's files, as code scanning services match them."""
    for path, uri in {
        "./src/app.py": "src/app.py",
        "a b/ü%?#.txt": "a%20b/%C3%BC%25%3F%23.txt",
        "c:d": "c%3Ad",
        "caf\udce9": "caf%E9",
        "/srv/a b": "file:///srv/a%20b",
        "(message)": "%28message%29",
    }.items():
        (result,) = run_of([finding(path)]).results
        assert result.locations[0].physicalLocation.artifactLocation.uri == uri


def test_what_could_not_be_read_is_no_success() -> None:
    (invocation,) = run_of([]).invocations
    assert invocation.executionSuccessful
    (invocation,) = run_of([], [Unreadable("a", "Permission denied")]).invocations
    assert not invocation.executionSuccessful
    (notification,) = invocation.toolExecutionNotifications
    assert notification.message.text == "a can't be read: Permission denied"
