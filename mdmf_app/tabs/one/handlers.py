"""The tab for one picture: components, and handlers that check, call and format.

The detector runs once a picture, once a region and for the stability test. All else is drawn from the evidence that
the session keeps for an hour: `Result`, the region's `View`, and the changes that the stability test tried.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from mdmf_app import panels, session, style, views
from mdmf_app.context import EXAMPLES, Choice, Context, detect
from mdmf_app.language import ENGLISH, current, say
from mdmf_app.language import told as in_its_language
from mdmf_app.tabs.one.holding import hold, told
from mdmf_app.tabs.one.kept import GONE, Held, Turn, held_at, is_gone
from mdmf_app.tabs.one.layout import INSPECT
from mdmf_app.views import Refined, Result, View
from mdmf_core.errors import CheckpointError, ImageError, WriteError
from mdmf_core.files import write_whole
from mdmf_core.images.isolated import origin_of, read_provenance
from mdmf_core.show.page import html_report
from mdmf_core.show.report import Findings, json_report
from mdmf_core.texts import plain

WAITING = say("one.waiting")
FIRST_CORNER = say("region.first_corner")
REGION_SET = say("region.set")


def take(path: str | None) -> tuple[str | None, None, None, Any]:
    """Keep the picture for later, empty its field for the next one, leave no example marked."""
    return path, None, None, gr.update(selected_index=None)


def take_opened(opened: tuple[str, str] | None) -> tuple[str | None, None, Any]:
    """Keep the path that another tab opened, leave no example marked."""
    return opened and opened[0], None, gr.update(selected_index=None)


def clear(path: str | None, turn: Turn | None = None) -> tuple[str, Any, None]:
    """In place of the last result the name of the picture that comes; nothing of the map before it, nor its tests."""
    if turn is not None:
        turn.begin()
    said = style.render("busy.html", picture=plain(Path(path).name)) if path else style.notice(WAITING)
    return said, gr.update(visible=False), None


def analyse(
    context: Context,
    path: str | None,
    alpha: float,
    example: dict | None,
    chosen: Choice | None,
    turn: Turn | None = None,
) -> tuple[Result | None, str, Any, Any]:
    """Result, card, the panels' visibility and, for a composite, its mask; nothing if it was overtaken meanwhile."""
    turn = turn or Turn()
    mine = turn.begin()
    found = analyse_now(context, path, alpha, example, chosen)
    if turn.last != mine:
        return (gr.skip(),) * 4
    turn.shown = found[0]
    return found


def analyse_now(
    context: Context, path: str | None, alpha: float, example: dict | None, chosen: Choice | None
) -> tuple[Result | None, str, Any, Any]:
    """What `analyse` gives."""
    if not path:
        return None, style.notice(WAITING), gr.skip(), gr.skip()
    hidden = gr.update(visible=False)
    try:
        picture, found = detect(context.detector(chosen), path, alpha)
    except (gr.Error, CheckpointError) as error:
        return None, style.error_card(getattr(error, "message", error.args[0])), hidden, hidden
    session.of_sessions.keep(path, picture)
    result = Result(path, views.judge(picture, found), chosen, example, origin_of(path, picture))
    return result, show_card(result, alpha), gr.update(visible=True), mask_of(example)


def mask_of(example: dict | None) -> Any:
    """The mask of an example whose generated part is known; hidden where there is none."""
    mask = Image.open(EXAMPLES / example["mask"]) if example and example["mask"] else None
    return gr.update(value=mask, visible=mask is not None)


def show_card(result: Result, alpha: float) -> str:
    """The verdict under a false-alarm rate."""
    view = result.whole
    return panels.card(view.evidence.at(alpha), result.origin, result.example, view.reliability.warnings)


def show_map(
    result: Result | None,
    region: View | None,
    colour: str,
    opacity: float,
    contours: bool,
    refined: Refined | None,
    patch: float | None,
    corner: tuple[int, int] | None,
    *box: float | None,
) -> tuple[Any, Any, Any]:
    """Map with its marks, legend, and where not to trust it; or a sentence in the last place."""
    if is_gone(result):
        return gr.skip(), gr.skip(), style.paragraph(GONE)
    view = result.view(region)
    image = views.draw(result, region, colour, opacity, contours, refined)
    image = views.mark(image, result, region, index_of(view, patch), whole_box(box) or corner or ())
    fine, cells = views.finer_of(result, region, refined), panels.cells(result, view, colour)
    is_finer = fine is not None and colour in fine.values
    return image, panels.legend(view.evidence, colour, opacity, cells, contours, is_finer), panels.doubts(view)


def known_mask(result: Result | None) -> Path | None:
    """Where the mask of an example lies whose generated part is known."""
    example = result and result.example
    return EXAMPLES / example["mask"] if example and example["mask"] else None


def show_map_and_mask(
    turn: Turn, known: bool, result: Result | None, region: View | None, *rest: Any
) -> tuple[Any, Any, Any]:
    """What `show_map` gives, unless overtaken; where `known`, with a line around the generated part."""
    mine = turn.draw()
    image, *others = show_map(result, region, *rest)
    mask = known_mask(result)
    if known and mask and isinstance(image, Image.Image):
        with Image.open(mask) as drawing:
            views.outline_known(image, result, region, drawing)
    return (image, *others) if turn.drawing == mine else (gr.skip(),) * 3


def offer_maps(statistic: str, all_maps: bool, colour: str) -> Any:
    """The maps to choose from; one that is no longer offered gives way to the first."""
    offered = views.offered(all_maps, statistic)
    kept = colour if colour in (name for _, name in offered) else views.IN_VIEW[0]
    return gr.update(choices=[(in_its_language(words), name) for words, name in offered], value=kept)


def pair_of(
    result: Result | None,
    region: View | None,
    colour: str,
    opacity: float,
    contours: bool = False,
    refined: Refined | None = None,
) -> tuple[Image.Image, Image.Image] | None:
    """The picture without and with its map."""
    if is_gone(result):
        return None
    return views.plain(result, region), views.draw(result, region, colour, opacity, contours, refined)


def show_table(result: Result | None, region: View | None) -> Any:
    if result is None:
        return gr.skip()
    evidence = result.view(region).evidence
    rows, score = panels.top_rows(evidence), evidence.verdict.score
    return rows if current() == ENGLISH and score > 0 else {"headers": panels.headers(score), "data": rows}


def show_null(result: Result | None, alpha: float) -> Any:
    return gr.skip() if result is None else panels.null_plot(result.whole.evidence.at(alpha))


def show_patch(result: Result | None, region: View | None, patch: float | None) -> str:
    if is_gone(result):
        return style.notice(GONE)
    return panels.patch_panel(result, region, index_of(result.view(region), patch))


def show_patches(result: Result | None, region: View | None, patch: float | None) -> tuple[Any, Any]:
    """Panel and table of the patches; a patch that was chosen meanwhile stays, and nothing comes without a result."""
    if result is None:
        return gr.skip(), gr.skip()
    return show_patch(result, region, patch), show_table(result, region)


def show_origin(result: Result | None) -> Any:
    return gr.skip() if is_gone(result) else panels.origin_panel(read_provenance(Path(result.path), result.picture))


def index_of(view: View, patch: float | None) -> int | None:
    """The patch with the number that a person gave, counted from 1."""
    if patch is None or not 1 <= patch <= view.evidence.n_patches:
        return None
    return int(patch) - 1


def whole_box(box: Sequence[float | None]) -> tuple[int, ...] | None:
    """The four numbers of a region, once all are given."""
    return None if any(number is None for number in box) else tuple(int(number) for number in box)


def click(
    result: Result | None, region: View | None, mode: str, corner: tuple[int, int] | None, event: gr.SelectData
) -> tuple[Any, ...]:
    """What a click on the map does: patch number, corner kept, region's four numbers, hint."""
    if result is None:
        return (gr.skip(),) * 7
    view = result.view(region)
    point = views.frame(view, view is result.whole).to_picture(event.index)
    if mode == INSPECT:
        return views.patch_at(view, point) + 1, None, *(gr.skip(),) * 4, ""
    if corner is None:
        return gr.skip(), point, None, None, None, None, style.paragraph(FIRST_CORNER)
    (left, right), (top, bottom) = sorted((corner[0], point[0])), sorted((corner[1], point[1]))
    return gr.skip(), None, left, top, right - left, bottom - top, style.paragraph(REGION_SET)


def magnify(result: Result | None, region: View | None, event: gr.SelectData) -> Any:
    """The pixels around a place of the picture, for the magnifier; nothing for what is no place of it."""
    place = event.index
    if is_gone(result) or not isinstance(place, list) or [type(each) for each in place] != [int, int]:
        return gr.skip()
    return panels.lens(*views.around(result, region, place), result.whole.evidence.picture.sha256[:16])


def row_click(event: gr.SelectData) -> int:
    """The patch of the table's row, wherever sorting put it."""
    return int(event.row_value[panels.TABLE.index("patch")])


def drawn_box(event: gr.SelectData) -> tuple[int | None, ...]:
    """The region's four numbers, as drawn into the map; none for what is no region."""
    box = event.index
    fits = isinstance(box, list) and [type(each) for each in box] == [int] * 4
    return tuple(box) if fits else (None,) * 4


def analyse_region(
    context: Context, result: Result | None, alpha: float, *box: float | None
) -> tuple[Any, str, Any, Any]:
    """The region's view, its card, the button back to the whole picture, and no patch chosen."""
    kept = gr.skip(), gr.skip(), gr.skip()
    if is_gone(result):
        return kept[0], style.error_card(GONE), *kept[1:]
    if whole_box(box) is None:
        return kept[0], style.error_card(say("region.incomplete")), *kept[1:]
    try:
        found = context.detector(result.choice).detect(result.picture, alpha, region=whole_box(box))
    except (ImageError, ValueError, CheckpointError) as error:
        return kept[0], style.error_card(error.args[0]), *kept[1:]
    view = views.judge(result.picture, found)
    return view, panels.region_card(view, alpha), gr.update(visible=True), None


def change_rate(
    result: Result | None, region: View | None, held: Held | None, alpha: float
) -> tuple[Any, Any, Any, Any, Any]:
    """Card, null plot, the region's card, stability and its line under another rate; nothing is analysed again."""
    if result is None:
        return (gr.skip(),) * 5
    view, variants = result.view(region), held_at(held, result, alpha)
    return (
        show_card(result, alpha),
        show_null(result, alpha),
        gr.skip() if view is result.whole else panels.region_card(view, alpha),
        *(told(result, variants, alpha)[1:] if variants else (gr.skip(), gr.skip())),
    )


def make_report(
    context: Context,
    folder: Path,
    result: Result | None,
    held: Held | None,
    alpha: float,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Any, ...]:
    """What is kept of the stability test, its panel and line, a sentence and the two files."""
    if is_gone(result):
        return *(gr.skip(),) * 3, style.error_card(GONE), gr.skip(), gr.skip()
    try:
        variants = held_at(held, result, alpha) or hold(context, result, alpha, progress)
        detector = context.detector(result.choice)
    except CheckpointError as error:
        return *(gr.skip(),) * 3, style.error_card(error.args[0]), gr.skip(), gr.skip()
    findings = Findings(
        result.picture,
        result.whole.evidence.at(alpha),
        result.whole.reliability,
        variants,
        read_provenance(Path(result.path), result.picture),
        detector.reference.facts,
    )
    try:
        page, data = write_report(folder, findings)
    except WriteError as error:
        return *(gr.skip(),) * 3, style.error_card(error.args[0]), gr.skip(), gr.skip()
    return (
        *told(result, variants, alpha),
        style.paragraph(say("report.ready"), role="status"),
        gr.update(value=page, visible=True),
        gr.update(value=data, visible=True),
    )


def write_report(folder: Path, findings: Findings) -> tuple[str, str]:
    """Write the report; paths of the HTML and the JSON file.

    Args:
        folder: Gradio's cache, whose files are deleted after an hour.
        findings: about the whole picture.
    """
    place = folder / secrets.token_hex(16)
    stem = f"mdmf-report-{findings.picture.sha256[:12]}"
    texts = {"html": html_report(findings), "json": json.dumps(json_report(findings), indent=1)}
    page, data = (
        write_whole(place / f"{stem}.{ending}", lambda path, text=text: path.write_text(text, encoding="utf-8"))
        for ending, text in texts.items()
    )
    return str(page), str(data)
