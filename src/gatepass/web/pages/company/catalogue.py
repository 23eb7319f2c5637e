"""/company/catalogue: the catalogue's text, its preview, its versions. For operators."""

import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, Self

from fastapi import Path
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.registry.directory import catalogue_versions
from gatepass.registry.directory.catalogue_versions import CatalogueVersion
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import catalogue_impact
from gatepass.registry.tokens.catalogue_impact import CatalogueImpact
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, Meanwhile, refused
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.navigation import CATALOGUE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.widgets.text_diff import text_diff

PATH = CATALOGUE.path
_TEMPLATE = "company/catalogue.html"
_VERSIONS_A_PAGE = 20

router = page_router()

#: The number of a version in a path.
Number = Annotated[str, Path(pattern="^[0-9]{1,9}$")]


@dataclass(frozen=True)
class Typed:
    """The input of the form.

    Attributes:
        etag: of the version that it began with.
        checked: the digest of the text whose preview the visitor has seen, or "".
    """

    text: str
    note: str
    etag: str
    checked: str

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form."""
        return cls(
            fields.one("text").replace("\r\n", "\n"),
            fields.one("note").strip(),
            fields.one("etag"),
            fields.one("checked"),
        )

    @classmethod
    def of(cls, version: CatalogueVersion) -> Self:
        """The form that begins with *version*."""
        return cls(version.text, "", catalogue_versions.etag(version), "")

    @property
    def digest(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.text.encode(errors="surrogateescape")).hexdigest()


@router.get(PATH)
def show(screen: CurrentScreen, cursor: str = "", restore: str = "", done: str = "") -> Response:
    """The editor with the version that counts, or with the text of an earlier one to restore."""
    current = _current(screen)
    typed = Typed.of(current)
    if restore.isascii() and restore.isdecimal() and len(restore) < 10:
        with screen.read() as reading:
            earlier = catalogue_versions.get(reading, screen.actor, int(restore))
        typed = replace(typed, text=earlier.text, note=f"Restores version {earlier.number}")
        return _checked(screen, current, typed)
    flash = "Published. Every node and embedded verifier decides by it." if done else ""
    return _page(screen, current, typed, FormState(flash=flash), cursor=cursor)


@router.post(PATH)
@resumable
def send(screen: CurrentScreen, fields: Form) -> Response:
    """Publish the text, or show what publishing it would do."""
    screen.actor.require_signed_in()
    current = _current(screen)
    typed = Typed.read(fields)
    pressed = fields.one("do")
    if pressed == "check":
        return _checked(screen, current, typed)
    if pressed != "publish":
        return _page(screen, current, typed)
    if typed.checked != typed.digest:
        return _checked(screen, current, typed, "The text has changed since it was checked.")
    try:
        with screen.write() as change:
            catalogue_versions.publish(
                change, screen.actor, text=typed.text, note=typed.note, if_match=[typed.etag]
            )
    except InvalidInput as error:
        return _page(screen, current, typed, _invalid(error))
    except Conflict:
        return _changed_meanwhile(screen, typed)
    except Unavailable as error:
        return _page(screen, current, typed, refused(error, button="Publish"))
    return see_other(f"{PATH}?done=published", confirmed=change.confirmed)


@router.get(f"{PATH}/{{id}}")
def show_version(screen: CurrentScreen, id: Number) -> Response:
    """One version: its text, and how it differs from the one before."""
    with screen.read() as reading:
        current = catalogue_versions.current(reading, screen.actor)
        version = catalogue_versions.get(reading, screen.actor, int(id))
        before = _before(screen, reading, version)
    return screen.render(
        "company/catalogue_version.html",
        version=version,
        before=before,
        diff=text_diff(before.text, version.text),
        is_current=version.number == current.number,
    )


def _before(screen: Screen, reading: Reading, version: CatalogueVersion) -> CatalogueVersion:
    if version.number == 1:
        return CatalogueVersion(0, "")
    return catalogue_versions.get(reading, screen.actor, version.number - 1)


def _current(screen: Screen) -> CatalogueVersion:
    with screen.read() as reading:
        return catalogue_versions.current(reading, screen.actor)


def _checked(
    screen: Screen, current: CatalogueVersion, typed: Typed, problem: str = ""
) -> HTMLResponse:
    """The page with what publishing the text would do."""
    try:
        with screen.read() as reading:
            impact = catalogue_impact.preview(
                reading, screen.actor, typed.text, catalogue=screen.node.catalogue
            )
    except InvalidInput as error:
        return _page(screen, current, typed, _invalid(error))
    state = FormState(409, {"": problem}) if problem else OPENED
    return _page(screen, current, replace(typed, checked=typed.digest), state, impact)


def _changed_meanwhile(screen: Screen, typed: Typed) -> HTMLResponse:
    """The page with the text as typed. To publish it all the same, it is checked again: against the
    version that somebody else has published."""
    current = _current(screen)
    by = current.created_by
    own = by is not None and by.id is not None and by.id == screen.actor.user
    meanwhile = Meanwhile(None if by is None else by.name, current.created_at, (), own)
    typed = replace(typed, etag=catalogue_versions.etag(current), checked="")
    return _page(screen, current, typed, FormState(409, meanwhile=meanwhile))


def _invalid(error: InvalidInput) -> FormState:
    """The messages of all lines in one."""
    problems: dict[str, str] = {}
    for name, message in error.errors:
        problems[name] = f"{problems[name]}\n{message}" if name in problems else message
    if error.left_out:
        problems["text"] = f"{problems.get('text', '')}\nAnd {error.left_out} more."
    return FormState(422, problems)


def _page(
    screen: Screen,
    current: CatalogueVersion,
    typed: Typed,
    state: FormState = OPENED,
    impact: CatalogueImpact | None = None,
    *,
    cursor: str = "",
) -> HTMLResponse:
    with screen.read() as reading:
        versions = list_page(
            lambda: catalogue_versions.list_(
                reading, screen.actor, limit=_VERSIONS_A_PAGE, cursor=cursor or None
            ),
            lambda at: address_of_page(PATH, {"cursor": at}),
            cursor,
        )
    return screen.render_form(
        _TEMPLATE,
        replace(state, status=versions.status) if versions.problem else state,
        current=current,
        typed=typed,
        impact=impact,
        diff=text_diff(current.text, typed.text) if impact is not None else [],
        versions=versions,
        from_file=screen.node.settings.catalogue is not None,
    )
