"""``gatepass token``: list, show, import, rotate, deactivate access tokens of all companies."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gatepass.cli.installation import changing, every, opened, reading
from gatepass.cli.key_file import read_key_file
from gatepass.cli.output import (
    AsJson,
    as_sent,
    print_facts,
    print_json,
    print_list,
    print_result,
    warn_unconfirmed,
    when,
)
from gatepass.cli.tree import app
from gatepass.core.display_text import printable
from gatepass.core.errors import InvalidInput
from gatepass.core.grants import USER
from gatepass.core.imported_keys import is_imported
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.input.metadata import entries as metadata_entries
from gatepass.registry.tokens import access_tokens, importing, rotation
from gatepass.registry.tokens.lists.search import list_ as search
from gatepass.registry.tokens.records import AccessToken as Token
from gatepass.registry.tokens.records import TokenOwner
from gatepass.registry.tokens.rotation import SILENCE_S, Closing
from gatepass.registry.tokens.rotation_records import Close
from gatepass.web.api.records.access_tokens import AccessToken


class Status(StrEnum):
    """The values of ``--status``."""

    active = "active"
    pending = "pending"
    expired = "expired"
    deactivated = "deactivated"


class HowItCloses(StrEnum):
    """The values of ``--close``."""

    now = "now"
    after = "after"
    when_silent = "when-silent"

    @property
    def close(self) -> Close:
        """As the registry takes it."""
        closes: dict[HowItCloses, Close] = {
            HowItCloses.now: "now",
            HowItCloses.after: "after",
            HowItCloses.when_silent: "when_silent",
        }
        return closes[self]


Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="token")


@group.command("list")
def list_(
    q: Annotated[str, typer.Option("--search", "-q", help="Part of the label, or the id.")] = "",
    status: Annotated[
        Status | None, typer.Option(help="Only tokens with this status.", show_default=False)
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            help="Only tokens of the user, service account or external owner with this id.",
            metavar="ID",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="At most this many; by default all.", min=1, max=sys.maxsize, show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List access tokens, newest first."""
    print_list(
        json,
        AccessToken,
        every(search, most=limit, q=q or None, status=status, owner=owner, counted=False),
        ("Id", "Label", "Owner", "Kind", "Status", "Permissions", "Expires"),
        lambda token: (
            token.id,
            token.label,
            token.owner.name,
            f"{token.kind}, imported" if token.imported else token.kind,
            token.status,
            " ".join(token.permissions),
            when(token.expires_at),
        ),
    )


@group.command()
def show(id: Id, json: AsJson = False) -> None:
    """Show an access token, without its text."""
    with reading() as transaction:
        token = access_tokens.get(transaction, Actor.command_line(), id)
        company = companies.get(transaction, token.company)
    if json:
        print_json(as_sent(AccessToken, token))
        return
    used = token.last_used
    print_facts(
        (
            ("Id", token.id),
            ("Label", token.label),
            ("Company", company.name),
            ("Owner", _owner(token.owner)),
            ("Kind", f"{token.kind}, imported" if token.imported else token.kind),
            ("Status", token.status),
            ("Permissions", " ".join(token.permissions)),
            ("Effective permissions", " ".join(token.effective_permissions) or "nothing"),
            ("Networks", " ".join(token.networks) or "any"),
            ("Domains", " ".join(token.domains) or ("any" if token.kind == "ui" else "-")),
            ("External id", token.external_id or "-"),
            ("Ends when unused", _unused(token.unused_days)),
            ("Metadata", " ".join(metadata_entries(token.metadata)) or "-"),
            ("Created", f"{when(token.created_at)} by {token.created_by.name}"),
            ("Expires", when(token.expires_at)),
            (
                "Last used",
                "never" if used is None else f"{when(used.at)} from {used.address or 'unknown'}",
            ),
            ("Deactivated", when(token.deactivated_at, "no")),
            *_exceptions(token),
            *_approval(token),
            *_rotation(token),
        )
    )


def _exceptions(token: Token) -> Iterator[tuple[str, str]]:
    """What it holds for a while, besides its own permissions."""
    for each in token.exceptions:
        yield "Exception", f"{each.permission} until {when(each.until)}"


def _approval(token: Token) -> Iterator[tuple[str, str]]:
    """Since when it waits, or who approved it; nothing of a token that needs no approval."""
    approval = token.approval
    if approval is None:
        return
    if approval.approved_by is None:
        yield "Approval", f"pending since {when(approval.pending_since)}"
    else:
        yield "Approved", f"{when(approval.approved_at)} by {approval.approved_by.name}"


def _rotation(token: Token) -> Iterator[tuple[str, str]]:
    """What it replaces and what replaces it; nothing of a token that wasn't rotated."""
    rotation = token.rotation
    if rotation is None:
        return
    if rotation.replaces is not None:
        yield "Replaces", rotation.replaces
    if rotation.replaced_by is not None:
        yield "Replaced by", rotation.replaced_by
        how = "when silent, at the latest " if rotation.silence else ""
        yield "Closes", f"{how}{when(rotation.closes_at)}"
    if rotation.silence is not None:
        addresses = " ".join(caller.address or "unknown" for caller in rotation.callers)
        yield "Still used from", addresses or "nowhere"
        yield "Waiting for", " ".join(rotation.waiting_for) or "nothing"


def _unused(days: int | None) -> str:
    return "never" if days is None else f"for {days} day{'s' * (days != 1)}"


def _owner(owner: TokenOwner) -> str:
    """The owner's name, with its type and external id unless it is a user."""
    if owner.type == USER:
        return owner.name
    external_id = "" if owner.external_id is None else f" {owner.external_id}"
    return f"{owner.name} ({owner.type.replace('_', ' ')}{external_id}, {owner.id})"


@group.command()
def deactivate(id: Id, json: AsJson = False) -> None:
    """Deactivate an access token for good, at once."""
    with changing() as change:
        token = access_tokens.deactivate(change, Actor.command_line(), id)
    sentence = f"{token.id} ({printable(token.label)}) is deactivated."
    print_result(json, AccessToken, token, sentence)


@group.command()
def rotate(
    id: Id,
    close: Annotated[
        HowItCloses, typer.Option(help="When the old token closes.", show_default=True)
    ] = HowItCloses.when_silent,
    after: Annotated[
        int | None,
        typer.Option(help="Seconds, for --close after.", metavar="SECONDS", show_default=False),
    ] = None,
    silent_for: Annotated[
        int | None,
        typer.Option(
            help=f"Seconds, for --close when-silent; by default {SILENCE_S}.",
            metavar="SECONDS",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Of the new token; by default the old one's.", metavar="L", show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Replace an access token and print the new one's text, which can't be shown again."""
    closing = Closing(close.close, after, silent_for, label)
    with changing() as change:
        token, text = rotation.rotate(change, Actor.command_line(), id, closing)
    if json:
        print_json({**as_sent(AccessToken, token), "token": text})
        return
    typer.echo(text)
    typer.echo(f"{token.id} ({printable(token.label)}) replaces {id}.", err=True)


@group.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON Lines; - is standard input.", show_default=False),
    ],
    company: Annotated[
        str,
        typer.Option(
            "--company",
            help="The company that the keys act for.",
            metavar="NAME",
            show_default=False,
        ),
    ],
    json: AsJson = False,
) -> None:
    """Import keys of another system by the SHA-256 of their texts: all of the file, or none."""
    try:
        lines = read_key_file(file)
        with opened() as node, node.database.write(node.clock.now()) as change:
            found = companies.named(change, company)
            # A backup that was restored may be older than the import of a key that has ended.
            number = importing.import_keys(
                change,
                Actor.command_line(),
                found.id,
                lines,
                catalogue=node.catalogue,
                ended={each.id for each in node.ended_log.read() if is_imported(each.id)},
            )
    except InvalidInput as error:
        for field, message in error.errors:
            typer.echo(f"gatepass: {field}: {message}", err=True)
        more = f"; {error.left_out:,} more errors" if error.left_out else ""
        typer.echo(f"gatepass: nothing was imported{more}", err=True)
        raise typer.Exit(1) from None
    warn_unconfirmed(change)
    if json:
        print_json({"imported": number})
    else:
        keys = "1 key was" if number == 1 else f"{number:,} keys were"
        typer.echo(f"{keys} imported for {printable(found.name)}.", err=True)
