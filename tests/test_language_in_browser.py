"""A real browser that speaks another language: what it shows before and after a picture, and no English in between.

Needs `apt-get install chromium`; without it these tests fail and say so.
"""

from __future__ import annotations

import pytest
from accessible import violations

from benchmarks import served
from mdmf_app.language import WORDS
from mdmf_core.images.origin.first import NOTHING
from mdmf_core.show.words import VERDICTS

TABS = ("one", "many", "compare", "model", "mine")
DETAILS = ("patch", "null", "holds", "origin", "before_after", "report")
BUTTONS = {  # by the tab that they are in, each after the one before
    "": {"#tools [data-view=full]": "tools.full", "#verdict [data-copy]": "card.copy"},
    "holds": {"#hold": "holds.again"},
    "report": {"#make": "report.make"},
    "many": {"#many-begin": "many.begin"},
    "mine": {"#mine-begin": "mine.begin"},
}
FIT = """(words) => {
    for (const [view, text] of Object.entries(words)) {
        document.querySelector(`#tools [data-view=${view}]`).textContent = text;
    }
    const edges = [...document.querySelectorAll("#tools button")].map((one) => one.getBoundingClientRect().right);
    return Math.max(...edges) <= innerWidth;
}"""
READ = "!element.closest('[lang=en], #model-card, #model-about, #footer, code, style')"


def opened(chromium, address: str, locale: str, width: int = 1440):
    page = chromium.new_context(locale=locale, viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(served.SLOW)
    page.goto(address)
    page.locator("#verdict .waiting").wait_for(state="attached")  # a phone leaves it out of sight
    return page


def labels_of(page, words: dict, keys: tuple[str, ...], inside: str) -> bool:
    """Whether all these tabs are there, in this language."""
    return all(page.locator(f"{inside} [role=tab]", has_text=words[f"tab.{key}"]).count() for key in keys)


def texts(page) -> list[str]:
    """All that is written on the page, hidden or not, but for what is said to be English, and the model's card."""
    return page.evaluate(
        f"[...document.querySelectorAll('.gradio-container *')].filter((element) => {READ})"
        ".flatMap((element) => [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim())"
        ".map((node) => node.data.trim()))"
    )


@pytest.mark.parametrize(("locale", "language"), [("de-DE", "de"), ("zh-CN", "zh-CN")])
def test_a_picture_is_judged_in_the_browsers_language(chromium, address, axe, locale, language):
    words, page = WORDS[language], opened(chromium, address, locale)
    page.wait_for_function("title => document.title === title", arg=words["script.title"])
    assert page.evaluate("document.documentElement.lang") == language
    assert labels_of(page, words, TABS, "")
    page.locator("#examples button.thumbnail-item", has_text=words["example.title.china.jpg"]).first.click()
    page.locator("#legend .bar").wait_for()
    served.drawn(page)
    headline = page.locator("#verdict h2").inner_text()
    assert any(words[sentence.key] in headline for sentence in VERDICTS.values())
    assert words[NOTHING.key] in page.locator("#verdict .origin").inner_text()
    assert labels_of(page, words, DETAILS, "#right")
    assert page.locator("#map img").get_attribute("alt") == words["script.map"]
    for tab, buttons in BUTTONS.items():
        if tab:
            served.open_tab(page, words[f"tab.{tab}"])
        for place, key in buttons.items():
            assert page.locator(place).first.text_content().strip() == words[key]
    english = {text for key, text in WORDS["en"].items() if isinstance(text, str) and " " in text and "{" not in text}
    assert english & set(texts(page)) == set()
    assert violations(page, axe) == []
    page.context.close()


def test_the_address_asks_for_a_language_for_the_whole_page(chromium, address):
    page = opened(chromium, address.rstrip("/") + "/?lang=fr", "en-US", 390)
    words = WORDS["fr"]
    assert words["page.title"] in page.locator("#intro").inner_text()
    served.click_example(page, words["example.title.china.jpg"])
    told = page.locator("#verdict").inner_text()
    assert words["declared.nothing"] in told and words["card.copy"] in told
    assert "\ufffd" not in page.content()  # what stands for characters that can't be printed
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    for other, words in WORDS.items():
        assert page.evaluate(FIT, {view: words[f"tools.{view}"] for view in ("fit", "lens", "mark", "full")}), other
    page.context.close()


def test_a_language_that_has_no_file_is_english_throughout(chromium, address):
    page = opened(chromium, address, "ja-JP")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("#one [role=tab], [role=tab]", has_text="One picture").count()
    page.context.close()
