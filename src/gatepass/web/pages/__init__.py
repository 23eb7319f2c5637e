"""The dashboard: server-rendered pages, one module a screen."""

from fastapi import APIRouter

from gatepass.web.pages import (
    access_token,
    access_token_edit,
    access_token_new,
    access_tokens,
    account,
    account_email,
    account_password,
    account_two_factor,
    audit_log,
    authentications,
    company,
    company_second_factor,
    company_security,
    docs,
    email_change,
    errors,
    invitation_accept,
    invitation_new,
    invitations,
    nodes,
    password_resets,
    role_form,
    roles,
    sign_in,
    static_files,
    styleguide,
    user_deactivate,
    user_email,
    user_role,
    user_second_factor,
    users,
)

router = APIRouter(include_in_schema=False)
for _screen in (
    static_files,
    sign_in,
    access_tokens,
    # Before the page of one token: "new" is no id.
    access_token_new,
    access_token_edit,
    access_token,
    account,
    account_email,
    account_password,
    account_two_factor,
    audit_log,
    authentications,
    company_security,
    email_change,
    invitation_new,
    invitations,
    invitation_accept,
    password_resets,
    company,
    company_second_factor,
    users,
    user_role,
    user_email,
    user_deactivate,
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
