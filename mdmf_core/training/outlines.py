"""Calibrate when a picture may have outlines; for a checkpoint that is made already:

    python -m mdmf_core outlines recipe.json runs/mine

`bank` and `locate` do the same for what they make. Source: `method.calibration`. The pictures are those that calibrate
the score, each in its one condition, as `embed` stored them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from mdmf_core.checkpoint.store import Model
from mdmf_core.method import calibration as calibrations
from mdmf_core.method.calibration import Signed
from mdmf_core.method.reference import Reference
from mdmf_core.method.state import USUAL
from mdmf_core.training import embed
from mdmf_core.training.dataset import counted_as


def of_evidence(
    made: Reference,
    detail: str,
    signed: Iterable[Signed],
    model: Model,
    say: Callable[[str], None],
) -> Reference:
    """The same reference with rates for outlines of pictures with this detail, where enough sources have such.

    Args:
        made: with the calibration of this detail.
        detail: of `state.KINDS`.
        signed: untouched calibration pictures with it.
        model: the checkpoint.
        say: takes a line.
    """
    null, judged = made.calibration(detail).patch_nulls[model.statistic], []
    for picture in signed:
        shares, _ = calibrations.evidence_of(picture.points, model.statistic, made.real, made.generated, model.kernel)
        p_values = calibrations.p_value(picture.points.count * shares.numpy(), null)
        judged.append((picture.source, p_values, picture.rows, picture.cols))
    rates = calibrations.outline_rates(judged)
    say(f"{detail} pictures: {told(rates)}")
    others = {name: own for name, own in made.outlines.items() if name != detail}
    return replace(made, outlines=others | ({detail: rates} if rates else {}))


def told(rates: dict[int, float]) -> str:
    """What rates for outlines are, in words."""
    if not rates:
        return "outlines are not calibrated by picture, for there are too few sources"
    ends = ", ".join(f"{rates[k]:.3f} at {k} x {k} patches" for k in (min(rates), max(rates)))
    return f"outlines at a false discovery rate of {ends}"


def again(
    made: Reference,
    folder: Path,
    conditions: dict[str, str],
    model: Model,
    say: Callable[[str], None],
) -> Reference:
    """The same reference with rates for outlines of usual pictures anew, from stored embeddings.

    Args:
        made: a reference.
        folder: of `embed`'s shards.
        conditions: of each calibration picture, by its key, the one that it is used in.
        model, say: as for `of_evidence`.

    Raises:
        DatasetError: the shards are another encoder's, or damaged.
    """
    signed: list[Signed] = []
    for path, rows in embed.shards(folder, embed.backbone_digest(model.backbone)):
        chosen = [
            index
            for index, row in enumerate(rows)
            if conditions.get(row["key"]) == row["life"] and made.nearest(row.get("detail", USUAL)) == USUAL
        ]
        for picture in embed.pictures(path, chosen):
            source = counted_as(picture.source)
            signed.append(Signed(model.points(picture.embeddings), picture.rows, picture.cols, source))
    return of_evidence(made, USUAL, signed, model, say)
