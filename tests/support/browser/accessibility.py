"""The accessibility check of a page with axe-core."""

from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_AXE = Axe()
_GRAVE = ("serious", "critical")
#: Report violations only, since describing passes takes most of the time. No style sheet comes from
#: another origin.
_OPTIONS = {"resultTypes": ["violations"], "preload": False}
_AT_REST = """async () => {
    const busy = () => [...document.querySelectorAll("*")]
        .some((each) => each.shadowRoot?.querySelector('[aria-busy="true"]'));
    const until = performance.now() + 10_000;
    while (busy() && performance.now() < until) await new Promise(requestAnimationFrame);
    await Promise.allSettled(document.getAnimations()
        .filter((each) => each.effect.getComputedTiming().endTime !== Infinity)
        .map((each) => each.finished));
}"""
#: What depends on colours and on the room there is.
LOOKS = ("color-contrast", "link-in-text-block", "scrollable-region-focusable")


def barriers(page: Page, rules: Sequence[str] | None = None) -> list[str]:
    """The serious violations on *page*, once its components are at rest and animations have ended.

    Args:
        rules: the ids of those to check; by default all.
    """
    page.evaluate(_AT_REST)
    # Content that is being replaced is briefly paler. A selector doesn't reach into a component.
    looked_at = {"exclude": [['[aria-busy="true"]']]}
    options = _OPTIONS if rules is None else _OPTIONS | {"runOnly": list(rules)}
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE.axe_script)
    run = "async ([where, how]) => (await axe.run(where, how)).violations"
    found = page.evaluate(run, [looked_at, options])
    return [
        f"{each['id']}: {node['html'][:200]} {node['target']}"
        for each in found
        if each["impact"] in _GRAVE
        for node in each["nodes"]
    ]
