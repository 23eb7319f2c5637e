"""A role in a line."""

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.web.pages.company.role_strip import Resource, Strip, role_strip

CATALOGUE = parse_catalogue(
    """
permissions:
  charges:create: {title: "Create", routes: ["POST /v1/charges"]}
  charges:get: {title: "See", routes: ["GET /v1/charges/{id}"]}
  charges:refund: {title: "Refund", routes: ["POST /v1/charges/{id}/refunds"]}
  charges:capture: {title: "Capture", routes: ["POST /v1/charges/{id}/capture"]}
  payouts:get: {title: "See", routes: ["GET /v1/payouts/{id}"]}
  payouts:search: {title: "Search", routes: ["GET /v1/payouts"]}
  reports:get: {title: "See", routes: ["GET /v1/reports"]}
"""
)


@pytest.mark.parametrize(
    ("permissions", "strip"),
    [
        (["*"], Strip(everything=True)),
        ([], Strip(everything=False)),
        (["charges:*"], Strip(False, (Resource("Charges", "all", True),))),
        (["payouts:get"], Strip(False, (Resource("Payouts", "read", False),))),
        (["payouts:get", "payouts:search"], Strip(False, (Resource("Payouts", "read", False),))),
        (["payouts:*"], Strip(False, (Resource("Payouts", "all", False),))),
        (
            ["charges:get", "charges:refund"],
            Strip(False, (Resource("Charges", "read, refund", True),)),
        ),
        (
            ["charges:get", "charges:refund", "charges:create"],
            Strip(False, (Resource("Charges", "3 of 4", True),)),
        ),
        (
            ["audit:get", "users:manage", "reports:get", "charges:create", "payouts:get"],
            Strip(
                False,
                (
                    Resource("Charges", "create", False),
                    Resource("Payouts", "read", False),
                    Resource("Reports", "read", False),
                ),
                more=2,
            ),
        ),
        (["gone:get"], Strip(everything=False)),
    ],
)
def test_a_role_shows_its_first_resources(permissions: list[str], strip: Strip) -> None:
    assert role_strip(CATALOGUE, permissions) == strip
