"""What axe-core says of a page."""

from __future__ import annotations

from playwright.sync_api import Page


def violations(page: Page, axe: str, within: str = "html") -> list[tuple[str, str]]:
    """What axe-core calls serious or critical in a part of the page, each with the element."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(800)  # colours change slowly when a button is left
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    found = page.evaluate("(part) => axe.run(part, {resultTypes: ['violations']})", within)["violations"]
    bad = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return [(violation["id"], node["html"][:200]) for violation in bad for node in violation["nodes"]]
