"""The page that calls the sample API from a browser, and what a browser is told."""

import re
from typing import Any

import pytest


def test_the_page_may_talk_to_its_two_origins_and_to_nothing_else(demo: Any) -> None:
    answer = demo.call("GET", "/demo")
    assert answer.status_code == 200
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["connect-src"] == "http://localhost:8787 http://127.0.0.1:8787"
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_nothing_on_the_page_is_inline_or_from_elsewhere(demo: Any) -> None:
    html = demo.call("GET", "/demo").text
    assert demo.page_token in html
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", html)
    for address in re.findall(r'(?:src|href)="([^"#]+)"', html):
        assert address.startswith(("/", "http://localhost:8787/", "http://127.0.0.1:8787/"))
        if address.startswith(("/static/", "/demo/")):
            assert demo.call("GET", address).status_code == 200


def test_other_pages_talk_to_nobody_else(demo: Any) -> None:
    policy = demo.call("GET", "/sign-in").headers["content-security-policy"]
    assert "connect-src 'self'" in policy


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fapp.py", "demo.html"])
def test_only_the_page_s_own_files_are_served(demo: Any, name: str) -> None:
    assert demo.call("GET", f"/demo/{name}").status_code == 404


def test_the_style_guide_is_there_in_the_demo(demo: Any) -> None:
    assert demo.call("GET", "/styleguide").status_code == 200


def test_a_preflight_is_answered_for_any_origin_and_without_credentials(demo: Any) -> None:
    answer = demo.call(
        "OPTIONS",
        "/demo/v1/charges",
        headers={
            "origin": "http://localhost:8787",
            "access-control-request-method": "GET",
            "access-control-request-headers": "authorization",
        },
    )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "x-access-token", "content-type"} <= set(allowed)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"origin": "http://localhost:8787"}, None),
        ({"referer": "http://localhost:8787/demo"}, None),
        ({"origin": "http://127.0.0.1:8787"}, "origin_not_allowed"),
        ({"origin": "http://localhost"}, "origin_not_allowed"),
        ({"origin": "http://localhost:8788"}, "origin_not_allowed"),
        ({}, "origin_missing"),
    ],
)
def test_the_page_s_token_counts_on_localhost_alone(
    demo: Any, headers: dict[str, str], reason: str | None
) -> None:
    answer = demo.call("GET", "/demo/v1/charges", demo.page_token, headers=headers)
    assert answer.json().get("reason") == reason
    assert answer.headers["access-control-allow-origin"] == "*", "or the page could not say why"


def test_what_the_page_offers_is_within_its_token_or_refused_on_purpose(demo: Any) -> None:
    origin = {"origin": "http://localhost:8787"}
    opened = demo.call("POST", "/demo/v1/checkouts", demo.page_token, headers=origin, json={})
    assert opened.status_code == 200
    refund = demo.call("POST", "/demo/v1/charges/ch_x/refund", demo.page_token, headers=origin)
    assert refund.json()["reason"] == "permission_missing"
