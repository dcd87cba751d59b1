"""A real browser on the real program: a reference of one's own, in its session and in no other.

Needs `apt-get install chromium`; without it these tests fail and say so.
"""

from __future__ import annotations

import re

import pytest
from accessible import violations
from PIL import Image
from playwright.sync_api import expect
from test_one_in_browser import upload

from benchmarks import served

SIDE = 160


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> list:
    """24 parts of one photograph."""
    folder = tmp_path_factory.mktemp("crops")
    with Image.open(served.ROOT / "examples" / "china.jpg") as image:
        photograph = image.convert("RGB")
    paths = []
    for number in range(24):
        left, top = 70 * (number % 6), 60 * (number // 6)
        paths.append(folder / f"{number:02d}.png")
        photograph.crop((left, top, left + SIDE, top + SIDE)).save(paths[-1])
    return paths


def test_a_reference_serves_its_own_session_and_no_other(chromium, address, crops, parts, axe, tmp_path):
    page, other = (served.open_page(chromium, address) for _ in range(2))
    served.open_tab(page, "My reference")
    assert violations(page, axe) == []
    page.locator("#mine-files input[type=file]").set_input_files(crops)
    page.locator("#mine-files .file-preview").wait_for()
    page.locator("#mine-begin").click()
    page.locator("#mine-save").wait_for()
    status = page.locator("#mine-status").inner_text()
    count = int(re.search(r"(\d+) pictures are your reference", status)[1])
    assert count >= 20 and count + status.count(".png: Its patches are far from all") == len(crops)
    assert violations(page, axe) == []
    with page.expect_download() as waiting:
        page.locator("#mine-save").click()
    saved = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(saved)
    for opened in (page, other):
        served.open_tab(opened, "One picture")
        upload(opened, parts / "china_composite.png")
    expect(page.locator("#beside")).to_contain_text(f"Compared with your {count} pictures")
    assert other.locator("#beside").inner_text().strip() == ""
    served.open_tab(page, "My reference")
    page.locator("#mine-use").get_by_role("checkbox").uncheck()
    served.open_tab(page, "One picture")
    expect(page.locator("#beside")).to_have_text("")
    served.open_tab(other, "My reference")
    other.locator("#mine-saved input[type=file]").set_input_files(saved)
    expect(other.locator("#mine-status")).to_contain_text(f"{count} pictures are your reference")
    served.open_tab(other, "One picture")
    expect(other.locator("#beside")).to_contain_text(f"Compared with your {count} pictures")
    for opened in (page, other):
        opened.context.close()
