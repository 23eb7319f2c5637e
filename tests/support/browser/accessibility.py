"""What an automated check can tell of whether everybody can use a page: axe-core."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_AXE = Axe()
_GRAVE = ("serious", "critical")
#: What is in order needn't be described, which takes most of the time; and no style sheet comes
#: from elsewhere.
_OPTIONS = {"resultTypes": ["violations"], "preload": False}


def barriers(page: Page) -> list[str]:
    """What keeps people out of *page*, once what moves has come to rest."""
    page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")
    # What is about to be replaced is paler, for the moment that takes.
    looked_at = {"exclude": [['[aria-busy="true"]']]}
    found = _AXE.run(page, looked_at, _OPTIONS).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node['target']}"
        for each in found
        if each["impact"] in _GRAVE
        for node in each["nodes"]
    ]
