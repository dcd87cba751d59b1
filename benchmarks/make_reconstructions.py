"""Training pairs: the recipe's real training pictures, put through autoencoders that are trained here on them.

    python benchmarks/make_reconstructions.py benchmarks/configs/fold2.json runs/rebuilt2

Why: latent diffusion, VQ and multimodal generators end in a decoder that upsamples; a reconstruction has the traces of
such a decoder and shows what the photograph shows, so nothing about the subject tells the two apart (as in "Aligned
Datasets Improve Detection of Latent Diffusion-Generated Images", ICLR 2025; B-Free, CVPR 2025). One encoder (to a
quarter of the width and height), three decoders that upsample as generators do (nearest neighbour, transposed
convolution, pixel shuffle), L1 and an adversarial loss. A JPEG's reconstruction is stored with that JPEG's own
tables, so that the container tells nothing either. Training data: the pictures stay out of the repository.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mdmf_core.dataset import Entry, scan, split  # noqa: E402
from mdmf_core.files import write_whole  # noqa: E402
from mdmf_core.images import read  # noqa: E402
from mdmf_core.pretrain import random_patches  # noqa: E402

LATENT, SIDE, BATCH = 12, 64, 12
UPSAMPLERS = ("nearest", "transposed", "shuffle")


def upsampler(kind: str, inputs: int, outputs: int) -> nn.Module:
    """Twice the height and width, as generators do it."""
    if kind == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1))
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.PixelShuffle(2))


class Residual(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(4, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps)


class Encoder(nn.Module):
    """(B, 3, H, W) in -1..1 -> (B, LATENT, H / 4, W / 4): the picture four times smaller, and learned channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.SiLU(), nn.Conv2d(24, 48, 4, 2, 1), Residual(48),
            nn.Conv2d(48, 96, 4, 2, 1), Residual(96), nn.Conv2d(96, LATENT - 3, 3, padding=1), nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([F.avg_pool2d(image, 4), self.layers(image)], dim=1)


def make_decoder(kind: str) -> nn.Module:
    """(B, LATENT, H / 4, W / 4) -> (B, 3, H, W) in about -1..1."""
    return nn.Sequential(
        nn.Conv2d(LATENT, 96, 3, padding=1), Residual(96), Residual(96), upsampler(kind, 96, 48), Residual(48),
        upsampler(kind, 48, 24), nn.SiLU(), nn.Conv2d(24, 24, 3, padding=1), nn.SiLU(), nn.Conv2d(24, 3, 3, padding=1),
    )


def make_critic() -> nn.Module:
    """Real or rebuilt, for places of 16 x 16 pixels or so."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.GroupNorm(4, 64),
        nn.LeakyReLU(0.2), nn.Conv2d(64, 1, 3, padding=1),
    )


def train(pictures: list[np.ndarray], steps: int, seed: int) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Encoder and decoders; the critic joins after a third of the steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder, decoders, critic = Encoder(), nn.ModuleDict({k: make_decoder(k) for k in UPSAMPLERS}), make_critic()
    maker = torch.optim.Adam([*encoder.parameters(), *decoders.parameters()], 1.5e-3, (0.5, 0.99))
    judge = torch.optim.Adam(critic.parameters(), 5e-4, (0.5, 0.99))
    plan = torch.optim.lr_scheduler.OneCycleLR(maker, 2e-3, steps, pct_start=0.1)
    bar = tqdm(range(steps), desc="autoencoders")
    for step in bar:
        chosen = rng.integers(len(pictures), size=BATCH)
        stack = np.concatenate([random_patches(pictures[index], 1, SIDE, rng) for index in chosen])
        real = torch.from_numpy(np.ascontiguousarray(stack)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16):
            latent = encoder(real)
            latent = latent + 0.03 * torch.randn_like(latent)
            rebuilt = torch.cat([decoder(latent) for decoder in decoders.values()])
        rebuilt = rebuilt.float()
        thrice = real.repeat(len(decoders), 1, 1, 1)
        loss = F.l1_loss(rebuilt, thrice) + 2 * F.l1_loss(rebuilt.diff(dim=3), thrice.diff(dim=3))
        adversarial = step > steps // 3
        if adversarial:
            loss = loss - 0.01 * critic(rebuilt).mean()
        maker.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*encoder.parameters(), *decoders.parameters()], 1.0)
        maker.step()
        plan.step()
        if adversarial or step > steps // 6:
            judge.zero_grad()
            hinge = F.relu(1 - critic(real)).mean() + F.relu(1 + critic(rebuilt.detach())).mean()
            hinge.backward()
            judge.step()
        if step % 20 == 0:
            bar.set_postfix(error=f"{127.5 * F.l1_loss(rebuilt, thrice).item():.2f} grey levels")
    return encoder.eval(), {kind: decoder.eval() for kind, decoder in decoders.items()}


@torch.no_grad()
def rebuild(pixels: np.ndarray, encoder: nn.Module, decoder: nn.Module) -> np.ndarray:
    """(H, W, 3) uint8 through the autoencoder, the same size."""
    height, width = pixels.shape[:2]
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1
    image = F.pad(image, (0, -width % 4, 0, -height % 4), mode="replicate")
    rebuilt = decoder(encoder(image))[0, :, :height, :width]
    return ((rebuilt + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def encoded(pixels: np.ndarray, like: Path) -> tuple[bytes, str]:
    """A file of the pixels and its suffix: JPEG with the tables of `like` where that is one, else PNG."""
    buffer = io.BytesIO()
    with Image.open(like) as original:
        if original.format in ("JPEG", "MPO"):
            subsampling = {(1, 1): 0, (2, 1): 1, (2, 2): 2}.get(original.layer[0][1:3], 2)
            tables = original.quantization
            Image.fromarray(pixels).save(buffer, format="JPEG", qtables=tables, subsampling=subsampling)
            return buffer.getvalue(), ".jpg"
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue(), ".png"


def save(entry: Entry, kind: str, pixels: np.ndarray, out: Path) -> None:
    """Write under a name from which `pretrain` finds the photograph."""
    content, suffix = encoded(pixels, entry.path)
    path = out / "fake" / f"rebuilt_{kind}" / f"{entry.source}__{entry.path.stem}{suffix}"
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recipe = json.loads(arguments.recipe.read_text("utf-8"))
    root = recipe["data"] if isinstance(recipe["data"], str) else recipe["data"][0]
    entries = [entry for entry in split(scan(root), **recipe["split"]).train if entry.label == 0]
    pictures = [read(entry.path).pixels for entry in entries]
    encoder, decoders = train(pictures, arguments.steps, arguments.seed)
    for entry, pixels in tqdm(zip(entries, pictures, strict=True), total=len(entries), desc="pictures"):
        for kind, decoder in decoders.items():
            save(entry, kind, rebuild(pixels, encoder, decoder), arguments.out)


if __name__ == "__main__":
    main()
