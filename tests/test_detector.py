"""The contract of `detect`: its JSON, its sums, its determinism, its borders."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import make_checkpoint, picture

from mdmf_core.detector import Detector
from mdmf_core.errors import CheckpointError, ImageError
from mdmf_core.evidence import Evidence, check_alpha, decide
from mdmf_core.images import degrade, reader
from mdmf_core.method import calibration, mmd
from mdmf_core.method import reference as references
from mdmf_core.method.patches import cut
from mdmf_core.method.state import detail_of

CONTRACT = {
    *("path", "sha256", "width", "height", "score", "statistic", "mmd2", "p_value", "decision", "alpha"),
    *("n_calibration", "detail", "model", "n_patches", "patches"),
}
PATCH = {"x", "y", "w", "h", "evidence", "witness", "p_value", "flagged"}


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> dict[str, Detector]:
    """Detectors with the other statistic and the other kernel."""
    root = tmp_path_factory.mktemp("others")
    made = {
        "mmd": make_checkpoint(root / "mmd", statistic="mmd", images=12),
        "deep": make_checkpoint(root / "deep", deep=True, images=12),
    }
    return {name: Detector.from_pretrained(folder) for name, folder in made.items()}


def check_contract(text: str, evidence: Evidence) -> None:
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert CONTRACT <= found.keys()
    assert found["n_patches"] == len(found["patches"]) == evidence.grid.rows * evidence.grid.cols
    assert all(patch.keys() == PATCH for patch in found["patches"])
    total = math.fsum(patch["evidence"] for patch in found["patches"])
    assert abs(total - found["score"]) <= 1e-10 * max(1, abs(found["score"]))
    for patch in found["patches"]:
        assert 0 <= patch["x"] and patch["x"] + patch["w"] <= found["width"] and isinstance(patch["x"], int)
        assert 0 <= patch["y"] and patch["y"] + patch["h"] <= found["height"] and isinstance(patch["flagged"], bool)
        assert 0 < patch["p_value"] <= 1
    assert found["decision"] == decide(found["p_value"], found["alpha"])
    assert found["statistic"] in ("mmd", "relative") and 1 / (found["n_calibration"] + 1) <= found["p_value"] <= 1


@pytest.mark.parametrize("name", ["relative", "mmd", "deep"])
@pytest.mark.parametrize("size", [(96, 128), (64, 64), (333, 517), (64, 900)])
def test_the_json_contract(detector, others, name, size):
    evidence = others.get(name, detector).detect(picture(7, *size))
    check_contract(json.dumps(evidence.to_dict()), evidence)
    assert evidence.verdict.statistic == ("mmd" if name == "mmd" else "relative")
    assert evidence.verdict.score == (evidence.verdict.mmd2 if name == "mmd" else evidence.verdict.relative)
    assert (evidence.picture.width, evidence.picture.height) == size[::-1]


def test_a_file_s_facts(detector, photo):
    evidence = detector.detect(photo)
    assert evidence.picture.sha256 == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert (evidence.picture.name, evidence.to_dict()["path"], evidence.to_dict(path="a/b.png")["path"]) == (
        ("photo.png", "photo.png", "a/b.png")
    )
    assert (evidence.model.name, evidence.model.revision, evidence.model.backbone) == ("checkpoint", "local", "compact")
    assert evidence.model.fingerprint == detector.fingerprint
    with pytest.raises(FrozenInstanceError):
        evidence.verdict.score = 0.0


@pytest.mark.parametrize("name", ["relative", "mmd", "deep"])
def test_scores_are_those_of_the_formulas(detector, others, photo, name):
    made = others.get(name, detector)
    evidence = made.detect(photo)
    patches, grid = cut(reader.read(photo, 64).pixels, made.model.geometry)
    points = made.model.points(made.model.backbone.embed(patches))
    reference, kernel = made.reference, made.model.kernel
    assert evidence.verdict.mmd2 == pytest.approx(float(mmd.mmd2_unbiased(points, reference.real, kernel)), abs=1e-12)
    relative = float(mmd.relative_mmd2(points, reference.real, reference.generated, kernel))
    assert evidence.verdict.relative == pytest.approx(relative, abs=1e-12)
    if name == "mmd":
        assert np.allclose(evidence.maps["witness"].values, mmd.witness(points, reference.real, kernel), atol=1e-12)
    else:
        wanted = mmd.relative_witness(points, reference.real, reference.generated, kernel)
        assert np.allclose(evidence.maps["witness"].values, wanted, atol=1e-12)
    assert np.array_equal(evidence.grid.boxes, grid.boxes) and np.array_equal(evidence.grid.cells, grid.cells)


def test_patch_p_values_and_flags(detector):
    evidence = detector.detect(picture(11, 256, 320))
    null = detector.reference.patch_nulls["relative"]
    scaled = evidence.n_patches * evidence.verdict.shares
    found = evidence.maps["evidence"]
    assert np.array_equal(found.values, scaled) and np.array_equal(found.null, null)
    assert found.p_values.tolist() == [(1 + (null >= c).sum()) / (len(null) + 1) for c in scaled]
    ordered = np.sort(found.p_values)
    passing = ordered <= calibration.FALSE_DISCOVERIES * np.arange(1, len(ordered) + 1) / len(ordered)
    limit = ordered[passing].max() if passing.any() else -1
    assert np.array_equal(found.outlined, found.p_values <= limit) and calibration.FALSE_DISCOVERIES == 0.1
    low, high = found.scale
    assert null[0] <= low < high <= null[-1]


def test_the_same_file_gives_the_same_answer_to_the_last_digit(checkpoint, detector, photo, tmp_path):
    again = Detector.from_pretrained(checkpoint)
    jpeg = tmp_path / "photo.jpg"
    Image.fromarray(picture(5, 300, 400)).save(jpeg, quality=85)
    for path in (photo, jpeg):
        texts = {json.dumps(made.detect(path).to_dict()) for made in (detector, detector, again)}
        assert len(texts) == 1
    detector.detect(picture(1, 200, 200))
    assert json.dumps(detector.detect(jpeg).to_dict()) in texts, "no state is kept between pictures"


def test_every_kind_of_source_gives_the_same_score(detector, photo):
    image = Image.open(photo)
    sources = [photo, str(photo), photo.read_bytes(), image, np.asarray(image), reader.read(photo, 64)]
    assert len({detector.detect(source).verdict.score for source in sources}) == 1


def test_a_copy_elsewhere_gives_the_same_answer_under_its_own_name(checkpoint, detector, photo, tmp_path):
    copy = Detector.from_pretrained(shutil.copytree(checkpoint, tmp_path / "renamed"))
    assert copy.fingerprint == detector.fingerprint
    first, second = copy.detect(photo), detector.detect(photo)
    assert first.verdict.score == second.verdict.score and first.model.name == "renamed"


def test_a_region_is_analysed_alone_and_densely(detector):
    pixels = picture(3, 400, 500)
    region = (120, 80, 100, 90)
    evidence = detector.detect(pixels, region=region)
    check_contract(json.dumps(evidence.to_dict()), evidence)
    x, y, w, h = region
    for rects in (evidence.grid.boxes, evidence.grid.cells):
        assert (rects[:, 0] >= x).all() and (rects[:, 0] + rects[:, 2] <= x + w).all()
        assert (rects[:, 1] >= y).all() and (rects[:, 1] + rects[:, 3] <= y + h).all()
    assert (evidence.picture.width, evidence.picture.height) == (500, 400)
    assert evidence.n_patches > (w // 32) * (h // 32)
    changed = pixels.copy()
    changed[:80], changed[170:], changed[:, :120], changed[:, 220:] = 0, 0, 0, 0
    assert detector.detect(changed, region=region).verdict.score == evidence.verdict.score
    assert detector.detect(pixels).verdict.score != evidence.verdict.score


@pytest.mark.parametrize("region", [(0, 0, 40, 40), (490, 0, 200, 200), (0, 0, -9, 99), (900, 900, 90, 90)])
def test_a_region_that_is_too_small_is_one_sentence(detector, region):
    with pytest.raises(ValueError, match="The region is .* pixels; at least 64 x 64 are needed"):
        detector.detect(picture(3, 400, 500), region=region)


def test_overlapping_patches_are_not_compared_with_larger_blocks(detector):
    """A 2 x 2 region holds four patches' worth of pixels, however many overlapping ones are cut from it."""
    evidence = detector.detect(picture(3, 400, 500), region=(0, 0, 80, 80))
    assert evidence.n_patches > 9
    assert evidence.verdict.null is detector.reference.nulls["relative"][2]


def test_pictures_are_compared_with_blocks_that_fit(detector):
    nulls = detector.reference.nulls["relative"]
    assert sorted(nulls) == [2, 3]
    for size, k in (((64, 64), 2), ((64, 96), 2), ((64, 128), 2), ((96, 96), 3), ((96, 128), 3), ((900, 900), 3)):
        evidence = detector.detect(picture(4, *size))
        assert evidence.verdict.null is nulls[k] and evidence.verdict.n_calibration == len(nulls[k]), size
        verdict = evidence.verdict
        assert verdict.p_value == (1 + (verdict.null.scores >= verdict.score).sum()) / (verdict.n_calibration + 1)


def test_pictures_are_compared_with_others_of_their_detail(others):
    made = others["mmd"]
    usual = made.reference.calibration()
    soft = calibration.Calibration({"mmd": {2: calibration.Null.of(np.array([-9.0, 9.0]))}}, {"mmd": np.array([9.0])})
    reference = replace(made.reference, details={"soft": soft})
    graded = Detector(made.model, reference, made.located, "cpu")
    sharp, noise = picture(4, 96, 160), np.random.default_rng(0).normal(0, 30, (96, 160, 3))
    blurred = degrade.blur(sharp, 2)
    noisy = np.clip(sharp + noise, 0, 255).astype(np.uint8)
    assert [detail_of(pixels) for pixels in (sharp, blurred, noisy)] == ["usual", "soft", "noisy"]
    found = graded.detect(blurred)
    verdict, shown = found.verdict, found.maps["evidence"]
    assert verdict.detail == found.to_dict()["detail"] == "soft" and verdict.n_calibration == 2
    assert verdict.null.scores.tolist() == [-9, 9] and verdict.p_value == pytest.approx(2 / 3)
    assert shown.null.tolist() == [9] and (shown.p_values == 1).all()
    assert shown.scale == made.reference.scale("mmd"), "one scale of colours for all"
    assert graded.detect(np.hstack([sharp, blurred]), region=(160, 0, 160, 96)).verdict.detail == "soft"
    assert graded.detect(np.hstack([sharp, blurred]), region=(0, 0, 160, 96)).verdict.detail == "usual"
    for pixels, detector in ((sharp, graded), (noisy, graded), (blurred, made)):
        found = detector.detect(pixels).verdict
        assert found.detail == "usual" and found.n_calibration == len(usual.nulls["mmd"][3])


@pytest.mark.parametrize("kind", ["mmd", "deep"])
def test_a_checkpoint_that_is_overwritten_changes_nothing(others, tmp_path, kind):
    """Its tensors must not be views of the mapped files."""
    folder = shutil.copytree(others[kind].located.folder, tmp_path / "copy")
    loaded = Detector.from_pretrained(folder)
    before = loaded.detect(picture(5))
    for path in folder.iterdir():
        with path.open("r+b") as file:
            file.write(b"\x7f" * path.stat().st_size)
    after = loaded.detect(picture(5))
    np.testing.assert_equal(asdict(after.verdict), asdict(before.verdict))


def test_threshold_and_decision_agree(detector):
    for seed in range(12):
        for alpha in (0.12, 0.2):
            verdict = detector.detect(picture(200 + seed), alpha).verdict
            assert (verdict.score > verdict.threshold) == (verdict.decision == "generated")
            assert verdict.threshold == verdict.null.threshold(alpha) and verdict.alpha == alpha
    verdict = detector.detect(picture(1), 0.05).verdict
    assert verdict.threshold == math.inf, "eight calibration pictures never reach 0.05"


@pytest.mark.parametrize(
    ("p", "alpha", "wanted"),
    [
        (0.05, 0.05, "generated"),
        (math.nextafter(0.05, 1), 0.05, "inconclusive"),
        (10 / 200, 0.05, "generated"),
        (0.2, 0.05, "inconclusive"),
        (math.nextafter(0.2, 1), 0.05, "no_evidence"),
        (0.2, 0.2, "generated"),
        (1.0, 0.2, "no_evidence"),
        (0.01, 0.009, "inconclusive"),
    ],
)
def test_decisions_at_the_borders(p, alpha, wanted):
    assert decide(p, alpha) == wanted


@pytest.mark.parametrize("alpha", [0, -0.05, 0.2000001, 1, math.nan, math.inf])
def test_alpha_out_of_range_is_one_sentence(detector, photo, alpha):
    with pytest.raises(ValueError, match="The false-alarm rate must be above 0 and at most 0.2, not "):
        detector.detect(photo, alpha)
    assert check_alpha(0.2) == 0.2 and check_alpha(1e-9) == 1e-9


def test_what_is_no_picture_is_one_sentence_without_its_folder(detector, photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(photo.read_bytes()[:300])
    note = tmp_path / "note.txt"
    note.write_text("hello")
    for source in (bad, str(note), tmp_path / "gone.jpg", tmp_path, np.zeros((10, 10, 3), np.uint8), None):
        with pytest.raises(ImageError) as found:
            detector.detect(source)
        sentence = str(found.value)
        assert sentence.endswith(".") and "\n" not in sentence and str(tmp_path) not in sentence


def test_a_picture_that_was_read_for_smaller_patches_is_too_small(detector):
    with pytest.raises(ImageError, match="at least 64 x 64"):
        detector.detect(reader.read(picture(1, 40, 50), min_side=8))


def test_a_checkpoint_without_generated_patches_has_no_relative_mmd(others, tmp_path, photo):
    made = others["mmd"]
    folder = Path(shutil.copytree(made.located.folder, tmp_path / "real-only"))
    only = references.Reference(
        made.reference.real,
        None,
        {"mmd": made.reference.nulls["mmd"]},
        {"mmd": made.reference.patch_nulls["mmd"]},
        {},
    )
    references.save(only, folder / "reference.safetensors")
    verdict = Detector.from_pretrained(folder).detect(photo).verdict
    assert verdict.relative is None and verdict.score == verdict.mmd2 == made.detect(photo).verdict.mmd2
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"statistic": "relative"}))
    with pytest.raises(CheckpointError, match="generated.z is missing"):
        Detector.from_pretrained(folder)


def test_the_setting_names_the_model(checkpoint, monkeypatch, photo):
    monkeypatch.setenv("MDMF_MODEL", str(checkpoint))
    assert Detector.from_pretrained().detect(photo).model.name == "checkpoint"
