"""The tab for the model: which one this session uses, what it is, its card and figures; load another one.

A choice is the session's own, kept in its `gr.State`; nobody else's model changes. On a Space (SPACE_ID is set) or
where other machines reach the page (GRADIO_SERVER_NAME) only Hub repositories can be named, for a folder of the server
is nobody's business there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr
from huggingface_hub.utils import HFValidationError, validate_repo_id
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mdmf_app import style
from mdmf_app.context import LOADING_QUEUE, PRIVATE, Choice, Context
from mdmf_app.labels import label, still
from mdmf_app.language import say
from mdmf_core.checkpoint.client import progress_to
from mdmf_core.checkpoint.hub import CARD
from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError
from mdmf_core.sentence import joined
from mdmf_core.show.page import FACTS, STATISTICS, fact
from mdmf_core.texts import printable
from mdmf_core.training.dataset import counted_as

LONGEST_CARD = 200_000
LONG_PART = 1500  # characters of a part of a card, which is closed then
MOST_BYTES = 8 * 10**9
EVERY = 0.5  # seconds between two reports of progress
QUIET = 3  # seconds without news from the Hub that are told
ELSEWHERE = {"target": "_blank", "rel": "noopener noreferrer nofollow"}  # how links of a card open
NO_CARD = say("model.no_card")
INTRO = say("model.intro")
DEVICES = {"cpu": say("model.cpu"), "cuda": say("model.cuda")}
LOCAL = ("127.0.0.1", "localhost", "::1")
ONLY_HUB = say("model.only_hub")


def tab(context: Context, chosen: gr.State) -> None:
    """Components and events of the tab."""
    first = context.default
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            about = gr.HTML(still(lambda: about_model(first)), elem_id="model-about", padding=False)
        with gr.Column(scale=2, min_width=300):
            status = gr.HTML(still(lambda: style.notice(say("model.own"))), elem_id="model-status", padding=False)
            gr.HTML(still(lambda: style.paragraph(INTRO)), padding=False)
            wanted, revision = asked_for(local_allowed())
            with gr.Row():
                load_it = gr.Button(label(say("model.load")), variant="primary", elem_id="model-load", min_width=120)
                reset = gr.Button(label(say("model.back")), elem_id="model-reset", min_width=220)
    with gr.Accordion(label(say("model.card")), open=True):
        card = gr.HTML(still(lambda: card_of(first)), elem_id="model-card", padding=False)
    outputs = [chosen, status, about, card]
    load = {
        "fn": partial(change, context),
        "inputs": [wanted, revision, chosen],
        "outputs": outputs,
        "api_visibility": "private",
        "show_progress": "hidden",
        **LOADING_QUEUE,
    }
    gr.on([load_it.click, wanted.submit, revision.submit], **load)
    reset.click(partial(go_back, context), None, outputs, show_progress="hidden", **PRIVATE)


def asked_for(local: bool) -> tuple[gr.Textbox, gr.Textbox]:
    """The fields for a model and its revision; where `local`, a folder may be named, too."""
    with gr.Row():
        wanted = gr.Textbox(
            label=label(say("model.wanted_local" if local else "model.wanted")),
            placeholder=label(say("model.hint_local")) if local else "owner/name",
            max_lines=1,
            max_length=500,
            elem_id="model-wanted",
            scale=2,
            min_width=260,
        )
        revision = gr.Textbox(
            label=label(say("model.revision_wanted")),
            placeholder=label(say("model.revision_hint")),
            max_lines=1,
            max_length=200,
            elem_id="model-revision",
            min_width=200,
        )
    return wanted, revision


def local_allowed() -> bool:
    """Whether a folder of this machine may be named: only where nobody else can reach the page."""
    return not os.environ.get("SPACE_ID") and os.environ.get("GRADIO_SERVER_NAME", LOCAL[0]) in LOCAL


def check_name(wanted: str) -> str:
    """What the user asks for, if it may be asked for.

    Raises:
        CheckpointError: empty, a folder where none may be named, or no repository id; one sentence.
    """
    wanted = wanted.strip()
    if not wanted:
        raise CheckpointError(say("model.give"))
    try:
        there = Path(wanted).expanduser().exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, or the home of nobody
        raise CheckpointError(say("model.no_name")) from error
    if not local_allowed() and (there or wanted.count("/") != 1 or not is_repo(wanted)):
        raise CheckpointError(ONLY_HUB)
    return wanted


def check_revision(revision: str) -> str | None:
    """A branch, tag or commit that may be asked for: it becomes part of an address and of a path in the cache.

    Raises:
        CheckpointError: it can't be the name of one; one sentence.
    """
    revision = revision.strip()
    if ".." in revision or not re.fullmatch(r"\w[\w.+/-]{0,199}|", revision, re.ASCII):
        raise CheckpointError(say("model.no_revision"))
    return revision or None


def is_repo(wanted: str) -> bool:
    """Whether it has the form of a repository id."""
    try:
        validate_repo_id(wanted)
    except HFValidationError:
        return False
    return True


def change(context: Context, wanted: str, revision: str, choice: Choice | None) -> Iterator[tuple[Any, str, Any, Any]]:
    """Load a model for this session and tell how far it is; on failure one sentence, and the current model stays."""
    kept = gr.skip(), gr.skip()
    yield gr.skip(), bar(say("model.looking")), *kept
    try:
        wanted, revision = check_name(wanted), check_revision(revision)
        download = Download()
        with ThreadPoolExecutor(max_workers=1) as worker:
            task = worker.submit(download.watch, partial(context.load, wanted, revision))
            while not wait([task], timeout=EVERY).done:
                yield gr.skip(), download.bar(), *kept
        choice = task.result()
        detector = context.detector(choice)
    except CheckpointError as error:
        yield choice, failed(error.args[0]), *kept
        return
    words = say("model.in_use", name=detector.located.model)
    yield choice, style.notice(words), about_model(detector), card_of(detector)


class Download:
    """How much has arrived from the Hub; nothing where a folder is loaded."""

    def __init__(self) -> None:
        self._arrived, self._wanted, self._news = 0, 0, monotonic()

    def watch(self, load: Callable[[], Choice | None]) -> Choice | None:
        """What `load` returns; its downloads are seen here.

        Raises:
            CheckpointError: one of them is larger than `MOST_BYTES`, or what `load` raises.
        """
        with progress_to(self._tell):
            return load()

    def _tell(self, _: str, arrived: int, wanted: int) -> None:
        if wanted > MOST_BYTES:
            raise CheckpointError(say("model.large", n=MOST_BYTES // 10**9))
        self._arrived, self._wanted, self._news = arrived, wanted, monotonic()

    def bar(self) -> str:
        arrived, wanted, quiet = self._arrived, self._wanted, int(monotonic() - self._news)
        if arrived >= wanted:
            return bar(say("model.loading"))
        key, sizes = "model.quiet" if quiet >= QUIET else "model.downloading", (arrived / 1e6, wanted / 1e6)
        seconds = {"n": quiet} if quiet >= QUIET else {}
        return bar(say(key, arrived=sizes[0], wanted=sizes[1], **seconds), arrived / wanted)


def bar(words: str, share: float | None = None) -> str:
    """Progress in words and as a bar; without a share it only moves."""
    return style.progress("model-words", words, "" if share is None else f"{share:.3f}")


def failed(sentence: str) -> str:
    return style.error_card(joined([sentence, say("model.stays")]), title=say("model.not_loaded"))


def go_back(context: Context) -> tuple[None, str, str, str]:
    """The page's own model again."""
    own = context.default
    return None, style.notice(say("model.own")), about_model(own), card_of(own)


def about_model(detector: Detector) -> str:
    """What the model is and where it runs."""
    model, geometry = detector.model, detector.model.geometry
    patches = {"side": geometry.patch_size, "most": geometry.max_patches}
    if geometry.resize:
        cut = say("model.patches_resized", **patches, resize=geometry.resize)
    else:
        cut = say("model.patches_as_is", **patches)
    rows = {
        say("model.revision"): detector.located.revision,
        say("model.fingerprint"): detector.fingerprint,
        say("model.encoder"): model.backbone.name,
        say("model.statistic"): STATISTICS[model.statistic],
        say("model.patches"): cut,
        say("model.smallest"): say("model.side", n=geometry.min_side),
        say("model.locator"): say("yes") if detector.locator else say("model.no_locator"),
    }
    return style.render(
        "model.html",
        name=detector.located.model,
        device=DEVICES.get(detector.device, detector.device),
        rows=list(rows.items()),
        figures=figures(detector.reference.facts),
    )


def figures(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the reference is made of: name, how many in short, and by source."""
    kept = [(FACTS[name], facts[name]) for name in ("real", "generated", "calibration") if facts.get(name)]
    return [(name, _in_short(value), fact(value)) for name, value in kept]


def _in_short(value: Any) -> str:
    """The sum of counts; nothing for anything else."""
    if not isinstance(value, dict) or not all(isinstance(count, int) for count in value.values()):
        return ""
    return say("model.sources", pictures=sum(value.values()), n=len({counted_as(name) for name in value}))


def card_of(detector: Detector) -> str:
    """The model card as HTML that holds nothing but text, tables and links."""
    path = detector.located.folder / CARD
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            text = printable(file.read(LONGEST_CARD))
    except OSError:
        return style.paragraph(NO_CARD)
    return style.render("model_card.html", body=safe_markdown(text))


def safe_markdown(text: str) -> str:
    """Markdown as HTML: raw HTML is shown as text, pictures become their descriptions, front matter goes.

    A part that is long or has a table is closed behind its heading.

    A card comes from whoever published the model. Links keep only http, https and mailto, and open elsewhere.
    """
    text = re.sub(r"\A---\n.*?\n---\s*?(\n|\Z)", "", text.replace("\r\n", "\n"), count=1, flags=re.DOTALL)
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.validateLink = lambda url: url.lower().startswith(("https://", "http://", "mailto:", "#"))
    tokens = parser.parse(text)
    _tame(tokens)
    return "".join(_part(parser, part) for part in _parts(tokens))


def _parts(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """What stands before the first heading, then each heading with what follows it."""
    starts = [place for place, token in enumerate(tokens) if token.type == "heading_open"]
    return [tokens[start:end] for start, end in zip([0, *starts], [*starts, len(tokens)], strict=True)]


def _part(parser: MarkdownIt, tokens: Sequence[Token]) -> str:
    """A heading with its text; closed where it is long or has a table."""
    long = sum(len(token.content) for token in tokens) > LONG_PART or any(t.type == "table_open" for t in tokens)
    if not (tokens and tokens[0].type == "heading_open" and long):
        return parser.renderer.render(tokens, parser.options, {})
    heading, rest = (parser.renderer.render(part, parser.options, {}) for part in (tokens[:3], tokens[3:]))
    return f"<details><summary>{heading}</summary>{rest}</details>"


def _tame(tokens: Sequence[Token]) -> None:
    """Links open elsewhere, headings stand below the page's own, and a picture is its words.

    Fetching a picture would tell its owner who reads the card.
    """
    for token in tokens:
        if token.type == "link_open":
            token.attrs = {"href": token.attrs.get("href", ""), **ELSEWHERE}
        elif token.type == "image":
            token.type, token.content, token.children = "text", f"[picture: {token.content}]", None
        elif token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        _tame(token.children or ())
