"""A whole checkpoint in miniature, with random weights: for tests of everything but the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mdmf_core.checkpoint import hub, store
from mdmf_core.checkpoint.config import Compact
from mdmf_core.method import backbones, calibration, locator, reference
from mdmf_core.method import mmd as maths
from mdmf_core.method.patches import Geometry, cut
from mdmf_core.method.signature import PFS

HOSTILE = "<img src=x onerror=alert(1)>.png"


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A smooth random picture with some noise, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 6, 8)))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0].permute(1, 2, 0).numpy()
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def several(folder: Path) -> list[str]:
    """Two pictures, a letter, and a picture with a hostile name."""
    names = ["a.png", "b.png", "letter.jpg", HOSTILE]
    for seed, name in enumerate(names):
        if name == "letter.jpg":
            (folder / name).write_text("This is a letter and not a picture.\n" * 20)
        else:
            Image.fromarray(picture(seed + 60)).save(folder / name)
    return [str(folder / name) for name in names]


def make_locator(seed: int = 0) -> locator.Locator:
    """A locator of random weights for the tiny encoder; its null is what patches of some pictures reach."""
    torch.manual_seed(seed)
    net = locator.Locator(16, width=5, hidden=6).eval().requires_grad_(False)
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    encoder = backbones.build("compact", channels=[4, 8])
    found = [net.values(encoder.embed(cut(picture(s), Geometry(32, 24))[0]), 3, 4) for s in range(60, 90)]
    net.null.copy_(torch.quantile(torch.cat(found), torch.linspace(0, 1, locator.NULLS)))
    return net


def make_checkpoint(
    folder: Path, statistic: str = "relative", deep: bool = False, images: int = 24, located: bool = True
) -> Path:
    """Write config, model, reference, locator and card of a detector with 32-pixel patches."""
    torch.manual_seed(0)
    encoder = backbones.build("compact", channels=[4, 8])
    pfs = PFS(encoder.dim, hidden=8, signature=4, deep=deep).eval()
    settings = Compact(channels=[4, 8])
    made = store.Model("tiny", settings, encoder, Geometry(32, 24), pfs, statistic)
    signed = []
    for seed in range(images):
        patches, grid = cut(picture(seed), made.geometry)
        signed.append(calibration.Signed(made.points(encoder.embed(patches)), grid.rows, grid.cols))
    third = images // 3

    def pool(part):
        return maths.Points(
            torch.cat([s.points.z for s in part]), torch.cat([s.points.e for s in part]) if deep else None
        )

    real, generated = (maths.bank(pool(part), made.kernel) for part in (signed[:third], signed[third : 2 * third]))
    nulls, patch_nulls = calibration.calibrate(signed[2 * third :], real, generated, made.kernel)
    folder.mkdir(parents=True, exist_ok=True)
    store.save(made, folder)
    reference.save(reference.Reference(real, generated, nulls, patch_nulls, {}), folder / "reference.safetensors")
    if located:
        locator.save(make_locator(), folder / hub.LOCATOR)
    (folder / "README.md").write_text(f"# tiny\n\nRandom weights, for tests. Fingerprint {hub.fingerprint(folder)}.\n")
    return folder
