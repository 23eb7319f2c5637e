"""Domain entries and origins, held against the vectors and a slow reading of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.domains import (
    InvalidDomain,
    is_one_of,
    origin_allowed,
    origin_of_referer,
    parse_domain,
    parse_origin,
    parse_page_origin,
)
from tests.support.vector_files import cases

SENTENCES = {
    "wildcard port": "A wildcard must have no port",
    "host": "Must be a domain name",
    "port": "The port must be",
    "suffix": "Must not cover other people's sites",
    "path": "Must have no https://",
    "scheme": "must have the scheme capacitor",
    "loopback": "must have a port",
}
anything = st.text(st.characters(), max_size=60)
labels = st.text("ab-1", min_size=1, max_size=3).filter(lambda label: label.strip("-") == label)
hosts = st.lists(labels, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example"]))
names = hosts | st.sampled_from(["localhost", "a.localhost"])
ports = st.sampled_from(["", ":80", ":443", ":8443"])
entries = st.one_of(
    st.builds(lambda host, port: host + port, names, ports),
    (hosts | st.just("localhost")).map(lambda host: f"*.{host}"),
)
origins = st.builds(
    lambda scheme, sub, host, port: f"{scheme}://{sub}{host}{port}",
    st.sampled_from(["https", "http", "ftp"]),
    st.sampled_from(["", "a.", "b.a."]),
    names,
    ports,
)


def model(entry: str, origin: str) -> bool:
    """Whether a canonical *origin* is *entry*, spelled out with every port."""
    scheme, _, authority = origin.partition("://")
    host, _, port_text = authority.partition(":")
    entry_host, _, entry_port = entry.partition(":")
    local = host == "localhost" or host.endswith(".localhost")
    if scheme not in (("http", "https") if local else ("https",)):
        return False
    default = {"https": "443", "http": "80"}[scheme]
    if (port_text or default) != (entry_port or default):
        return False
    if entry_host[:2] == "*.":
        return host != entry_host[2:] and host[-len(entry_host[1:]) :] == entry_host[1:]
    return host == entry_host


@pytest.mark.parametrize("case", cases("domains.yaml", "entries"))
def test_entries(case: dict[str, Any]) -> None:
    """An entry is stored in one spelling, or refused with a sentence that names the failure."""
    if "is" in case:
        assert parse_domain(case["text"]) == case["is"]
        assert parse_domain(case["is"]) == case["is"]
        return
    with pytest.raises(InvalidDomain, match=SENTENCES[case["failure"]]):
        parse_domain(case["text"])


@pytest.mark.parametrize("case", cases("domains.yaml", "origins"))
def test_origins(case: dict[str, Any]) -> None:
    """An origin is one of the domains; without domains it is an origin at all."""
    domains, origin = case["domains"], case["origin"]
    if domains:
        assert [parse_domain(entry) for entry in domains] == domains
        assert origin_allowed(domains, origin) == case["allowed"]
    else:
        assert (parse_origin(origin) is not None) == case["allowed"]


@pytest.mark.parametrize("case", cases("domains.yaml", "referers"))
def test_referers(case: dict[str, Any]) -> None:
    """A Referer is reduced to its origin, or to nothing."""
    assert origin_of_referer(case["referer"]) == case["is"]


@given(st.lists(entries, min_size=1, max_size=4), origins)
def test_matching_is_what_it_says(texts: list[str], origin: str) -> None:
    """Scheme, host and port are compared as a whole, whatever shortcut is taken."""
    canonical = tuple(parse_domain(text) for text in texts)
    expected = any(model(entry, origin) for entry in canonical)
    assert origin_allowed(canonical, origin) == expected
    assert origin_allowed(canonical, origin.upper()) == expected


@given(entries)
def test_an_entrys_own_origin_is_allowed(text: str) -> None:
    """What a person typed lets in the site they meant."""
    entry = parse_domain(text)
    assert origin_allowed([entry], "https://" + text.replace("*", "shop"))


@given(anything | st.text("abx.-:*/@%[]019 \u00fc\u3002", max_size=30))
def test_any_text_is_an_entry_or_a_sentence(text: str) -> None:
    """Whatever a person types, the answer is a canonical entry or InvalidDomain."""
    try:
        entry = parse_domain(text)
    except InvalidDomain:
        return
    assert parse_domain(entry) == entry
    assert entry.isascii()
    assert entry == entry.lower() or "://" in entry


@given(anything | anything.map("https://{}".format) | origins)
def test_any_text_is_an_origin_or_none(text: str) -> None:
    """Whatever a client sends is read or refused, and an origin is written back canonically."""
    origin = parse_origin(text)
    assert not origin_allowed(["shop.example.com", "*.example.org"], text) or origin is not None
    if origin is not None:
        assert parse_origin(str(origin)) == origin
        assert origin_of_referer(str(origin)) == str(origin)
    origin_of_referer(text)


@given(st.integers(8, 23), st.characters())
def test_no_single_character_can_be_changed(at: int, character: str) -> None:
    """A host that differs in one character, beyond its case, is another host."""
    origin = "https://shop.example.com"
    changed = origin[:at] + character + origin[at + 1 :]
    allowed = origin_allowed(["shop.example.com"], changed)
    assert not allowed or parse_origin(changed) == parse_origin(origin)
    if character.isascii():
        assert allowed == (changed.lower() == origin)


def test_the_longest_host() -> None:
    """253 characters are a host, 254 are not; a trailing dot doesn't count."""
    host = ".".join(["a" * 49] * 5) + ".xyz"
    assert len(host) == 253
    assert parse_domain(host) == host
    assert parse_domain(host + ".") == host
    assert parse_origin(f"https://{host}.:65535") is not None
    with pytest.raises(InvalidDomain):
        parse_domain("a" + host)


@pytest.mark.parametrize("thing", [None, 0, True, 1.5, b"shop.example.com", [], {}])
def test_what_is_no_text_is_refused(thing: object) -> None:
    """JSON's other types are refused as texts are."""
    assert parse_origin(thing) is None
    assert origin_of_referer(thing) is None
    with pytest.raises(InvalidDomain):
        parse_domain(thing)


@pytest.mark.parametrize("piece", ["a", "a.", "\u00fc", "\u0308", "xn--", "*.", ":", "1", "\ud800"])
def test_absurdly_long_texts_are_cheap(piece: str) -> None:
    """A megabyte of anything is refused before anyone looks at all of it twice: a reading whose
    cost grew with the square would hang here."""
    text = piece * (1_000_000 // len(piece))
    with pytest.raises(InvalidDomain):
        parse_domain(text)
    assert not origin_allowed(["shop.example.com"], "https://" + text)
    assert origin_of_referer("https://" + text) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://SHOP.example.:443", "https://shop.example"),
        ("https://b\u00fccher.example:8443", "https://xn--bcher-kva.example:8443"),
        ("http://localhost", "http://localhost"),
        ("http://app.localhost:3000", "http://app.localhost:3000"),
        ("https://localhost:3000", "https://localhost:3000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://shop.example", None),
        ("http://localhost.example", None),
        ("https://192.0.2.1", None),
        ("http://0x7f.1", None),
        ("https://[2001:db8::1]", None),
        ("https://*.example", None),
        ("https://shop.example/", None),
        ("https://shop.example;x", None),
        ("https://ada@shop.example", None),
        ("ftp://localhost", None),
        ("capacitor://localhost", None),
        ("shop.example", None),
        ("null", None),
        ("", None),
        (None, None),
    ],
)
def test_origins_of_pages(text: Any, canonical: str | None) -> None:
    """What a session names may stand in a header: in one spelling, and nothing beside it."""
    assert parse_page_origin(text) == canonical
    if canonical is not None:
        assert is_one_of([canonical], text)
        assert parse_page_origin(canonical) == canonical
    assert not is_one_of([], text)
    assert not is_one_of(["https://other.example", "null", ""], text)
