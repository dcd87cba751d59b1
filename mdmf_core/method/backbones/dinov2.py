"""DINOv2 through timm: the paper's backbone. `(N, 3, W, W) uint8 -> (N, D) float32`, patch by patch.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023); Darcet et al.,
"Vision Transformers Need Registers" (2024). Weights: `timm/vit_{small,base,large,giant}_patch14_dinov2.lvd142m`
(Apache-2.0) from the Hub, at the revision that the checkpoint names, or a local file in timm's layout or in that of
the original `dinov2_vitl14_pretrain.pth`. A patch is enlarged to `crop_size` and embedded on its own, so that it
never sees its neighbours.

Position embeddings were learned for 37 x 37 cells of 14 pixels, a picture of 518. For any other crop they are resized,
bicubically and always in float32, by the one function `DINOv2.positions`, in training and inference alike. The
checkpoint's config says how:

    "timm"      antialiased, to exactly the crop's cells
    "original"  as facebookresearch/dinov2 does: not antialiased and with its offset, a scale of (cells + 0.1) / 37;
                with registers that code antialiases without an offset, the same as "timm"

Both are equal at 518 pixels. Embeddings of one are not embeddings of the other anywhere else.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdmf_core.method.weights import load_strictly

SIZES = {"small": 384, "base": 768, "large": 1024, "giant": 1536}
PATCH, GRID = 14, 37
OFFSET = 0.1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOKENS_AT_ONCE = 2**15  # bounds the device's memory whatever the picture's size


def _timm_name(size: str, registers: int) -> str:
    return f"vit_{size}_patch14_{f'reg{registers}_' if registers else ''}dinov2"


def hub_name(size: str, registers: int = 0) -> str:
    """The Hub repository of the published weights of one size."""
    return f"timm/{_timm_name(size, registers)}.lvd142m"


def timm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in timm's layout; those that have it already, without a mask token, are returned as they are.

    The original layout differs in five ways: it keeps the mask token of its training, it may number blocks within
    chunks (`blocks.0.5.`), it names the two layers of a gated MLP otherwise, it calls registers `register_tokens`, and
    where it has them it gives the class token a position, which timm adds to the token.
    """
    if "mask_token" not in state:
        return state
    found = {}
    for name, value in state.items():
        name = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)
        found[re.sub(r"\.mlp\.w(12|3)\.", lambda m: f".mlp.fc{'1' if m[1] == '12' else '2'}.", name)] = value
    del found["mask_token"]
    if {"register_tokens", "cls_token", "pos_embed"} <= found.keys():
        found["reg_token"] = found.pop("register_tokens")
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:]
    return found


class DINOv2(nn.Module):
    """The frozen encoder.

    Args:
        size: "small", "base", "large" or "giant" (D = 384, 768, 1024, 1536).
        crop_size: side in pixels that patches are enlarged to, a multiple of 14.
        pooling: "class" for the class token, "mean" for the mean of the patch tokens.
        positions: "timm" or "original", how position embeddings are resized (above).
        registers: 0, or 4 for the published variant with register tokens.

    Raises:
        ValueError: a setting that is none of these.
    """

    name = "dinov2"
    version = "1"

    def __init__(
        self,
        size: str = "large",
        crop_size: int = 98,
        pooling: str = "class",
        positions: str = "timm",
        registers: int = 0,
    ) -> None:
        import timm

        super().__init__()
        if size not in SIZES:
            raise ValueError(f"DINOv2 comes in the sizes {', '.join(SIZES)}, not {size!r}.")
        if pooling not in ("class", "mean"):
            raise ValueError(f"Pooling is 'class' or 'mean', not {pooling!r}.")
        if positions not in ("timm", "original"):
            raise ValueError(f"Positions are resized as 'timm' or 'original' do it, not {positions!r}.")
        if registers not in (0, 4):
            raise ValueError(f"DINOv2 was published with 0 or 4 registers, not {registers!r}.")
        if type(crop_size) is not int or crop_size <= 0 or crop_size % PATCH:
            raise ValueError(f"The crop size must be a multiple of {PATCH}, not {crop_size!r}.")
        self.config = {
            "size": size,
            "crop_size": crop_size,
            "pooling": pooling,
            "positions": positions,
            "registers": registers,
        }
        self.dim, self.crop_size, self.pooling, self.registers = SIZES[size], crop_size, pooling, registers
        self.as_timm = positions == "timm" or registers > 0
        self.model = timm.create_model(
            _timm_name(size, registers), pretrained=False, num_classes=0, dynamic_img_size=True
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def load_weights(self, path: str | Path) -> None:
        """Load `model.safetensors` of timm's repositories or an original `.pth` file, strictly."""
        load_strictly(self.model, path, timm_names)

    def positions(self) -> Tensor:
        """Position embeddings of the crop's cells, (1, cells, D) float32, row by row."""
        cells = self.crop_size // PATCH
        learned = self.model.pos_embed[:, -(GRID**2) :].float()
        if cells == GRID:
            return learned
        square = learned.reshape(1, GRID, GRID, self.dim).permute(0, 3, 1, 2)  # (1, D, 37, 37)
        if self.as_timm:
            resized = F.interpolate(square, (cells, cells), mode="bicubic", antialias=True)
        else:
            resized = F.interpolate(square, scale_factor=(cells + OFFSET) / GRID, mode="bicubic")
        return resized.flatten(2).transpose(1, 2)

    def tokens(self, crops: Tensor) -> Tensor:
        """Normalised output (N, prefix + cells, D) for crops (N, 3, crop, crop) float32, already standardised."""
        model, count = self.model, len(crops)
        cells = model.patch_embed(crops).flatten(1, 2)  # (N, cells, D)
        first = model.cls_token if self.registers else model.cls_token + model.pos_embed[:, :1]
        prefix = [first] + ([model.reg_token] if self.registers else [])
        parts = [token.expand(count, -1, -1) for token in prefix] + [cells + self.positions()]
        return model.norm(model.blocks(model.norm_pre(torch.cat(parts, 1))))

    def forward(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) of patches (N, 3, W, W) uint8 on the model's device."""
        side = self.crop_size
        crops = F.interpolate(patches.float(), (side, side), mode="bicubic", antialias=True).clamp(0, 255)
        tokens = self.tokens((crops / 255 - self.mean) / self.std)
        if self.pooling == "class":
            return tokens[:, 0]
        return tokens[:, 1 + self.registers :].mean(1)

    @torch.inference_mode()
    def embed(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) float32, on the CPU, of patches (N, 3, W, W) uint8."""
        device = self.mean.device
        batch = max(1, TOKENS_AT_ONCE // ((self.crop_size // PATCH) ** 2 + 1 + self.registers))
        half = torch.bfloat16 if device.type != "cuda" or torch.cuda.is_bf16_supported() else torch.float16
        parts = []
        for chunk in patches.split(batch):
            with torch.autocast(device.type, half, enabled=device.type == "cuda"):
                parts.append(self(chunk.to(device)).float().cpu())
        return torch.cat(parts)
