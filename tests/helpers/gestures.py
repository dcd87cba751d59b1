"""What fingers and a mouse do on a page, at moments that a busy machine does not move."""

from __future__ import annotations

import time

from playwright.sync_api import Page

APART = 0.1  # seconds between two taps that are one gesture
REST = 100  # milliseconds; fingers that are lifted in motion throw the page, and the next tap would only stop it


def touch(page: Page, *moments: list[tuple[float, float]], at: float | None = None) -> None:
    """Fingers at these places, moment by moment, then lifted; `at` is when, in seconds since the epoch."""
    fingers, moves = page.context.new_cdp_session(page), ["touchMove"] * (len(moments) - 1)
    when = {} if at is None else {"timestamp": at}
    for kind, places in zip(("touchStart", *moves, "touchEnd"), (*moments, []), strict=True):
        if kind == "touchEnd" and moves:
            page.wait_for_timeout(REST)
        points = [{"x": across, "y": down} for across, down in places]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points, **when})
    fingers.detach()


def double_tap(page: Page, across: float, down: float, rest: float = 0) -> None:
    """Two taps of one finger, of which the second comes `rest` milliseconds late, as on a busy machine."""
    first = time.time() - APART
    touch(page, [(across, down)], at=first)
    page.wait_for_timeout(rest)
    touch(page, [(across, down)], at=first + APART)


def double_click(page: Page, across: float, down: float) -> None:
    """Two clicks of the mouse."""
    page.mouse.move(across, down)
    mouse, first = page.context.new_cdp_session(page), time.time() - APART
    for count, at in ((1, first), (2, first + APART)):
        for kind in ("mousePressed", "mouseReleased"):
            told = {"type": kind, "x": across, "y": down, "button": "left", "clickCount": count, "timestamp": at}
            mouse.send("Input.dispatchMouseEvent", told)
    mouse.detach()
