"""The languages of the page: files of words that fit each other, and one language for all that a request is shown."""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from pathlib import Path
from string import Formatter

import gradio as gr
import pytest
from gradio.context import LocalContext
from matplotlib.backends.backend_agg import FigureCanvasAgg
from starlette.responses import HTMLResponse
from starlette.testclient import TestClient

from mdmf_app import api, labels, language, panels, style
from mdmf_app.language import WORDS, choose, is_foreign, of_headers, say, spoken, told
from mdmf_app.server.spoken import Spoken
from mdmf_core.images.origin import Origin, opening
from mdmf_core.images.origin.first import NOTHING
from mdmf_core.sentence import COMMA, joined, said
from mdmf_core.show import charts, stability, words
from mdmf_core.texts import printable

ROOT = Path(__file__).parents[1]
OTHERS = sorted(set(WORDS) - {language.ENGLISH})
SPOKEN = ("language.", "example.title.")  # of a language itself, or looked up by a file's name
FOR_PROGRAMS = re.compile(
    r"(first |second )?overlay|alpha|file|files|first|second|archive|table|rows|result|evidence|comparison|Run"
)
SAYING = ("said", "sentence.said")
NAMES = ("owner/name", "p ")  # what every language writes so
OF_COMPONENTS = ("label", "info", "placeholder", "value", "title", "description")
UNDECLARED = Origin("", "", False, None, False, "unknown", NOTHING)


def forms(template: str | dict[str, str]) -> list[str]:
    return [template] if isinstance(template, str) else list(template.values())


def places(template: str | dict[str, str]) -> set[str]:
    """The names of the values that a template has places for."""
    return {name for form in forms(template) for _, name, _, _ in Formatter().parse(form) if name}


# Files of words


@pytest.mark.parametrize("other", OTHERS)
def test_a_language_has_the_keys_of_english_and_the_same_places(other):
    english, found = WORDS["en"], WORDS[other]
    assert set(found) == set(english)
    assert {key: places(found[key]) for key in english} == {key: places(english[key]) for key in english}
    counts = {"one", "other"} if found["language.one"] else {"other"}
    assert all(set(found[key]) == counts for key in english if not isinstance(english[key], str))
    assert all(form.strip() for key in english if not key.startswith("language.") for form in forms(found[key]))
    assert [form for template in found.values() for form in forms(template) if printable(form) != form] == []


def test_there_are_six_languages_and_adding_one_is_adding_a_file():
    assert sorted(WORDS) == ["de", "en", "es", "fr", "pt-BR", "zh-CN"]
    assert set(WORDS) == {path.stem for path in (ROOT / "mdmf_app" / "words").glob("*.json")}


def test_every_key_is_used_and_every_key_that_is_used_is_there():
    sources = [path for room in ("mdmf_app", "mdmf_core") for path in (ROOT / room).rglob("*")]
    text = "\n".join(
        path.read_text("utf-8") for path in [*sources, ROOT / "app.py"] if path.suffix in (".py", ".html", ".md")
    )
    scripts = "\n".join(path.read_text("utf-8") for path in (ROOT / "mdmf_app").glob("*.js"))
    scripts += (ROOT / "mdmf_app" / "style.py").read_text("utf-8")
    called = [f"script.{key}" for key in re.findall(r'[sS]ay\(.*?"(\w+)"', scripts)]
    called += [f"script.{key}" for key in re.findall(r'\? "(\w+)" : "\w+"', scripts)]
    called += [f"script.{key}" for key in re.findall(r'\? "\w+" : "(\w+)"', scripts)]
    literals = re.findall(r'(f?)"([\w.{}\[\]()\'-]+)"', text)
    patterns = {re.sub(r"\\\{.*?\\\}", ".+", re.escape(key)) if made else re.escape(key) for made, key in literals}
    patterns |= {re.escape(key) + ".+" for _, key in literals if key.endswith(".")} | set(map(re.escape, called))
    used = re.compile("|".join(sorted(patterns)))
    assert [key for key in WORDS["en"] if not used.fullmatch(key) and not key.startswith(SPOKEN)] == []
    asked = re.findall(r'\b(?:say|said)\(\s*"([\w.-]+)"', text)
    assert len(asked) > 200 and [key for key in asked if key not in WORDS["en"] and not key.endswith(".")] == []


def sentences_of_the_core() -> list[tuple[str, object]]:
    """Key and template of each `said` in the core that names both."""
    found = []
    for path in sorted((ROOT / "mdmf_core").rglob("*.py")):
        if path.name in ("sentence.py", "__main__.py") or "said(" not in path.read_text("utf-8"):
            continue
        module = importlib.import_module(
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        )
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(call, ast.Call)
                and ast.unparse(call.func) in ("said", "sentence.said")
                and len(call.args) == 2
            ):
                found += sentence_of(call, module)
    return found


def sentence_of(call: ast.Call, module: object) -> list[tuple[str, object]]:
    key, template = call.args
    if isinstance(key, ast.JoinedStr) and isinstance(template, ast.Subscript):
        return [(key.values[0].value + name, text) for name, text in getattr(module, template.value.id).items()]
    if not isinstance(key, ast.Constant):
        return []
    if isinstance(template, ast.Name):
        return [(key.value, getattr(module, template.id))] if hasattr(module, template.id) else []
    try:
        return [(key.value, ast.literal_eval(template))]
    except ValueError:
        return []


def test_the_core_says_in_english_what_the_file_of_english_words_says():
    found = sentences_of_the_core()
    assert len(found) > 100
    for key, template in found:
        assert WORDS["en"][key] == template, key


def test_constant_sentences_of_the_core_are_those_of_the_file():
    for sentence in (*words.VERDICTS.values(), *words.DECISIONS.values(), words.LOCATOR, NOTHING, *stability.CHANGES):
        assert str(say(sentence.key, **sentence.values)) == sentence


def test_no_template_holds_a_sentence():
    for path in sorted((ROOT / "mdmf_app" / "templates").iterdir()):
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", path.read_text("utf-8"), flags=re.DOTALL)
        shown = re.findall(r'(?:alt|title|aria-label|placeholder)="([^"]*)"', text) + re.split(r"<[^>]*>", text)
        assert [each for each in shown if re.search("[A-Za-z]{2}", each)] == [], path.name


def test_every_word_of_the_layout_is_in_all_languages(demo):
    wrong = []
    for component in demo.get_config_file()["components"]:
        shown = {name: component["props"].get(name) for name in OF_COMPONENTS}
        shown |= {f"choice {place}": choice[0] for place, choice in enumerate(component["props"].get("choices") or [])}
        for name, text in shown.items():
            words = text.replace("\n", " ") if isinstance(text, str) else ""
            if component["type"] in ("gallery", "radio") and name == "value" or is_known(words):
                continue
            wrong.append((component["type"], name, text))
    assert wrong == []


def is_known(text: str) -> bool:
    """Whether it is no word, one that the browser looks up, a name, or for programs."""
    plain = re.sub(r"<[^>]*>", "", text)
    looked_up = text.startswith("__i18n__") and text.endswith("}")
    return looked_up or not re.search("[A-Za-z]{2}", plain) or text in NAMES or bool(FOR_PROGRAMS.fullmatch(text))


# Which language


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.4, fr;q=0.9", "fr"),
        ("pt-BR", "pt-BR"),
        ("pt", "pt-BR"),
        ("pt-PT;q=0.5", "pt-BR"),
        ("zh", "zh-CN"),
        ("ZH-cn", "zh-CN"),
        ("zh-Hant-TW,zh;q=0.9", "zh-CN"),
        ("ja,ko;q=0.9", "en"),
        ("ja,es;q=0.2", "es"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("*", "en"),
        ("de;q=nan,de;q=inf,de;q=-1,de;q=x", "en"),
        (",;,;;q=,=", "en"),
        ("../../en", "en"),
        ("d" * 100_000, "en"),
        ("ja," * 10_000 + "de", "en"),
        ("<script>", "en"),
    ],
)
def test_the_browsers_languages_choose(accepted, wanted):
    assert choose(accepted) == wanted


@pytest.mark.parametrize(
    ("headers", "query", "wanted"),
    [
        ({"accept-language": "de"}, "lang=fr", "fr"),
        ({"accept-language": "de", "referer": "http://x.test/?a=1&lang=es"}, "", "es"),
        ({"accept-language": "de", "referer": "http://x.test/?lang=xx"}, "", "de"),
        ({"accept-language": "de", "referer": "http://[bad/?lang=es"}, "", "de"),
        ({}, "&".join(f"a{number}=1" for number in range(100)), "en"),
    ],
)
def test_the_address_chooses_before_the_browser(headers, query, wanted):
    assert of_headers(headers, query) == wanted


def test_outside_of_a_request_everything_is_english_and_inside_it_is_its_language():
    assert told(words.VERDICTS["generated"]) == "Traces of generation"
    asked = LocalContext.request.set(gr.Request(headers={"accept-language": "de"}))
    try:
        assert told(words.VERDICTS["generated"]) == WORDS["de"]["verdict.generated"]
    finally:
        LocalContext.request.reset(asked)


def test_the_page_begins_in_the_language_that_its_handlers_will_use():
    async def page(scope, receive, send):
        await HTMLResponse('<html\n lang="en"><head></head>')(scope, receive, send)

    client = TestClient(Spoken(page))
    for accepted, query, wanted in (("de-DE", "", "de"), ("de", "?lang=zh-CN", "zh-CN"), ('"><script>', "", "en")):
        reply = client.get(f"/{query}", headers={"accept-language": accepted})
        assert f'lang="{wanted}"' in reply.text and f'"language", {{value: "{wanted}"}}' in reply.text
        assert "accept-language" in reply.headers["vary"].lower()


# What is told


def test_parts_places_numbers_and_plurals_follow_the_language():
    count = {"one": "{n:,} file declares generative AI.", "other": "{n:,} files declare generative AI."}
    several, one = (said("batch.declare", count, n=n) for n in (1234, 1))
    assert several == "1,234 files declare generative AI."
    with spoken("de"):
        assert told(several) == "1.234 Dateien geben generative KI an."
        assert told(joined(["a", one])) == "a 1 Datei gibt generative KI an."
    with spoken("zh-CN"):
        assert told(joined([one, several])) == "1 个文件声明使用生成式 AI。1,234 个文件声明使用生成式 AI。"
        assert told(joined(["a", "b"], COMMA)) == "a、b"
    with spoken("fr"):
        assert told(say("map.cell", value=0.25, p=0.0)) == "0,25, valeur p 0"


def test_what_a_file_is_named_is_never_told_in_another_language():
    with spoken("de"):
        assert "none {n} Map" in style.render("busy.html", picture="none {n} Map")
        assert (
            told("none") == "none" and is_foreign("none") and not is_foreign(NOTHING) and not is_foreign(str(NOTHING))
        )


@pytest.mark.parametrize("other", OTHERS)
def test_card_and_panels_are_in_one_language(other, detector, photo):
    evidence = detector.detect(photo)
    with spoken(other):
        shown = [
            panels.card(evidence, UNDECLARED, None, ("Read by nobody.",)),
            panels.null_plot(evidence),
            panels.legend(evidence, "evidence", contours=True, finer=True),
            style.render("tools.html"),
        ]
        assert told(words.headline(evidence)) in shown[0] and told(opening(UNDECLARED, "generated")) in shown[0]
    text = re.sub(r'<[^>]*lang="en"[^>]*>[^<]*<|data:[^"]*|data-of', "<", " ".join(shown))
    found = set(re.findall(r"\b(the|of|and|pictures?|patch|patches|is|are|this)\b", text))
    assert found == set()


@pytest.mark.parametrize("other", OTHERS)
def test_no_word_of_the_stability_plot_leaves_it(other):
    copies = [stability.Variant(change, 0.1, 0.1, "inconclusive", ratio=1.5) for change in stability.CHANGES]
    with spoken(other):
        figure = charts.stability_plot(copies, 0.05, told)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has its own
        canvas.draw()
        written = [figure.axes[0].xaxis.label, *figure.axes[0].get_yticklabels(), *figure.legends[0].get_texts()]
        boxes = [text.get_window_extent() for text in written]
    assert all(0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes), written


def test_programs_get_english_whatever_the_language(detector, photo):
    evidence = detector.detect(photo)
    with spoken("de"):
        assert api.in_words(evidence, UNDECLARED).startswith(str(NOTHING))
        assert words.headline(evidence) in words.VERDICTS.values() and str(words.explain(evidence)).isascii()


def test_a_component_begins_with_a_key_that_the_browser_knows_in_every_language():
    begun = labels.label(say("many.begin"))
    texts = {tongue: translations[begun.key] for tongue, translations in labels.spoken_by().translations.items()}
    assert texts == {tongue: found["many.begin"] for tongue, found in WORDS.items()}
    assert labels.english(begun) == "Analyse" and labels.label("bare") == "bare"
