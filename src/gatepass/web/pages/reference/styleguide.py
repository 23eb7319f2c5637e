"""/styleguide: every component in every state, with sample data. Only the demo mounts it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from starlette.responses import Response

from gatepass.core.catalogue import CataloguePermission
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.actor import Actor, Person
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry
from gatepass.registry.network_policy.allowlist_impact import AllowlistImpact, Caller
from gatepass.registry.tokens.approval_records import Approval
from gatepass.registry.tokens.policy.policy_breaches import BreakingToken, PolicyBreaches
from gatepass.registry.tokens.records import AccessToken, LastUse, TokenOwner
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.access_tokens.form import Summary, TokenForm
from gatepass.web.pages.access_tokens.marks import Mark
from gatepass.web.pages.company.allowlist_impact import Reach
from gatepass.web.pages.company.token_policy import UNREAD, Preview, preview_of
from gatepass.web.pages.layout.errors import Explained
from gatepass.web.pages.layout.form_state import NotSaved
from gatepass.web.pages.layout.problem_summary import ProblemSummary
from gatepass.web.pages.layout.screen import page_router
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.theme import THEMES
from gatepass.web.pages.layout.visitor import Visitor
from gatepass.web.pages.reference.styleguide_explanation import SAMPLE_FIXES, sample_explanation
from gatepass.web.pages.reference.styleguide_impact import sample_impacts
from gatepass.web.pages.reference.styleguide_nodes import sample_nodes, sample_receipts
from gatepass.web.pages.reference.styleguide_people import sample_people
from gatepass.web.pages.search.finding import Found, Group
from gatepass.web.pages.text.times import DAY, HOUR, MINUTE
from gatepass.web.pages.widgets.expiry import AT, CHOICES
from gatepass.web.pages.widgets.permission_groups import PermissionGroup
from gatepass.web.pages.widgets.permission_presets import Preset, Presets
from gatepass.web.pages.widgets.snippets import Snippet
from gatepass.web.pages.widgets.sparkline import DayOfUse
from gatepass.web.pages.widgets.use_chart import use_chart

router = page_router()

COLOURS = (
    ("ground", "Ground"),
    ("surface", "Surface"),
    ("sunken", "Sunken"),
    ("line", "Line"),
    ("control", "Control"),
    ("text", "Text"),
    ("muted", "Muted"),
    ("accent", "Accent"),
    ("accent-soft", "Accent, soft"),
    ("good", "Good"),
    ("warn", "Warn"),
    ("bad", "Bad"),
)
_ADA = Person("usr_ada", "Ada Lovelace")
_GRACE = Person("usr_grace", "Grace Hopper")
_POLICY = TokenPolicy(90, True, 60, ("refunds:*",))


@router.get("/styleguide")
def show_styleguide(node: CurrentNode) -> Response:
    """The page."""
    now = node.clock.now()
    tokens = _tokens(now)
    return render(
        "styleguide.html",
        visitor=_visitor(),
        now=now,
        colours=COLOURS,
        tokens=tokens,
        groups=_groups(),
        permission_presets=_presets(),
        form=_form(),
        empty_form=TokenForm(),
        presets=CHOICES,
        policy=_POLICY,
        latest_expiry=_POLICY.latest_expiry(now),
        policy_previews=_policy_previews(now),
        summary=Summary(
            "", ("charges:create", "charges:get"), ("203.0.113.0/24",), (), now + 30 * DAY
        ),
        unfinished=Summary("Enter a label and choose at least one permission."),
        explanation=sample_explanation(now),
        fixes=SAMPLE_FIXES,
        impacts=sample_impacts(now),
        snippets=[
            Snippet("curl", "curl http://127.0.0.1:8787/v1/me"),
            Snippet("Python", "import urllib.request"),
        ],
        quiet=[DayOfUse(now // DAY - at, 0) for at in range(29, -1, -1)],
        busy=[DayOfUse(now // DAY - at, (at * 7919) % 97 * 11) for at in range(29, -1, -1)],
        chart=use_chart(
            now,
            [(at * 7919) % 97 * 11 for at in range(29, -1, -1)],
            [at % 9 * 4 if at % 3 else 0 for at in range(29, -1, -1)],
        ),
        hourly_chart=use_chart(
            now,
            [0 if 3 < at < 8 else (at * 7919) % 97 for at in range(24)],
            [at % 5 * 9 if at % 3 else 0 for at in range(24)],
            unit="hour",
        ),
        marks={
            tokens[0].id: [Mark("soon", "Expires soon"), Mark("refused", "26 refused")],
            tokens[2].id: [Mark("unused", "Never used")],
        },
        errors=_errors(),
        refused=_refused(),
        not_saved=ProblemSummary(
            503, form=[NotSaved("The server can't save changes right now. Press Save again.")]
        ),
        found=_found(),
        themes=THEMES,
        allowlist=_allowlist(),
        reaches=_reaches(now),
        nodes=sample_nodes(now),
        company_names={"com_sample": "Acme Payments"},
        receipts=sample_receipts(now),
        staleness=node.settings.max_staleness,
        history=[
            SimpleNamespace(words="Ada Lovelace changed the label of Settlement", at=now - DAY),
            SimpleNamespace(words="Ada Lovelace created Settlement", at=now - 9 * DAY),
        ],
        **sample_people(now),
    )


def _errors() -> list[Explained]:
    return [
        Explained(
            403,
            "permission_missing",
            "Your role doesn't allow this",
            "This requires the permission access-tokens:create.",
            "Your role, Reporting, doesn't include access-tokens:create.",
            "Ask an administrator of Acme Payments for a role that does.",
        ),
        *(
            Explained(status, reason, title, what)
            for status, reason, title, what in (
                (404, "not_found", "Page not found", "It doesn't exist."),
                (410, "invitation_broken", "This invitation link is broken", "It has expired."),
                (429, "too_many_attempts", "Too many attempts", "Try again in 2 minutes."),
            )
        ),
        Explained(
            503,
            "unavailable",
            "Temporarily unavailable",
            "The server can't answer right now.",
            "",
            "Wait a few seconds, then try again. No change was partly saved.",
            (("Try again", "/styleguide"),),
        ),
    ]


def _refused() -> ProblemSummary:
    summary = ProblemSummary(422)
    for name, message in _form().errors.items():
        root, _, index = name.partition(".")
        summary.note_field(f"{root[:-1]}-{index}" if index else root, message)
    return summary


def _found() -> list[Group]:
    token = Found("Nightly settlement", "#sg-search", "gpat_7HqXw2Lk90aZbYcT")
    ended = Found("Night shift export", "#sg-search", "gpat_Cd12Ef34Gh56Ij78", "deactivated")
    return [
        Group("Pages", "file", [Found("Token policy", "#sg-search", "My Company")]),
        Group("Access tokens", "key", [token, ended], "#sg-search"),
        Group("People", "person", [Found("Ada Lovelace", "#sg-search", "ada@acme.example")]),
    ]


def _policy_previews(now: int) -> list[Preview]:
    breaks = ("longest_life_days", "unused_days")
    token = BreakingToken("gpat_7HqXw2Lk90aZbYcT", "Nightly settlement", "api", now, breaks)
    some = PolicyBreaches(
        1_250, {"longest_life_days": 1_250, "networks_required": 0, "unused_days": 3}, [token]
    )
    none = PolicyBreaches(0, dict.fromkeys(some.by_rule, 0), [])
    return [preview_of(_POLICY, some), preview_of(_POLICY, none), Preview(UNREAD)]


def _visitor() -> Visitor:
    actor = Actor(
        kind="user",
        company="com_sample",
        user=_ADA.id,
        name=_ADA.name,
        permissions=frozenset({"*"}),
        credential="gplt_sample",
        address="203.0.113.77",
    )
    return Visitor(actor, _ADA.name, "ada@acme.example", "Admin", "Acme Payments")


def _tokens(now: int) -> list[AccessToken]:
    active = AccessToken(
        id="gpat_7HqXw2Lk90aZbYcT",
        company="com_sample",
        label="Nightly settlement",
        kind="api",
        status="active",
        permissions=("charges:*", "payouts:get", "payouts:search"),
        effective_permissions=("charges:*", "payouts:get", "payouts:search"),
        networks=("203.0.113.0/24",),
        domains=(),
        expires_at=now + 12 * DAY + HOUR,
        metadata={"team": "payments"},
        external_id=None,
        unused_days=60,
        created_at=now - 9 * DAY,
        owner=TokenOwner("user", "usr_ada", None, _ADA.name),
        created_by=_ADA,
        deactivated_at=None,
        deactivated_by=None,
        last_used=LastUse(now - 2 * MINUTE, "203.0.113.77", "charges:search"),
        rotation=None,
        rehearsal=None,
        approval=None,
    )

    def another(**changes: Any) -> AccessToken:
        return replace(active, **changes)

    return [
        active,
        another(
            id="gpat_Zk20QmPf83nXuRsD",
            label="Checkout on shop.example",
            kind="ui",
            permissions=("checkouts:create",),
            networks=(),
            domains=("shop.example", "*.shop.example", "localhost:3000"),
            expires_at=None,
            owner=TokenOwner("service_account", "svc_shop", None, "Shop backend"),
            created_by=_GRACE,
        ),
        another(
            id="gpat_Aa11Bb22Cc33Dd44",
            label="A label as long as labels get, for a report that the finance team in Sydney "
            "reads each quarter",
            networks=("2001:db8:40::/48", "10.20.0.0/16", "192.0.2.7/32"),
            last_used=None,
        ),
        another(
            id="gpat_Pe11Nd22In33Gg44",
            label="Refunds of the summer sale",
            status="pending",
            permissions=("refunds:create",),
            last_used=None,
            approval=Approval(now - HOUR, now - HOUR + 7 * DAY, (), None, None),
        ),
        another(
            id="gpat_Uv34Wx56Yz78Ab90",
            label="Old warehouse sync",
            status="expired",
            networks=(),
            expires_at=now - 3 * DAY,
            last_used=LastUse(now - 3 * DAY, "2001:db8:85a3::8a2e:370:7334", "charges:get"),
        ),
        another(
            id="gpat_Cd12Ef34Gh56Ij78",
            label="<script>Contractor</script>",
            status="deactivated",
            deactivated_at=now - 26 * HOUR,
            deactivated_by=_GRACE,
        ),
    ]


def _allowlist() -> Allowlist:
    entries = (Entry("203.0.113.0/24", "Office"),)
    return Allowlist(entries, None, entries)


def _reaches(now: int) -> list[Reach]:
    ada = Caller(str(_ADA.id), _ADA.name, "203.0.113.77", now - HOUR)
    token = Caller("gpat_7HqXw2Lk90aZbYcT", "Nightly settlement", "198.51.100.23", now - DAY)
    networks = ("203.0.113.0/24", "2001:db8::/32")
    return [
        Reach("1 address isn't valid."),
        Reach("", networks, True, AllowlistImpact([], 0, [], 0, True)),
        Reach("", networks[1:], True, AllowlistImpact([ada], 2, [token], 1, False)),
        Reach("", (), True, AllowlistImpact([], 0, [], 0, True)),
    ]


def _groups() -> list[PermissionGroup]:
    def some(resource: str, *actions: str) -> tuple[CataloguePermission, ...]:
        return tuple(
            CataloguePermission(f"{resource}:{action}", f"{action.capitalize()} {resource}")
            for action in actions
        )

    return [
        PermissionGroup(
            *("charges", "charges", "charges:*", some("charges", "create", "get", "refund")),
            level="choose",
        ),
        PermissionGroup(
            *("payouts", "payouts", "payouts:*", some("payouts", "get", "search")),
            chosen=1,
            level="choose",
        ),
        PermissionGroup(
            *("refunds", "refunds", "", some("refunds", "get", "create")),
            chosen=1,
            level="read",
            is_open=False,
        ),
        PermissionGroup("webhooks", "webhooks", "", some("webhooks", "create")),
    ]


def _presets() -> Presets:
    presets = (
        Preset("nothing", "Nothing", "", ()),
        Preset("read", "Read only", "All that only reads", ("charges:get", "payouts:get")),
        Preset("0", "Shop backend", "Takes payments", ("charges:create",), left_out=2),
    )
    return Presets(presets, frozenset())


def _form() -> TokenForm:
    return TokenForm(
        label="Nightly settlement",
        kind="ui",
        permissions=["charges:*", "payouts:get", "refunds:get"],
        expire=AT,
        expires_on="2030-12-24T14:30",
        networks=[("203.0.113.77", "24"), ("2001:db8:40::", "48"), ("300.1.2.3", "")],
        domains=["shop.example.com", "https://shop.example.com/"],
        errors={
            "label": "Must have 1 to 100 characters.",
            "networks.2": "Must be an IP address such as 203.0.113.0 or 2001:db8::.",
            "domains.1": "Must have no https:// and no path, like shop.example.com.",
        },
    )
