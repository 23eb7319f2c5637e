"""The page of a portal session: who may frame it, and that it tells nothing."""

import pytest

from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal

CSP = "content-security-policy"


@pytest.fixture
def portal(installation: Installation) -> Portal:
    return Portal(installation)


def test_pages_of_the_session_may_frame_it(portal: Portal) -> None:
    origins = ["https://shop.example", "http://localhost:3000"]
    opened = portal.opened(origins=origins)
    answer = portal.installation.client().get(f"/portal/{opened['id']}")
    assert answer.status_code == 200
    assert answer.headers[CSP].endswith(f"frame-ancestors {' '.join(origins)}")
    assert "x-frame-options" not in answer.headers
    assert opened["code"] not in answer.text


@pytest.mark.parametrize("id", ["gpps_0000000000000000", "x", "%00", "ext:%F0%9F%98%80", "' OR 1"])
def test_an_id_that_does_not_exist_gives_the_same_page(portal: Portal, id: str) -> None:
    client = portal.installation.client()
    known = client.get(f"/portal/{portal.opened()['id']}")
    unknown = client.get(f"/portal/{id}")
    assert (unknown.status_code, unknown.text) == (200, known.text)
    assert unknown.headers[CSP].endswith("frame-ancestors 'none'")
    assert unknown.headers["x-frame-options"] == "DENY"


def test_it_reads_no_credential(portal: Portal) -> None:
    path = f"/portal/{portal.opened()['id']}"
    portal.installation.allow_only("203.0.113.0/24")
    cookie = {"Cookie": f"gatepass={portal.installation.sign_in(peer='203.0.113.9')}"}
    assert portal.installation.client().get(path, headers=cookie).status_code == 200
