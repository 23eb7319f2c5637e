"""/v1/revoke and /v1/credentials/revoke: a reported credential ends at once."""

import base64
import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import func, select

from gatepass.core.errors import TooManyAttempts, Unavailable
from gatepass.registry.notifications import reported_credentials
from gatepass.registry.storage.tables import audit_events, outgoing_mail
from gatepass.web.report_rate import ReportRate
from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.problems import fields, reasons

MANY = "/v1/credentials/revoke"
CALL = {"permission": "charges:get"}


def report(installation: Installation, *texts: str) -> httpx.Response:
    answer = installation.client().post(MANY, json={"credentials": texts})
    assert (answer.status_code, answer.json()) == (202, {})
    return answer


def count(installation: Installation) -> tuple[Counter[str], int]:
    """The numbers of audit events, by action, and of mails.

    Without a deactivation's last event, which a round adds once every server refuses.
    """
    events = select(audit_events.c.action).where(
        audit_events.c.action.not_like("%.refused_everywhere")
    )
    with installation.node.database.read(0) as reading:
        actions = Counter(reading.session.execute(events).scalars())
        mails = reading.session.execute(select(func.count()).select_from(outgoing_mail))
        return actions, int(mails.scalar_one())


def mails(installation: Installation) -> set[tuple[str, str]]:
    """(subject's id, recipient) of the mails about reported credentials."""
    with installation.node.database.read(0) as reading:
        found = reading.session.execute(
            select(outgoing_mail).where(outgoing_mail.c.kind == reported_credentials.MAIL)
        )
        return {(row.subject_id.partition(":")[0], row.recipient) for row in found}


@pytest.mark.parametrize("form", [True, False], ids=["revoke", "many"])
def test_an_access_token_is_refused_at_once(any_installation: Installation, form: bool) -> None:
    installation = any_installation
    token, other = (installation.access_token("charges:get") for _ in range(2))
    if form:
        fields = {"token": token, "token_type_hint": "access_token"}
        answer = installation.client().post("/v1/revoke", data=fields)
        assert (answer.status_code, answer.content) == (200, b"")
    else:
        report(installation, "x", token, "", token)
    assert installation.verify(token, **CALL)["reason"] == "token_deactivated"
    assert installation.verify(other, **CALL)["allowed"]
    ada = installation.signed_in()
    record = ada.get(f"/v1/access-tokens/{token[:21]}").json()
    assert (record["status"], record["deactivated_by"]) == ("deactivated", "reported")
    assert ada.get(f"/v1/access-tokens/{token[:21]}/receipt").status_code == 200
    events = ada.get(f"/v1/audit-events?subject={token[:21]}").json()["items"]
    (event,) = (each for each in events if each["action"] == "access_token.deactivated")
    assert event["sentence"].endswith(", which somebody reported as leaked")
    assert event["address"] == "127.0.0.1"
    assert mails(installation) == {(token[:21], "ada@example.com")}
    # Again, nothing happens.
    before = count(installation)
    report(installation, token)
    assert count(installation) == before


def test_a_token_in_rehearsal_ends_as_well(installation: Installation) -> None:
    token = installation.access_token("charges:get")
    path = f"/v1/access-tokens/{token[:21]}/rehearse"
    how = {"minutes": 1, "share": 1}
    assert installation.signed_in().post(path, json=how).json()["rehearsal"]["share"] == 1
    report(installation, token)
    assert installation.verify(token, **CALL)["reason"] == "token_deactivated"


def test_sign_ins_and_admin_keys_end_too(installation: Installation) -> None:
    login, key = installation.sign_in(), installation.admin_key()
    report(installation, login, key)
    assert reasons(installation.client(login).get("/v1/me")) == (401, "token_deactivated")
    assert reasons(installation.client(key).get("/v1/companies")) == (401, "token_deactivated")
    assert mails(installation) == {
        (login[:21], "ada@example.com"),
        (key[:21], "ada@example.com"),
    }


def test_portal_sessions_end_and_tokens_of_owners_are_told_to_administrators(
    installation: Installation,
) -> None:
    portal = Portal(installation)
    installation.new_user("bob@example.com", "Bob", role="admin")
    installation.new_user("mona@example.com", "Mona", role="manager")
    session = portal.token()
    token = portal.access_token(portal.owner)["token"]
    report(installation, session, token)
    assert portal.page(session).get("/v1/me").status_code == 401
    assert installation.verify(token, **CALL)["reason"] == "token_deactivated"
    told = {(token[:21], f"{name}@example.com") for name in ("ada", "bob")}
    assert mails(installation) == told


def test_a_report_of_many_tokens_is_one_mail_to_each_administrator(
    installation: Installation,
) -> None:
    portal = Portal(installation)
    installation.new_user("bob@example.com", "Bob", role="admin")
    tokens = [portal.access_token(portal.owner)["token"] for _ in range(3)]
    report(installation, *tokens, installation.access_token("charges:get"))
    with installation.node.database.read(0) as reading:
        sent = reading.session.execute(select(outgoing_mail)).all()
        letters = [reported_credentials.letter(reading, row.subject_id) for row in sent]
    others = {letter.user_name: letter.others for letter in letters if letter}
    assert (len(sent), others) == (2, {"Ada Lovelace": 3, "Bob": 2})


def test_a_verifier_key_is_told_to_operators_once_a_day_and_goes_on(
    installation: Installation,
) -> None:
    key = installation.verifier_key()
    report(installation, key)
    before = count(installation)
    report(installation, key)
    assert count(installation) == before
    assert mails(installation) == {(key[:21], "ada@example.com")}
    token = installation.access_token("charges:get")
    asked = {"token": token, **CALL}
    assert installation.client(key).post("/v1/verify", json=asked).json()["allowed"]


def test_nothing_is_written_for_what_does_not_match(installation: Installation) -> None:
    """A right id with a wrong secret, other prefixes, and texts of any kind."""
    token = installation.access_token("charges:get")
    strange = installation.access_token("charges:get")
    wrong = token[:21] + strange[21:]
    before = count(installation)
    report(installation, "", "gpat_", token[:21], wrong, token + " ", token.swapcase(), "💥\x00")
    with_cookie = installation.client()
    with_cookie.cookies["gatepass"] = installation.sign_in()
    after_sign_in = count(installation)
    assert with_cookie.post(MANY, json={"credentials": []}).status_code == 202
    assert installation.client().post("/v1/revoke", data={"token": "x"}).status_code == 200
    assert count(installation) == after_sign_in
    assert after_sign_in[0] - before[0] == {"authentication.created": 1}
    assert installation.verify(token, **CALL)["allowed"]


@pytest.mark.parametrize(
    "form", [{}, {"token": ""}, {"token": ["a", "b"]}, {"x": "y"}, "token=%ff%zz&token"]
)
def test_a_revocation_names_one_token(installation: Installation, form: Any) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    given = {"content": form} if isinstance(form, str) else {"data": form}
    answer = installation.client().post("/v1/revoke", headers=headers, **given)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_bad_bodies_are_refused(installation: Installation) -> None:
    client = installation.client()
    for body, named in (
        ({}, "credentials"),
        ({"credentials": "x"}, "credentials"),
        ({"credentials": [1]}, "credentials.0"),
        ({"credentials": ["x"] * 1_001}, "credentials"),
    ):
        answer = client.post(MANY, json=body)
        assert (answer.status_code, fields(answer)) == (422, [named])
    assert client.post("/v1/revoke", json={"token": "x"}).status_code == 415
    # A thousand texts are more than anyone may send elsewhere.
    assert client.post(MANY, json={"credentials": ["x" * 59] * 1_000}).status_code == 202


def test_pages_of_other_origins_get_no_answer(installation: Installation) -> None:
    origin = {"origin": "https://evil.example"}
    answer = installation.client().post(MANY, json={"credentials": []}, headers=origin)
    assert "access-control-allow-origin" not in answer.headers
    preflight = origin | {"access-control-request-method": "POST"}
    asked = installation.client().options(MANY, headers=preflight)
    assert "access-control-allow-origin" not in asked.headers


def test_reports_are_limited(installation: Installation) -> None:
    for number in range(10):
        path, sent = (MANY, {"json": {"credentials": []}}) if number % 2 else (
            "/v1/revoke", {"data": {"token": "x"}},
        )  # fmt: skip
        assert installation.client().post(path, **sent).status_code in (200, 202)  # type: ignore[arg-type] # either
    refused = installation.client().post(MANY, json={"credentials": []})
    assert reasons(refused) == (429, "too_many_attempts")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    other = installation.client(peer="192.0.2.1")
    assert other.post(MANY, json={"credentials": []}).status_code == 202


class TestSecretScanning:
    """What GitHub sends: an array, signed over its bytes with a key of the operator's file."""

    PATH = "/v1/credentials/secret-scanning"

    @pytest.fixture
    def key(self) -> EllipticCurvePrivateKey:
        return generate_private_key(SECP256R1())

    @pytest.fixture
    def keys(self, tmp_path: Path, key: EllipticCurvePrivateKey) -> Path:
        path = tmp_path / "keys.json"
        self.publish(path, key)
        return path

    @pytest.fixture
    def more_settings(self, keys: Path) -> dict[str, Any]:
        return {"secret_scanning_keys": keys}

    @staticmethod
    def publish(path: Path, key: EllipticCurvePrivateKey) -> None:
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        listed = {"key_identifier": "one", "key": pem.decode(), "is_current": True}
        path.write_text(json.dumps({"public_keys": [listed]}))

    @staticmethod
    def headers(key: EllipticCurvePrivateKey, body: bytes, name: str = "one") -> dict[str, str]:
        signature = base64.b64encode(key.sign(body, ECDSA(SHA256()))).decode()
        return {
            "Github-Public-Key-Identifier": name,
            "Github-Public-Key-Signature": signature,
            "Content-Type": "application/json",
        }

    def test_what_it_found_is_ended(
        self, installation: Installation, key: EllipticCurvePrivateKey
    ) -> None:
        token = installation.access_token("charges:get")
        found = [
            {"token": text, "type": "gatepass", "url": "https://x.example", "source": "content"}
            for text in (token, "gpat_unknown")
        ]
        body = json.dumps(found).encode()
        for _ in range(2):
            answer = installation.client().post(
                self.PATH, content=body, headers=self.headers(key, body)
            )
            assert answer.status_code == 200
            assert [each["label"] for each in answer.json()] == ["true_positive", "false_positive"]
            assert answer.json()[0]["token_hash"] == sha256(token.encode()).hexdigest()
            assert token not in answer.text
        assert installation.verify(token, **CALL)["reason"] == "token_deactivated"

    def test_without_a_valid_signature_nothing_is_ended(
        self, installation: Installation, key: EllipticCurvePrivateKey, keys: Path
    ) -> None:
        token = installation.access_token("charges:get")
        body = json.dumps([{"token": token, "type": "x"}]).encode()
        good = self.headers(key, body)
        other = generate_private_key(SECP256R1())
        twice = [*good.items(), ("Github-Public-Key-Identifier", "one")]
        for headers in (
            {"Content-Type": "application/json"},
            self.headers(other, body),
            self.headers(key, body + b" "),
            self.headers(key, body, name="two"),
            good | {"Github-Public-Key-Signature": "not base64!"},
            twice,
        ):
            answer = installation.client().post(self.PATH, content=body, headers=headers)
            assert reasons(answer) == (401, "token_invalid"), headers
        # The file counts as it is now.
        self.publish(keys, other)
        refused = installation.client().post(self.PATH, content=body, headers=good)
        assert reasons(refused) == (401, "token_invalid")
        assert installation.verify(token, **CALL)["allowed"]

    @pytest.mark.parametrize("content", [None, "{", '{"public_keys": [{"key_identifier": "one"}]}'])
    def test_keys_that_cannot_be_read_are_503(
        self,
        installation: Installation,
        key: EllipticCurvePrivateKey,
        keys: Path,
        content: str | None,
    ) -> None:
        keys.unlink()
        if content is not None:
            keys.write_text(content)
        answer = installation.client().post(
            self.PATH, content=b"[]", headers=self.headers(key, b"[]")
        )
        assert reasons(answer) == (503, "unavailable")

    @pytest.mark.parametrize(
        ("body", "status"), [(b"{}", 422), (b"[{}]", 422), (b'[{"token": 1}]', 422), (b"[", 400)]
    )
    def test_another_body_is_refused(
        self,
        installation: Installation,
        key: EllipticCurvePrivateKey,
        body: bytes,
        status: int,
    ) -> None:
        answer = installation.client().post(
            self.PATH, content=body, headers=self.headers(key, body)
        )
        assert answer.status_code == status


def test_without_keys_there_is_no_secret_scanning(installation: Installation) -> None:
    answer = installation.client().post("/v1/credentials/secret-scanning", json=[])
    assert answer.status_code == 404


def test_processes_count_together(tmp_path: Path) -> None:
    workers = [ReportRate(tmp_path / "reports") for _ in range(3)]
    for number in range(10):
        workers[number % 3].admit("192.0.2.1")
    for worker in workers:
        with pytest.raises(TooManyAttempts):
            worker.admit("192.0.2.1")
        worker.admit("192.0.2.2")


def test_counts_from_before_a_restart_of_the_machine_are_over(
    tmp_path: Path, clock_s: list[float]
) -> None:
    rate = ReportRate(tmp_path / "reports", lambda: clock_s[0])
    for number in range(60):
        rate.admit(f"192.0.2.{number}")
    clock_s[0] = 1.0
    rate.admit("192.0.2.1")


def test_where_nothing_can_be_counted_nothing_is_admitted(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ReportRate(tmp_path / "nowhere" / "reports").admit("192.0.2.1")


def test_the_limits_slide(tmp_path: Path, clock_s: list[float]) -> None:
    rate = ReportRate(tmp_path / "reports", lambda: clock_s[0])
    for number in range(60):
        rate.admit(f"192.0.2.{number % 6}")
    with pytest.raises(TooManyAttempts) as refused:
        rate.admit("198.51.100.1")
    assert refused.value.retry_after == 60
    clock_s[0] += 59.5
    with pytest.raises(TooManyAttempts) as refused:
        rate.admit("192.0.2.0")
    assert refused.value.retry_after == 1
    clock_s[0] += 0.5
    rate.admit("192.0.2.0")


@pytest.fixture
def clock_s() -> list[float]:
    return [1_000.0]
