"""The dashboard: server-rendered pages, one module per screen, related screens in one package."""

from fastapi import APIRouter

from gatepass.web.pages.access_tokens import (
    approve,
    bulk,
    detail,
    edit,
    explain,
    first_steps,
    index,
    least_privilege,
    new,
    record,
    rehearse,
    requests,
    rotate,
)
from gatepass.web.pages.account import (
    appearance,
    authentications,
    email,
    identity,
    password,
    profile,
    two_factor,
)
from gatepass.web.pages.audit import log
from gatepass.web.pages.company import (
    admin_keys,
    catalogue,
    nodes,
    owner_deactivate,
    owner_form,
    owners,
    role_form,
    roles,
    second_factor,
    security,
    token_policy,
    verifier_keys,
    webhook_form,
    webhooks,
)
from gatepass.web.pages.company import profile as company
from gatepass.web.pages.layout import static_files
from gatepass.web.pages.people import (
    deactivate,
    handed_over,
    invitation_new,
    invitations,
    role,
    user,
    users,
    welcome,
)
from gatepass.web.pages.people import email as user_email
from gatepass.web.pages.people import second_factor as user_second_factor
from gatepass.web.pages.portal import session as portal
from gatepass.web.pages.reference import docs, styleguide
from gatepass.web.pages.search import results as search_results
from gatepass.web.pages.sign_in import (
    accept_invitation,
    email_change,
    password_resets,
    provider,
    sign_in,
)

router = APIRouter(include_in_schema=False)
for _screen in (
    static_files,
    *(sign_in, provider, accept_invitation, password_resets, email_change),
    # "new", "record" and "deactivate" are no token ids, so their pages go before that of one token.
    *(index, new, record, bulk, edit, explain, least_privilege, rotate, rehearse, approve),
    *(first_steps, requests, detail),
    *(profile, appearance, email, password, two_factor, identity, authentications),
    # Nor is it a role id.
    *(
        company,
        security,
        token_policy,
        second_factor,
        role_form,
        roles,
        catalogue,
        nodes,
        verifier_keys,
        admin_keys,
    ),
    *(owners, owner_form, owner_deactivate),
    # Nor a webhook's.
    *(webhook_form, webhooks),
    # Nor are "invite" and "invitations" a user's.
    *(
        users,
        role,
        user_email,
        user_second_factor,
        deactivate,
        handed_over,
        invitation_new,
        invitations,
        user,
        welcome,
    ),
    log,
    search_results,
    portal,
    docs,
):
    # As they are: including a router would analyse each of its functions once more.
    router.routes.extend(_screen.router.routes)

#: Mounted by the demo only.
styleguide_router = styleguide.router
