"""The dashboard: server-rendered pages, one module a screen."""

from fastapi import APIRouter

from gatepass.web.pages.access_tokens import detail, edit, index, new
from gatepass.web.pages.account import authentications, email, password, profile, two_factor
from gatepass.web.pages.audit import log
from gatepass.web.pages.company import nodes, role_form, roles, second_factor, security
from gatepass.web.pages.company import profile as company
from gatepass.web.pages.layout import errors, static_files
from gatepass.web.pages.people import deactivate, invitation_new, invitations, role, users
from gatepass.web.pages.people import email as user_email
from gatepass.web.pages.people import second_factor as user_second_factor
from gatepass.web.pages.reference import docs, styleguide
from gatepass.web.pages.sign_in import accept_invitation, email_change, password_resets, sign_in

router = APIRouter(include_in_schema=False)
for _screen in (
    static_files,
    sign_in,
    index,
    # Before the page of one token: "new" is no id.
    new,
    edit,
    detail,
    profile,
    email,
    password,
    two_factor,
    log,
    authentications,
    security,
    email_change,
    invitation_new,
    invitations,
    accept_invitation,
    password_resets,
    company,
    second_factor,
    users,
    role,
    user_email,
    deactivate,
    user_second_factor,
    # Before the page of one role, for the same reason.
    role_form,
    roles,
    nodes,
    docs,
):
    router.include_router(_screen.router)

#: The demo mounts it besides.
styleguide_router = styleguide.router
error_page = errors.error_page
