"""What axe-core says of a page."""

from __future__ import annotations

from playwright.sync_api import Page

# Colours change slowly when a button is left; the change begins in the next frame, and one without an end is no change.
SETTLED = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    const changes = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity);
    await Promise.all(changes.map((one) => one.finished.catch(() => null)));
}"""


def violations(page: Page, axe: str) -> list[tuple[str, str]]:
    """What axe-core calls serious or critical, each with the element."""
    page.mouse.move(0, 0)
    page.evaluate(SETTLED)
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    bad = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return [(violation["id"], node["html"][:200]) for violation in bad for node in violation["nodes"]]
