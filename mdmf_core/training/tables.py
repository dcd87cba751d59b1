"""The figures of an evaluation as CSV rows, Markdown tables and histograms."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from mdmf_core.files import write_whole
from mdmf_core.texts import cell
from mdmf_core.training.metrics import METRICS, STRICT

if TYPE_CHECKING:
    from mdmf_core.training.evaluate import Row

REAL_COLOUR, GENERATED_COLOUR = "#0072B2", "#D55E00"


def write_csv(path: Path, rows: list[dict]) -> None:
    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)

    write_whole(path, write)


def flat(result: dict) -> list[dict]:
    """The rows of `metrics.csv`: one for each generator, real source and mean, in each condition."""
    rows = []
    for condition, found in result["conditions"].items():
        named = [("generator", name, values) for name, values in found["generators"].items()]
        named.append(("average", "", found["average"]))
        named += [("real", name, values) for name, values in found["real"].items()]
        named.append(("all real", "", found["all_real"]))
        for kind, name, values in named:
            row = {"condition": condition, "kind": kind, "name": name}
            row |= {key: values.get(key) for key in ("n", "n_generators", "n_real", "failures")}
            for metric in METRICS:
                low, high = values.get(f"{metric}_interval", (None, None))
                row |= {metric: values.get(metric), f"{metric}_low": low, f"{metric}_high": high}
            for rate in ("tpr", "tpr_strict", "fpr", "fpr_strict"):
                value = values.get(rate)
                if not isinstance(value, dict):
                    value = {"share": value, "interval": (None, None)}
                low, high = value["interval"]
                row |= {rate: value["share"], f"{rate}_low": low, f"{rate}_high": high}
            rows.append(row | {"fpr_mean_over_sources": values.get("fpr_mean_over_sources")})
    return rows


def _figure(value: float | None, ends: Iterable[float] | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if ends is None else " [{:.3f}, {:.3f}]".format(*ends))


def _rate(value: dict | None) -> str:
    return "-" if value is None else _figure(value["share"], value["interval"])


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _tables(found: dict, alpha: float) -> list[str]:
    """A condition's two tables, line by line."""
    levels = [f"p <= {alpha:g}", f"p <= {STRICT:g}"]
    lines = [_line("generator", "n", "real", "AUROC", "AP", "FPR@95TPR", *(f"{level}, share" for level in levels))]
    lines.append("|---|" + "---:|" * 7)
    for name, values in found["generators"].items():
        figures = [_figure(values.get(metric), values.get(f"{metric}_interval")) for metric in METRICS]
        rates = [_figure(values.get(rate, {}).get("share")) for rate in ("tpr", "tpr_strict")]
        lines.append(_line(name, values["n"], values["n_real"], *figures, *rates))
    average = found["average"]
    figures = [_figure(average.get(metric), average.get(f"{metric}_interval")) for metric in METRICS]
    rates = [_figure(average.get(rate)) for rate in ("tpr", "tpr_strict")]
    total = sum(values["n"] for values in found["generators"].values())
    lines.append(_line(f"**average of {average['n_generators']}**", total, "", *figures, *rates))
    lines += ["", _line("real source", "n", *(f"{level}, share" for level in levels)), "|---|" + "---:|" * 3]
    for name, values in found["real"].items():
        lines.append(_line(name, values["n"], _rate(values.get("fpr")), _rate(values.get("fpr_strict"))))
    every = found["all_real"]
    lines.append(_line("**all real**", every["n"], _rate(every.get("fpr")), _rate(every.get("fpr_strict"))))
    lines.append(_line("**mean over sources**", "", _figure(every["fpr_mean_over_sources"]), ""))
    return lines


def markdown(result: dict) -> str:
    """What `metrics.md` holds: tables to paste, with what they were measured on."""
    low, high = result["n_calibration"] or (0, 0)
    calibrated = f"{low}" if low == high else f"{low} to {high}"
    lines = [
        f"Detector {result['model']} ({result['backbone']}, statistic {result['statistic']}, fingerprint "
        f"{result['fingerprint'][:12]}), {calibrated} calibration pictures; {result['pictures']} pictures of "
        f"{', '.join(result['folders'])}; {result['date']}, seed {result['seed']}. In brackets 95% intervals: "
        f"bootstrap ({result['draws']} draws) of AUROC, AP and FPR@95TPR, Wilson of shares."
    ]
    for condition, found in result["conditions"].items():
        lines += ["", f"Condition `{condition}`:", ""]
        if found["failures"]:
            lines += [f"{found['failures']} of {found['pictures']} pictures could not be scored (`scores.csv`).", ""]
        lines += _tables(found, result["alpha"])
    return "\n".join(lines) + "\n"


def histogram(rows: list[Row], condition: str, alpha: float) -> Figure:
    """Scores of real and generated pictures in one condition, and the score at which p = alpha.

    Where pictures are compared with different calibration scores, by their number of patches, the line
    is the median of their thresholds.
    """
    scored = [row for row in rows if row.error is None]
    parts = [np.array([row.score for row in scored if row.label == label], float) for label in (0, 1)]
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    if scored:
        edges = np.histogram_bin_edges(np.concatenate(parts), bins=40)
        kinds = (("real", REAL_COLOUR, "-"), ("generated", GENERATED_COLOUR, "--"))
        for scores, (name, colour, dashes) in zip(parts, kinds, strict=True):
            heights = np.histogram(scores, edges)[0] / max(1, len(scores))
            label = f"{name} ({len(scores)})"
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(heights, edges, color=colour, linestyle=dashes, linewidth=1.5, label=label)
        limit = float(np.median([row.threshold for row in scored]))
        if np.isfinite(limit):
            axes.axvline(limit, color="black", linewidth=1, linestyle=":", label=f"p = {alpha:g}")
        axes.legend()
    axes.set(title=f"Condition {condition}", xlabel="score", ylabel="share of pictures")
    return figure
