"""Timers of a page, held so that no machine is too slow for them."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

PATIENT = """(long) => {
    window.impatient ??= window.setTimeout;
    window.setTimeout = (task, wait, ...more) => window.impatient(task, wait === long ? 60000 : wait, ...more);
}"""


def patient(page: Page, wait: int) -> Callable[[], None]:
    """From now on the page's timers of so many milliseconds wait a minute, until the answer is called."""
    page.evaluate(PATIENT, wait)
    return lambda: page.evaluate("() => { window.setTimeout = window.impatient; }")
