"""The client sends its bytes unchanged, and says in one line why there is no answer."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatepass.doctor.wire import OWN_LOOPBACK, Gateway, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def serving(
    *answers: bytes, wrap: Callable[[socket.socket], socket.socket] = lambda each: each
) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives one answer on each connection: its port, and what it received."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for each in answers:
                connection, _ = listener.accept()
                try:
                    with wrap(connection) as peer:
                        received.append(peer.recv(65_536))
                        peer.sendall(each)
                except OSError:
                    pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1], received
        thread.join(10)


def test_the_request_is_sent_as_it_is_given() -> None:
    with serving(OK) as (port, received):
        answer = Gateway.at(f"http://127.0.0.1:{port}").ask(
            "PUT", "/a/../b//c%2F;x#y\\", [("X_Odd.Name", " a"), ("x-odd", "1"), ("X-ODD", "\xe9")]
        )
    assert (answer.status, answer.body, answer.address) == (200, b"ok", OWN_LOOPBACK)
    assert received == [
        b"PUT /a/../b//c%2F;x#y\\ HTTP/1.1\r\nHost: 127.0.0.1:" + str(port).encode() + b"\r\n"
        b"X_Odd.Name:  a\r\nx-odd: 1\r\nX-ODD: \xe9\r\nConnection: close\r\n"
        b"Content-Length: 0\r\nUser-Agent: gatepass-doctor\r\n\r\n"
    ]


def test_a_connection_that_was_closed_between_two_requests_is_opened_again() -> None:
    with serving(OK, OK) as (port, _), Gateway.at(f"http://127.0.0.1:{port}").connection() as one:
        assert [one.ask("GET", "/").status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n"])
def test_what_is_no_http_answer_is_one_line(answer: bytes) -> None:
    with serving(answer) as (port, _):
        gateway = Gateway.at(f"http://127.0.0.1:{port}")
        with pytest.raises(Unreachable) as caught:
            gateway.ask("GET", "/")
    assert caught.value.message.startswith(f"{gateway.url}: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "secure", "host", "port", "authority", "path"),
    [
        ("http://api.example.com", False, "api.example.com", 80, "api.example.com", ""),
        ("https://api.example.com/", True, "api.example.com", 443, "api.example.com", ""),
        ("https://[::1]:8443/v1/x", True, "::1", 8443, "[::1]:8443", "/v1/x"),
    ],
)
def test_urls(url: str, secure: bool, host: str, port: int, authority: str, path: str) -> None:
    assert Gateway.at(url) == Gateway(secure, host, port, authority, path)


@pytest.mark.parametrize(
    "url",
    [
        *("", "api.example.com", "ftp://a", "http://", "http://u:p@a", "http://a:b", "http://a b"),
        *("http://a/?", "http://a/#x", "http://ä.example", "http://a\r\nX: y", "http://a:65536"),
    ],
)
def test_what_is_no_url_of_a_gateway(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Gateway.at(url)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "gateway.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_is_checked(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(OK, wrap=lambda each: context.wrap_socket(each, server_side=True)) as (port, _):
        gateway = Gateway.at(f"https://127.0.0.1:{port}")
        if trusted:
            assert gateway.ask("GET", "/").body == b"ok"
        else:
            with pytest.raises(Unreachable, match="certificate"):
                gateway.ask("GET", "/")
