"""The accessibility check of a page with axe-core."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_AXE = Axe()
_GRAVE = ("serious", "critical")
#: Report violations only, since describing passes takes most of the time. No style sheet comes from
#: another origin.
_OPTIONS = {"resultTypes": ["violations"], "preload": False}


def barriers(page: Page) -> list[str]:
    """The serious violations on *page*, once the animations that end have finished."""
    page.evaluate(
        """() => Promise.allSettled(document.getAnimations()
            .filter((each) => each.effect.getComputedTiming().endTime !== Infinity)
            .map((each) => each.finished))"""
    )
    # Content that is being replaced is briefly paler.
    looked_at = {"exclude": [['[aria-busy="true"]']]}
    found = _AXE.run(page, looked_at, _OPTIONS).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node['target']}"
        for each in found
        if each["impact"] in _GRAVE
        for node in each["nodes"]
    ]
