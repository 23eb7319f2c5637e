"""The REST API: one module per resource."""

from collections import Counter

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from gatepass.core.errors import InvalidInput
from gatepass.web.api import (
    access_tokens,
    allowlist,
    audit_events,
    audit_export,
    authentications,
    catalogue,
    company,
    invitations,
    roles,
    users,
    verifier_keys,
)
from gatepass.web.strict_json import field_name


def _operation_id(route: APIRoute) -> str:
    """Such as ``access_tokens_create``."""
    module = route.endpoint.__module__.rpartition(".")[2]
    return f"{module}_{route.name.strip('_')}"


async def _once_each(request: Request) -> None:
    """Refuse a query that says something twice: a filter that isn't the one that was meant shows
    more than was asked for."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    twice = [field_name((name,)) for name, count in counts.items() if count > 1]
    if twice:
        raise InvalidInput([(name, "This is there more than once.") for name in twice])


router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(_once_each)],
    generate_unique_id_function=_operation_id,
)
for module in (
    authentications,
    catalogue,
    access_tokens,
    allowlist,
    invitations,
    users,
    roles,
    company,
    audit_events,
    audit_export,
    verifier_keys,
):
    router.include_router(module.router)
