"""The pages about testing say what there is, and what they say runs."""

import inspect
import re
from pathlib import Path

from fastapi import Depends, FastAPI, Response
from fastapi.testclient import TestClient

from gatepass.embed.fastapi import Guard
from gatepass.testing import FakeVerifier
from gatepass.verify.verifier import Verifier

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_has_a_row_for_every_method_with_its_parameters() -> None:
    text = (DOCS / "reference/testing.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)\(([^`]*)\)` \|", text, re.M))
    own = {
        name: member
        for name, member in vars(FakeVerifier).items()
        if inspect.isfunction(member) and name[0] != "_"
    }
    assert rows.keys() == own.keys() - vars(Verifier).keys()
    for name, member in own.items():
        parameters = [*inspect.signature(member).parameters.values()][1:]
        for each in parameters:
            default = "" if each.default is each.empty else f"={each.default!r}".replace("'", '"')
            assert f"{each.name}{default}" in rows[name]


def test_every_call_in_the_how_tos_table_can_be_made(gatepass_verifier: FakeVerifier) -> None:
    text = (DOCS / "how-to/embed/testing.md").read_text()
    table = text.partition("| to test |")[2].partition("\n\n")[0]
    calls = re.findall(r"`(verifier\.[^`]+)`", table)
    assert len(calls) > 10
    for call in calls:
        token = gatepass_verifier.token("charges:get")
        eval(call, {"verifier": gatepass_verifier, "token": token})


def test_the_readiness_probe_answers_503_while_the_verifier_is_stale(
    gatepass_verifier: FakeVerifier,
) -> None:
    page = (DOCS / "how-to/embed/index.md").read_text()
    (snippet,) = re.findall(r"```py\n(@app.get\(\"/ready\".*?)```", page, re.S)
    guard = Guard(lambda: gatepass_verifier)
    app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)
    exec(snippet, {"app": app, "guard": guard, "Depends": Depends, "Response": Response})
    client = TestClient(app)
    assert client.get("/ready").status_code == 200
    gatepass_verifier.go_stale()
    assert client.get("/ready").status_code == 503
    gatepass_verifier.recover()
    assert client.get("/ready").status_code == 200
