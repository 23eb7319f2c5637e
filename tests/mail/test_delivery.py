"""Conversations with a real SMTP server on loopback."""

import ssl
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gatepass.mail.conversation import Conversation
from gatepass.mail.delivery import Outcome, Smtp, ToLog
from tests.support.mail.mailbox import Mailbox
from tests.support.mail.message import message
from tests.support.processes.ports import free_port

SENDER = "gatepass@example.com"
RECIPIENT = "new@example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, key included."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "certificate.pem")


def make_certificate(path: Path, address: str = "127.0.0.1", *, days: int = 1) -> Path:
    """A self-signed certificate for *address*, key included, good until so many *days* from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def deliver(url: str, **options: Any) -> Outcome:
    return Smtp(url, "localhost", **options).deliver(SENDER, RECIPIENT, message)


def test_a_message_arrives_whole(mailbox: Mailbox) -> None:
    assert deliver(mailbox.url) == Outcome("delivered")
    (arrived,) = mailbox.messages
    assert arrived.get_content().split() == ["Text", ".", "with", "a", "dot"]


def test_what_shall_not_go_out_after_all_does_not(mailbox: Mailbox) -> None:
    outcome = Smtp(mailbox.url, "localhost").deliver(SENDER, RECIPIENT, lambda: None)
    assert outcome.fate == "withdrawn"
    assert mailbox.messages == []


def test_the_text_is_written_only_for_a_server_that_takes_the_address(mailbox: Mailbox) -> None:
    def write() -> EmailMessage:
        raise AssertionError("nobody is ready for it")

    mailbox.at_rcpt += ["450 later", "550 never"]
    ours = Smtp(mailbox.url, "localhost")
    assert ours.deliver(SENDER, RECIPIENT, write).fate == "later"
    assert ours.deliver(SENDER, RECIPIENT, write).fate == "never"
    away = Smtp(f"smtp://127.0.0.1:{free_port()}", "localhost")
    assert away.deliver(SENDER, RECIPIENT, write).fate == "later"


def test_an_international_address_needs_a_server_that_takes_them(mailbox: Mailbox) -> None:
    with Mailbox(enable_SMTPUTF8=True) as able:
        url = able.url
        assert Smtp(url, "localhost").deliver(SENDER, "jörg@example.com", message).fate == (
            "delivered"
        )
        assert able.recipients == ["jörg@example.com"]
    with Mailbox(enable_SMTPUTF8=False) as unable:
        outcome = Smtp(unable.url, "localhost").deliver(SENDER, "jörg@example.com", message)
        assert outcome.fate == "never"
        assert Smtp(unable.url, "localhost").deliver(SENDER, "a@bücher.example", message).fate == (
            "delivered"
        )
        assert unable.recipients == ["a@xn--bcher-kva.example"]


def test_starttls_is_used_where_it_is_offered_and_the_certificate_checked(
    certificate: Path,
) -> None:
    with Mailbox(tls_context=server_tls(certificate), require_starttls=True) as server:
        assert deliver(server.url) == Outcome(
            "later", "The mail server's certificate can't be trusted: it is self-signed."
        )
        assert server.messages == []
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert deliver(server.url, tls=trusting).fate == "delivered"


def test_tls_from_the_start(certificate: Path) -> None:
    with Mailbox(ssl_context=server_tls(certificate)) as server:
        url = server.url.replace("smtp:", "smtps:")
        assert "certificate" in deliver(url).trouble
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert deliver(url, tls=trusting).fate == "delivered"


def test_a_certificate_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    for address, days, trouble in (
        ("192.0.2.1", 1, "it is for a different address than the one in GATEPASS_SMTP_URL."),
        ("127.0.0.1", -1, "it has expired."),
    ):
        path = make_certificate(tmp_path / "certificate.pem", address, days=days)
        trusting = ssl.create_default_context(cafile=str(path))
        with Mailbox(tls_context=server_tls(path), require_starttls=True) as server:
            assert deliver(server.url, tls=trusting) == Outcome(
                "later", f"The mail server's certificate can't be trusted: {trouble}"
            )
        with Mailbox(ssl_context=server_tls(path)) as server:
            url = server.url.replace("smtp:", "smtps:")
            assert deliver(url, tls=trusting).trouble.endswith(trouble)


def test_tls_with_one_who_does_not_speak_it(mailbox: Mailbox) -> None:
    outcome = deliver(mailbox.url.replace("smtp:", "smtps:"))
    assert outcome == Outcome(
        "later",
        "The mail server doesn't support TLS on this port. Use smtp:// for a port without TLS from "
        "the start.",
    )


class Door:
    """Clients that a server accepts."""

    def __init__(self) -> None:
        self.said: list[tuple[bytes, bytes]] = []

    def __call__(self, server: Any, session: Any, envelope: Any, how: str, data: Any) -> AuthResult:
        self.said.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)


def test_a_password_goes_in_the_clear_to_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door()
    with Mailbox(authenticator=door, auth_require_tls=False) as server:
        url = server.url.replace("smtp://", "smtp://us%40er:p%40ss%2Fword@")
        assert deliver(url).fate == "delivered"
        assert door.said == [(b"us@er", b"p@ss/word")]
        wrong = server.url.replace("smtp://", "smtp://user:wrong@")
        assert deliver(wrong) == Outcome(
            "later",
            "The mail server rejected the user and password in GATEPASS_SMTP_URL (535 5.7.8).",
        )
        # As if the server were elsewhere.
        monkeypatch.setattr(Conversation, "is_on_this_machine", lambda _: False)
        door.said.clear()
        assert "so the password can't be sent" in deliver(url).trouble
        assert door.said == []


def test_without_a_server_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gatepass.mail")
    assert ToLog().deliver(SENDER, RECIPIENT, message) == Outcome(
        "logged", "No mail server was configured to send it."
    )
    assert "Text\n.\nwith a dot" in caplog.text
    assert RECIPIENT in caplog.text
    assert ToLog().deliver(SENDER, RECIPIENT, lambda: None).fate == "withdrawn"
