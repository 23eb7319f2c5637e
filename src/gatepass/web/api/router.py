"""The REST API: one module per resource."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from gatepass.web.api import catalogue, catalogue_versions, nodes, receipts, reported_credentials
from gatepass.web.api.account import authentications, email_addresses, oidc
from gatepass.web.api.my_company import (
    allowlist,
    audit_events,
    audit_export,
    company,
    invitations,
    roles,
    service_accounts,
    users,
    webhooks,
)
from gatepass.web.api.provisioning import (
    admin_keys,
    companies,
    company_access_tokens,
    company_owners,
    portal_sessions,
    verifier_keys,
)
from gatepass.web.api.tokens import (
    access_requests,
    access_token_export,
    access_tokens,
    decisions,
    impact,
    observed_calls,
    self_rotation,
    suggestion,
    token_policy,
)
from gatepass.web.cross_origin import is_cross_origin


def dependencies(dependant: Dependant) -> Iterator[Any]:
    """The functions that an endpoint depends on, the outermost first."""
    for each in dependant.dependencies:
        yield each.call
        yield from dependencies(each)


def endpoints(*, cross_origin: bool) -> list[tuple[str, str]]:
    """(method, path) of the endpoints that pages of other origins can call, or of all others."""
    return [
        (method, route.path)
        for route in router.routes
        if isinstance(route, APIRoute)
        and any(map(is_cross_origin, dependencies(route.dependant))) is cross_origin
        for method in route.methods or ()
    ]


_MODULES = (
    authentications,
    catalogue,
    catalogue_versions,
    # "export" and "self" are no token ids, so their paths go before those of one token.
    access_token_export,
    self_rotation,
    access_tokens,
    observed_calls,
    decisions,
    access_requests,
    receipts,
    impact,
    suggestion,
    allowlist,
    token_policy,
    invitations,
    users,
    email_addresses,
    service_accounts,
    roles,
    company,
    webhooks,
    audit_events,
    audit_export,
    reported_credentials,
    verifier_keys,
    admin_keys,
    companies,
    company_owners,
    company_access_tokens,
    portal_sessions,
    nodes,
    oidc,
)
router = APIRouter()
for module in _MODULES:
    # As they are: including a router would analyse each of its functions once more.
    router.routes.extend(module.router.routes)
