"""What a User-Agent header says, in words: ``Firefox on Linux``.

The header is whatever its sender likes, and is believed in nothing: it only helps people to tell
their own sign-ins apart.
"""

import re

# The first that is found counts: most browsers also name those they descend from.
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
    """The browser and its system; of a program its name, as far as it tells one."""
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
