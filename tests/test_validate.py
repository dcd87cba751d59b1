"""The command that validates likelihood ratios: its costs against a loop, its tables, its page."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality import made, validate
from mdmf_core.method import doubt, known


def row(label: int, ratio: float | None, condition: str = "as_is", reason: str = "", p: float = 0.5) -> validate.Scored:
    log = None if ratio is None else float(np.log10(ratio))
    return validate.Scored(label, "a", f"{label}/{ratio}", condition, "usual", p, log, reason)


def test_the_cost_is_that_of_the_formula():
    pytest.importorskip("lir")
    rng = np.random.default_rng(0)
    real, generated = rng.normal(-0.3, 0.5, 40), rng.normal(0.6, 0.7, 30)
    wanted = np.mean([np.log2(1 + 10**value) for value in real]) / 2
    wanted += np.mean([np.log2(1 + 10**-value) for value in generated]) / 2
    whole, least = validate.cost(real, generated)
    assert whole == pytest.approx(wanted) and 0 < least <= whole
    assert validate.cost(np.zeros(9), np.zeros(5))[0] == pytest.approx(1)


def test_refused_pictures_are_no_false_alarms():
    rows = [row(0, 50, p=0.01), row(0, 50, reason="It is white.", p=0.01), row(0, 0.5), row(0, 3)]
    assert validate._alarms(rows) == ["0.250", "0.250", "0.500", "0.250"]
    assert validate.judged([*rows, row(1, 4), row(0, None)], 0).tolist() == np.log10([50, 0.5, 3]).tolist()


def test_each_reason_belongs_to_one_rule():
    rows = [row(0, 1, "palette", "It has 16 colours only, as palettes ..."), row(0, 1, "palette")]
    table = list(validate.reason_table(rows))
    assert table[-1] == "| palette | 0.000 | 0.500 | 0.000 | 0.000 | 0.000 | 0.000 | 0.000 |"
    for sentence in (doubt.EQUAL, doubt.COMPRESSED, doubt.MEDIAN, doubt.ENLARGED, known.STRANGER):
        cells = list(validate.reason_table([row(0, 1, "palette", sentence)]))[-1].split(" | ")
        assert cells.count("1.000") + cells.count("1.000 |") == 1, sentence


def test_the_tables_go_between_the_marks():
    start, end = validate.MARKS
    page = validate.written(f"before\n{start}\nold\n{end}\nafter", "| new |")
    assert page == f"before\n{start}\n\n| new |\n{end}\nafter"
    with pytest.raises(ValueError, match="once each"):
        validate.written("no marks", "x")


def test_the_plots_show_every_picture(tmp_path):
    rows = [row(label, ratio) for label, ratios in ((0, (0.3, 0.5, 2)), (1, (0.5, 4, 30))) for ratio in ratios]
    validate.plots(rows, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pav_as_is.png", "tippett_as_is.png"]
    lines = validate.tippett(*(validate.judged(rows, label) for label in (0, 1))).axes[0].lines
    assert [len(line.get_xdata()) for line in lines[:2]] == [3, 3]


@pytest.mark.parametrize("kind", [*made.ORDINARY, *made.REFUSED])
def test_a_kind_is_made_the_same_each_time_and_keeps_to_pixels(kind):
    pixels = np.random.default_rng(4).integers(0, 256, (160, 200, 3)).astype(np.uint8)
    change = (made.ORDINARY | made.REFUSED)[kind]
    first, second = (change(pixels, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second) and first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3
