"""The feed's HTTP client: where it sends the key, and how it detects broken connections."""

import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gatepass.core.credentials import make
from gatepass.core.errors import Misconfigured
from gatepass.verify.replica import frames, http_feed
from gatepass.verify.replica.frames import MEDIA_TYPE, BrokenFeed, Opening, Reached
from gatepass.verify.replica.http_feed import FeedRefused, FeedServer, Stream
from tests.support.feed.scripted_feed import KEY, Connection, ScriptedFeed
from tests.support.waiting import LIMIT_S

QUERY = [("node", "node_1234567890123456"), ("permission", "charges:*")]


@pytest.fixture
def feed() -> Iterator[ScriptedFeed]:
    with ScriptedFeed() as feed:
        yield feed


def asked(feed: ScriptedFeed) -> Stream:
    return FeedServer(feed.url, KEY.text).stream(QUERY)


# --- where the key is sent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "gatepass.internal",
        "ftp://gatepass.internal",
        "https://",
        "https:///feed",
        "https://gatepass.internal:99999",
        "https://gatepass.internal:0",
        "https://[::1",
        "https://gatepass.internal/?x=1",
        "https://gatepass.internal/#x",
        "https://gatepass.internal/a b",
        "https://gatepass.internal/\r\nX-Evil: 1",
        "https://gätepass.internal",
        "",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="URL"):
        FeedServer(url, KEY.text)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(Misconfigured) as refused:
        FeedServer("https://ada:hunter2@gatepass.internal", KEY.text)
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    "key",
    ["", "gpvk_x", make("gpat").text, KEY.text + " ", KEY.text[:-1]],
    ids=["empty", "short", "another kind", "with a space", "cut off"],
)
def test_a_malformed_key_is_refused_and_not_repeated(key: str) -> None:
    """An access token is no verifier key. The message never contains the text."""
    with pytest.raises(Misconfigured, match="verifier key") as refused:
        FeedServer("https://gatepass.internal", key)
    assert not key or key not in refused.value.message


@pytest.mark.parametrize("host", ["gatepass.internal", "10.0.0.1", "[2001:db8::1]", "localhost.x"])
def test_in_clear_text_the_key_goes_only_to_this_machine(host: str) -> None:
    with pytest.raises(Misconfigured, match="clear text"):
        FeedServer(f"http://{host}:8787", KEY.text)
    FeedServer(f"http://{host}:8787", KEY.text, allow_http=True)
    FeedServer(f"https://{host}", KEY.text)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_this_machine_needs_no_tls(host: str) -> None:
    FeedServer(f"http://{host}:8787", KEY.text)


def test_a_redirect_is_not_followed(feed: ScriptedFeed) -> None:
    """Wherever it leads, the key stays here."""
    with ScriptedFeed() as elsewhere:
        feed.script = lambda connection: connection.socket.sendall(
            f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/v1/feed\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        with pytest.raises(FeedRefused, match="302"):
            asked(feed)
        assert elsewhere.asked == []


def test_the_key_is_only_in_its_header(feed: ScriptedFeed) -> None:
    server = FeedServer(feed.url + "/gatepass/", KEY.text)
    stream = server.stream(QUERY)
    (connection,) = feed.asked
    assert connection.path == "/gatepass/v1/feed"
    assert connection.query == QUERY
    assert connection.headers["authorization"] == f"Bearer {KEY.text}"
    assert connection.headers["accept"] == MEDIA_TYPE
    stream.close()
    assert KEY.text not in repr(server)
    assert KEY.id in repr(server)


class Certificate:
    """A self-signed certificate for 127.0.0.1, and a server's context with it."""

    def __init__(self, directory: Path, name: x509.GeneralName) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.path = directory / "certificate.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = directory / "key.pem"
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.path, secret)


def test_a_server_is_authenticated_before_it_receives_anything(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path, x509.IPAddress(ip_address("127.0.0.1")))
    with ScriptedFeed(tls=certificate.context) as feed:
        with pytest.raises(ssl.SSLCertVerificationError):
            FeedServer(feed.url, KEY.text).stream(QUERY)
        assert feed.asked == []
        stream = FeedServer(feed.url, KEY.text, cafile=certificate.path).stream(QUERY)
        assert isinstance(next(iter(stream.frames())), Opening)
        stream.close()
        own = ssl.create_default_context(cafile=str(certificate.path))
        FeedServer(feed.url, KEY.text, context=own).stream(QUERY).close()


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path, x509.DNSName("gatepass.internal"))
    with (
        ScriptedFeed(tls=certificate.context) as feed,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        FeedServer(feed.url, KEY.text, cafile=certificate.path).stream(QUERY)


def test_unreadable_certificates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("Dear diary")
    for name in ("text.pem", "nowhere.pem"):
        with pytest.raises(Misconfigured, match=name):
            FeedServer("https://gatepass.internal", KEY.text, cafile=tmp_path / name)


# --- what comes -----------------------------------------------------------------------------------


def test_frames_are_yielded_as_they_arrive(feed: ScriptedFeed) -> None:
    stream = asked(feed)
    coming = stream.frames()
    assert isinstance(next(coming), Opening)
    reached = next(coming)
    assert isinstance(reached, Reached)
    assert (reached.revision, reached.tag) == feed.position
    stream.close()


def test_a_stream_that_ends_well_ends(feed: ScriptedFeed) -> None:
    def end(connection: Connection) -> None:
        connection.begin()
        connection.frame(feed.opening(full=True))
        connection.send(b"")

    feed.script = end
    assert len(list(asked(feed).frames())) == 1


@pytest.mark.parametrize("orderly", [True, False])
def test_a_stream_that_ends_within_a_frame_is_broken(feed: ScriptedFeed, orderly: bool) -> None:
    """Whether the server ends it, or the connection breaks."""

    def cut(connection: Connection) -> None:
        connection.begin()
        connection.send(frames.encode(feed.opening(full=True))[:-3])
        if orderly:
            connection.send(b"")

    feed.script = cut
    with pytest.raises((BrokenFeed, OSError, HTTPException)):
        list(asked(feed).frames())


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        ("401 Unauthorized", b'{"reason": "token_deactivated"}', "401 token_deactivated"),
        ("503 Service Unavailable", b'{"reason": "stale"}', "503 stale"),
        ("502 Bad Gateway", b"<html>", "502"),
        ("422 Unprocessable", b'{"reason": "Bearer gpvk_secret"}', "422"),
        ("422 Unprocessable", b"[]", "422"),
        ("404 Not Found", b'{"reason": 7}', "404"),
    ],
)
def test_a_refusal_says_its_status_and_at_most_a_word(
    feed: ScriptedFeed, status: str, body: bytes, says: str
) -> None:
    """A server must not be able to write into the service's log."""
    feed.script = lambda connection: connection.answer(status, body)
    with pytest.raises(FeedRefused) as refused:
        asked(feed)
    assert refused.value.message == f"the server answers {says}"
    assert refused.value.status == int(status[:3])


def test_a_response_that_isnt_a_feed_is_refused(feed: ScriptedFeed) -> None:
    """A captive portal, or the wrong port."""
    feed.script = lambda connection: connection.answer("200 OK", b"<html>", "text/html")
    with pytest.raises(BrokenFeed):
        asked(feed)


@pytest.mark.parametrize("before", ["nothing", "head", "opening"])
def test_a_silent_stream_times_out(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """A half-open connection or a frozen server sends no packet."""
    monkeypatch.setattr(http_feed, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(http_feed, "CONNECT_SECONDS", 0.5)

    def freeze(connection: Connection) -> None:
        if before != "nothing":
            connection.begin()
        if before == "opening":
            connection.frame(feed.opening(full=True))
        over.wait(LIMIT_S)

    feed.script, over = freeze, threading.Event()
    with pytest.raises(TimeoutError):
        list(asked(feed).frames())
    over.set()


def test_single_bytes_are_no_sign_of_life(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_feed, "LONGEST_FRAME_SECONDS", 0.3)

    def dribble(connection: Connection) -> None:
        connection.begin()
        for byte in frames.encode(feed.opening(full=True)):
            connection.send(bytes([byte]))
            time.sleep(0.05)

    feed.script = dribble
    with pytest.raises(BrokenFeed, match="cut off"):
        list(asked(feed).frames())


# --- what doesn't come to its end -----------------------------------------------------------------


def endless(connection: Connection, *begin: bytes, again: bytes) -> None:
    """Send *begin*, then *again* until the follower hangs up; none of these servers gives up."""
    for part in begin:
        connection.socket.sendall(part)
    while True:
        connection.socket.sendall(again)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n" % MEDIA_TYPE.encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        ((), b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        ((), b"HTTP/1.1 100 Continue\r\nA: " + b"x" * 60_000 + b"\r\n\r\n"),
        ((HEAD,), b"A: " + b"x" * 60_000 + b"\r\n"),
        ((HEAD, b"A: "), b"x" * 10_000),
        ((CHUNKED,), b"1;" + b"x" * 60_000 + b"\r\n\0\r\n"),
        ((CHUNKED, b"1;"), b"x" * 10_000),
        ((CHUNKED, b"0\r\n"), b"A: b\r\n" * 1_000),
    ],
    ids=[
        "interim answers",
        "headers of interim answers",
        "header lines",
        "a header line",
        "chunk extensions",
        "a chunk extension",
        "trailers",
    ],
)
def test_endless_http_is_cut_off(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch, begin: tuple[bytes, ...], again: bytes
) -> None:
    """It would keep a core of the service busy, or fill its memory."""
    monkeypatch.setattr(http_feed, "_MOST_BYTES_A_FRAME", 1 << 20)
    feed.script = lambda connection: endless(connection, *begin, again=again)
    with pytest.raises((BrokenFeed, HTTPException)):
        list(asked(feed).frames())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["head", "trailers", "answer to a report"])
def test_a_dripping_response_is_cut_off(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Bytes arrive all the time, so the silence timeout doesn't apply."""
    # Long enough that a busy machine sends a byte meanwhile.
    monkeypatch.setattr(http_feed, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(http_feed, "LONGEST_FRAME_SECONDS", 1)

    def drip(connection: Connection, *_: object) -> None:
        if place == "trailers":
            connection.socket.sendall(CHUNKED + b"0\r\n")
        if place == "answer to a report":
            connection.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            connection.socket.sendall(b"A: b\r\n" if place == "trailers" else b"H")
            time.sleep(0.02)

    feed.script = feed.post = drip

    def talk() -> None:
        if place == "answer to a report":
            FeedServer(feed.url, KEY.text).report_connection().post("use", b"{}")
        else:
            list(asked(feed).frames())

    with pytest.raises(BrokenFeed, match="cut"):
        talk()


# --- reports --------------------------------------------------------------------------------------


def test_reports_share_one_connection_and_replace_a_lost_one(
    feed: ScriptedFeed,
) -> None:
    reports = FeedServer(feed.url, KEY.text).report_connection()
    for number in range(3):
        assert reports.post("acknowledgement", b'{"n": %d}' % number) == b"{}"
    assert len(feed.connections) == 1
    feed.cut()
    assert reports.post("acknowledgement", b'{"n": 3}') == b"{}"
    assert len(feed.connections) == 2
    assert [said["n"] for _, said in feed.told] == [0, 1, 2, 3]
    reports.close()


def test_a_refused_report_raises_its_status(feed: ScriptedFeed) -> None:
    feed.post = lambda connection, what, body: connection.answer("413 Too Large", b"")
    reports = FeedServer(feed.url, KEY.text).report_connection()
    with pytest.raises(FeedRefused, match="413"):
        reports.post("use", b"{}")
    reports.close()
