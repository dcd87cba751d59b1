"""Many pictures: hostile archives give sentences, good pictures give rows, tables can't bite."""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from packed import pack, png
from PIL import Image
from tiny import picture

from mdmf_core.errors import ImageError
from mdmf_core.images.archive import Item, gather, unpack_again
from mdmf_core.images.origin import Origin
from mdmf_core.run import batch, listing
from mdmf_core.run.batch import Row, adjust, run, to_csv, to_json


def test_rows_of_good_and_bad_pictures(tmp_path, folder, photo, detector):
    members = {"1.png": png(1), "bad.png": b"no picture", "x.txt": b"x", "cut.png": png()[:999]}
    archive = pack(tmp_path / "a.zip", members)
    items = gather([photo, archive, tmp_path / "gone.png"], folder)
    rows = adjust(list(run(detector, items, 0.05)))
    assert [row.name for row in rows] == [item.name for item in items]
    assert [row.error is None for row in rows] == [True, True, False, False, False, False]
    for row, path in ((rows[0], photo), (rows[1], items[1].path)):
        evidence = detector.detect(path, 0.05)
        verdict = evidence.verdict
        assert (row.decision, row.score, row.p_value) == (verdict.decision, verdict.score, verdict.p_value)
        assert row.flagged_share == evidence.maps["evidence"].outlined.sum() / evidence.n_patches
        assert (row.width, row.height, row.n_bytes) == (128, 96, path.stat().st_size)
        assert row.sha256 == evidence.picture.sha256
        assert row.thumbnail.size == (128, 96)
        assert row.hatched_share == evidence.n_hatched / evidence.n_patches
    for row in rows[2:]:
        assert row.error.endswith(".") and "fault in the program" not in row.error
        assert row.p_value is row.q_value is row.score is row.thumbnail is None
    assert "4 files could not be analysed." in batch.summary(rows, 0.05)


def test_large_pictures_have_small_thumbnails(tmp_path, detector):
    path = tmp_path / "large.png"
    Image.fromarray(picture(1, 500, 900)).save(path)
    (row,) = run(detector, [Item("large.png", path)], 0.05)
    assert max(row.thumbnail.size) == batch.THUMBNAIL


def test_pictures_are_analysed_one_by_one_on_demand(photo, detector, monkeypatch):
    seen = []
    whole = detector.detect
    monkeypatch.setattr(detector, "detect", lambda *args, **more: seen.append(1) or whole(*args, **more))
    rows = run(detector, 5 * [Item("a", photo)], 0.05)
    assert seen == []
    next(rows), next(rows)
    assert len(seen) == 2
    rows.close()
    assert len(seen) == 2


def test_a_fault_of_the_program_is_a_row_and_is_logged(photo, detector, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(detector, "detect", fail)
    (row,) = run(detector, [Item("a", photo)], 0.05)
    assert "fault in the program" in row.error and "secret" not in row.error
    assert "A picture of a batch failed." in caplog.text and "RuntimeError" in caplog.text


def test_a_wrong_rate_is_refused_at_once(detector):
    with pytest.raises(ValueError):
        run(detector, [], 0.5)


def test_q_values_by_hand():
    p_values = [0.01, None, 0.04, 0.03, 0.5]
    rows = adjust([Row(str(p), p_value=p, error=None if p else "bad.") for p in p_values])
    found = [row.q_value for row in rows]
    assert found[1] is None
    np.testing.assert_allclose([q for q in found if q], [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjust([]) == []
    assert adjust([Row("x", error="bad.")])[0].q_value is None


def test_q_values_keep_false_alarms_rare():
    """Uniform p-values: q <= 0.1 anywhere in at most about 10% of batches."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        rows = adjust([Row("x", p_value=p) for p in rng.uniform(size=30)])
        hits += any(row.q_value <= 0.1 for row in rows)
    assert 5 <= hits <= 48


GOOD = Row("a.png", "generated", -0.5, 0.01, 0.02, 0.25, 640, 480, 1000, "ab" * 32)


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", '=cmd|"/c calc"!A1']
)
def test_no_formula_in_csv(name):
    for row in (replace(GOOD, name=name), Row("x", error=name)):
        cells = list(csv.reader(io.StringIO(to_csv([row]), newline="")))[1]
        cell = cells[0] if row.error is None else cells[-1]
        assert cell == f"'{name}"


def test_csv_can_be_read_back():
    awkward = replace(GOOD, name='a "b", c\nd.png')
    text = to_csv([awkward, Row("bad.png", error="It is damaged.")])
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert list(first) == list(batch.COLUMNS)
    assert first["name"] == awkward.name
    assert float(first["score"]) == -0.5 and float(first["q_value"]) == 0.02 and int(first["width"]) == 640
    assert first["error"] == "" and second["error"] == "It is damaged." and second["score"] == ""


def test_json_has_the_same_figures(detector):
    rows = [GOOD, Row("é.png", error="It is damaged.")]
    facts = batch.facts(detector, 0.05)
    found = json.loads(to_json(rows, facts))
    assert {name: found[name] for name in facts} == facts
    assert facts["fingerprint"] == detector.fingerprint and facts["alpha"] == 0.05
    assert found["rows"] == [row.to_dict() | {"notes": []} for row in rows]
    assert found["rows"][1]["name"] == "é.png"
    with pytest.raises(ValueError):
        to_json([replace(GOOD, score=float("nan"))], facts)


def test_summary_in_words():
    text = batch.summary([GOOD, replace(GOOD, decision="no_evidence")], 0.05)
    assert text == "1 of 2 pictures has p <= 0.05; if all were real, about 0.1 would by chance."
    assert batch.summary([Row("x", error="bad.")], 0.05) == "No picture could be analysed."


def test_the_strongest_evidence_comes_first_and_bad_files_last():
    rows = [
        Row("bad", error="It is damaged."),
        replace(GOOD, name="unjudged", judged=False, p_value=0.001),
        replace(GOOD, name="weak", likelihood_ratio=3.0, p_value=0.02),
        replace(GOOD, name="strong", likelihood_ratio=40.0, p_value=0.03),
        replace(GOOD, name="stronger", likelihood_ratio=40.0, p_value=0.01),
        replace(GOOD, name="real", likelihood_ratio=0.2, p_value=0.6),
    ]
    found = [row.name for row in batch.by_strength(rows)]
    assert found == ["stronger", "strong", "weak", "real", "unjudged", "bad"]


def test_rows_are_counted_by_answer_and_by_origin():
    yes = Origin("made by generative AI", "a signer", True, True, False, "yes", "It says so.")
    rows = [
        replace(GOOD, outcome="generated", origin=yes),
        replace(GOOD, outcome="no_evidence", origin=replace(yes, declared="", signed=False, generated="unknown")),
        replace(GOOD, outcome="no_evidence", origin=replace(yes, generated="no")),
        Row("bad", error="It is damaged."),
    ]
    counted = listing.counted(rows)
    assert [(name, number) for name, _, number in counted["answers"]] == [
        ("generated", 1),
        ("no_evidence", 2),
        ("error", 1),
    ]
    assert [(name, number) for name, _, number in counted["origins"]] == [
        ("generated", 1),
        ("other", 1),
        ("nothing", 1),
    ]


def test_the_report_has_every_row_to_full_precision_and_nothing_runs_in_it(detector):
    thumbnail = Image.fromarray(picture(3))
    evil = replace(
        GOOD, name="<script>1</script>.png", outcome="generated", thumbnail=thumbnail, notes=("It was turned.",)
    )
    rows = [Row("bad.png", error="It is <damaged>."), replace(evil, p_value=1 / 3, hatched_share=1 / 7)]
    page = listing.html_report(rows, batch.facts(detector, 0.05))
    assert "<script" not in page and "&lt;script&gt;" in page and "It is &lt;damaged&gt;." in page
    assert page.index("&lt;script&gt;1") < page.index("bad.png"), "the strongest evidence first"
    for value, field in ((1 / 3, "p_value"), (1 / 7, "hatched_share"), (0.25, "flagged_share"), (-0.5, "score")):
        assert f'<data value="{value}" data-field="{field}">' in page
    assert "It was turned." in page and detector.fingerprint in page and page.count("data:image/jpeg") == 1
    assert "default-src 'none'" in html.unescape(page) and "http" not in page.replace("http-equiv", "")


def test_a_member_is_unpacked_again_alone(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", [("one.png", png(1)), ("deep/two.png", png(2)), ("deep/two.png", png(3))])
    items = gather([archive], folder)
    alone = tmp_path / "alone"
    for item, seed in zip(items[1:], (2, 3), strict=True):
        alone.mkdir(exist_ok=True)
        path = unpack_again(item.member, alone)
        assert path == alone / "two.png" and path.read_bytes() == png(seed)
    archive.unlink()
    with pytest.raises(ImageError, match=r"give the archive again\.$"):
        unpack_again(items[0].member, alone)
