"""A minimal browser without scripts: text, links and forms."""

from html.parser import HTMLParser
from typing import Any

import httpx

_VOID = {"input", "meta", "link", "br", "hr", "img"}
_BLOCKS = {"p", "div", "li", "td", "th", "tr", "h1", "h2", "h3", "h4", "dd", "dt", "section"}


class Form:
    """A form as a browser would submit it."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.action = attributes.get("action", "")
        self.method = attributes.get("method", "get")
        self.fields: list[tuple[str, str]] = []
        self.buttons: list[tuple[str, str]] = []
        self.offered: dict[str, list[str]] = {}

    def one(self, name: str) -> str:
        """The value of a field that occurs once."""
        (value,) = self.all(name)
        return value

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.fields if key == name]

    def filled(self, **changes: str | list[str]) -> list[tuple[str, str]]:
        """The fields, with those that *changes* names replaced."""
        kept = [pair for pair in self.fields if pair[0] not in changes]
        for name, value in changes.items():
            kept += [(name, one) for one in ([value] if isinstance(value, str) else value)]
        return kept


class Page(HTMLParser):
    """A parsed page."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.answer = answer
        self.html = answer.text
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._text: list[str] = []
        self._open: list[str] = []
        self._option: tuple[str, str, bool] | None = None
        self._select: str | None = None
        self._link: tuple[str, int] | None = None
        self.feed(self.html)

    @property
    def text(self) -> str:
        """The visible text, with single spaces."""
        return " ".join("".join(self._text).split())

    def shows(self, *texts: str) -> None:
        """Fail, and name them, if a person can't read each of *texts*."""
        missing = [text for text in texts if text not in self.text]
        assert not missing, (missing, self.text)

    def form(self, action: str) -> Form:
        """The form with that action."""
        return next(form for form in self.forms if form.action == action)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag in _BLOCKS:
            self._text.append(" ")
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(attributes))
        elif tag == "a" and "href" in attributes:
            self._link = (attributes["href"], len(self._text))
        elif tag == "select":
            self._select = attributes.get("name")
        elif tag == "option" and self._select and "value" in attributes and self.forms:
            form = self.forms[-1]
            form.offered.setdefault(self._select, []).append(attributes["value"])
            if "selected" in attributes:
                form.fields.append((self._select, attributes["value"]))
        elif self.forms and "template" not in self._open and "name" in attributes:
            self._control(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag == "a" and self._link:
            href, start = self._link
            self.links[" ".join("".join(self._text[start:]).split())] = href
            self._link = None
        if tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if not {"script", "style", "template", "title"} & set(self._open):
            self._text.append(data)

    def _control(self, tag: str, attributes: dict[str, str]) -> None:
        form = self.forms[-1]
        name, value = attributes["name"], attributes.get("value", "")
        kind = attributes.get("type", "text")
        if tag == "button":
            form.buttons.append((name, value))
        elif tag == "input" and kind in ("checkbox", "radio"):
            form.offered.setdefault(name, []).append(value)
            if "checked" in attributes:
                form.fields.append((name, value))
        elif tag == "input":
            form.fields.append((name, value))


class Visit:
    """A browser session: keeps cookies, reads pages, submits forms.

    Args:
        client: of the installation.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    @classmethod
    def signed_in(cls, client: httpx.Client, email: str = "ada@example.com") -> "Visit":
        """A session whose user has signed in at the form."""
        visit = cls(client)
        visit.sign_in(email)
        return visit

    def get(self, path: str, *, follow: bool = False, **options: Any) -> Page:
        """Open *path*."""
        return Page(self.client.get(path, follow_redirects=follow, **options))

    def send(
        self,
        path: str,
        fields: list[tuple[str, str]] | dict[str, str],
        *,
        follow: bool = False,
        **options: Any,
    ) -> Page:
        """Post a form to *path*."""
        pairs = list(fields.items()) if isinstance(fields, dict) else fields
        body = str(httpx.QueryParams(pairs))
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Sec-Fetch-Site": "same-origin",
            **options.pop("headers", {}),
        }
        answer = self.client.post(
            path, content=body, headers=headers, follow_redirects=follow, **options
        )
        return Page(answer)

    def sign_in(self, email: str = "ada@example.com", password: str = "") -> None:
        """Sign in at the form."""
        from tests.support.apps.installation import PASSWORD

        fields = {"email": email, "password": password or PASSWORD, "next": "/"}
        assert self.send("/sign-in", fields).answer.status_code == 303
