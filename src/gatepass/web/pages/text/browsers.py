"""A User-Agent header in words: ``Firefox on Linux``.

The sender chooses the header, so nothing relies on it: it only helps users to recognise their own
sign-ins.
"""

import re

# The first match wins: most browsers also name the browsers they are based on.
_BROWSERS = (
    ("Edg", "Edge"),
    ("EdgA", "Edge"),
    ("EdgiOS", "Edge"),
    ("OPR", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("DuckDuckGo", "DuckDuckGo"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"),
    ("Chromium", "Chromium"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
)
_LONGEST_NAME = 40
_products = re.compile(r"([A-Za-z][\w.-]*)/").findall
_system = re.compile(r"\(([^)]*)\)").search
_program = re.compile(r"[\w.+-]+").match


def browser(user_agent: str | None) -> str:
    """The browser and its system; for other programs their name."""
    text = user_agent or ""
    if not text.startswith("Mozilla/"):
        named = _program(text)
        return named[0][:_LONGEST_NAME] if named else "A program"
    products = set(_products(text))
    name = next((said for token, said in _BROWSERS if token in products), "A browser")
    within = _system(text)
    where = within[1] if within else ""
    system = next((said for token, said in _SYSTEMS if token in where), None)
    return f"{name} on {system}" if system else name
