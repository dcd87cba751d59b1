"""What axe-core says of a page."""

from __future__ import annotations

from playwright.sync_api import Page

# Colours change slowly when a button is left. The change begins in the next frame; what has no end is not waited for.
SETTLED = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    const ends = (one) => one.playState === "running" && one.effect.getComputedTiming().endTime !== Infinity;
    await Promise.all(document.getAnimations().filter(ends).map((one) => one.finished.catch(() => null)));
}"""

# Gradio dims what waits for an answer.
ANSWERED = "![...document.querySelectorAll('.pending')].some((part) => getComputedStyle(part).opacity < 1)"


def violations(page: Page, axe: str, within: str = "html") -> list[tuple[str, str]]:
    """What axe-core calls serious or critical in a part of the page, each with the element.

    Its rule "region" takes a third of the time, and what it finds is never more than moderate.
    """
    page.mouse.move(0, 0)
    page.wait_for_function(ANSWERED)
    page.evaluate(SETTLED)
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    options = {"resultTypes": ["violations"], "rules": {"region": {"enabled": False}}}
    found = page.evaluate("([part, options]) => axe.run(part, options)", [within, options])["violations"]
    bad = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return [(violation["id"], node["html"][:200]) for violation in bad for node in violation["nodes"]]
