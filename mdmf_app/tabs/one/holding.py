"""Does the result hold? The stability test of one picture, and how its answer is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from mdmf_app import panels, style
from mdmf_app.context import Context
from mdmf_app.language import number, say
from mdmf_app.language import told as in_its_language
from mdmf_app.tabs.one.kept import GONE, is_gone
from mdmf_app.views import Result, View
from mdmf_core.errors import CheckpointError
from mdmf_core.evidence import Evidence, decide, outcome
from mdmf_core.sentence import joined
from mdmf_core.show import charts, stability
from mdmf_core.show import words as wording

Shown = tuple[Any, Any, Any]


def tried(context: Context, result: Result, alpha: float) -> Iterator[stability.Variant]:
    """The result, and what its changed copies give, one by one.

    Raises:
        CheckpointError: the model that analysed the picture can't be loaded any more.
    """
    return stability.variants(context.detector(result.choice), result.picture, alpha, result.whole.evidence.verdict)


def hold(
    context: Context, result: Result | None, alpha: float, progress: gr.Progress | None = None
) -> list[stability.Variant]:
    """The stability test, with its progress.

    Raises:
        CheckpointError: the model that analysed the picture can't be loaded any more.
    """
    variants = []
    for variant in tried(context, result, alpha):
        variants.append(variant)
        if progress is not None:
            progress(
                (len(variants), len(stability.CHANGES)), desc=in_its_language(say("holds.tried", name=variant.name))
            )
    return variants


def show_stability(
    context: Context,
    result: Result | None,
    alpha: float,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio's way to ask for it)
) -> Shown:
    """What the session keeps of the stability test, its panel, and its answer for the verdict's line."""
    if is_gone(result):
        return None, style.error_card(GONE), ""
    if not result.whole.evidence.verdict.judged:
        return None, refused(result.whole.evidence), ""
    try:
        variants = hold(context, result, alpha, progress)
    except CheckpointError as error:
        return None, style.error_card(str(error)), ""
    return told(result, variants, alpha)


def told(result: Result, variants: list[stability.Variant], alpha: float) -> Shown:
    """What is kept and shown of a test that came to its end."""
    return (result, variants), stability_panel(variants, alpha), held_line(result.whole, variants)


def stability_panel(variants: Sequence[stability.Variant], alpha: float) -> str:
    """The score after ordinary changes to the file, and what it is worth where the model has likelihood ratios."""
    weighed = any(v.ratio is not None for v in variants)
    heads = ("holds.head_change", "holds.head_score", "holds.head_p_value", *["figure.ratio"] * weighed)
    return style.render(
        "stability.html",
        sentence=stability.sentence(variants),
        chart=style.drawing(lambda: charts.stability_plot(variants, alpha, in_its_language)),
        told=charts.describe_stability(variants),
        headers=[say(head) for head in (*heads, "holds.head_answer")],
        rows=[stability_row(v, alpha, weighed) for v in variants],
    )


def stability_row(found: stability.Variant, alpha: float, weighed: bool) -> list[str]:
    """One changed copy: its name, score, p-value, likelihood ratio where those are `weighed`, and answer."""
    if found.error:
        return [found.name, found.error, *[""] * (2 + weighed)]
    ratio = number(wording.two_digits(found.ratio), ",.6g") if found.judged and found.ratio is not None else say("none")
    answer = wording.VERDICTS[outcome(decide(found.p_value, alpha), found.ratio, found.judged)]
    figures = number(found.score, ".3g"), number(found.p_value, ".2g"), *[ratio] * weighed
    return [found.name, *figures, answer]


def refused(evidence: Evidence) -> str:
    """Why nothing is tested of a picture that can't be judged."""
    return style.paragraph(joined([stability.REFUSED, evidence.verdict.reason]))


def trying(done: int, most: int) -> str:
    """How far the stability test is, in place of its panel."""
    return style.progress("hold-words", say("holds.done", n=done, all=most), str(done), most)


def held_line(view: View, variants: list[stability.Variant], done: int = 0, most: int = 0) -> str:
    """The answer of the stability test for the verdict's line, or how far it is: `done` of `most` copies."""
    short = say("holds.trying", n=done, all=most) if most else stability.short(variants)
    sentence = "" if most else stability.sentence(variants)
    return style.render("held.html", of=panels.name_of(view.evidence), short=short, sentence=sentence)
