"""DINOv2 through timm: the paper's backbone. `(N, 3, W, W) uint8 -> (N, D) float32`, patch by patch.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023); weights
`timm/vit_{small,base,large,giant}_patch14_dinov2.lvd142m` (Apache-2.0) from the Hub, at the revision that
the checkpoint names, or from a local folder. A patch is enlarged to `crop_size` and embedded on its own,
so that it never sees its neighbours. Position embeddings are resized by timm's antialiased bicubic
interpolation, in training and inference alike.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdmf_core.backbones.weights import load_strictly

SIZES = {"small": 384, "base": 768, "large": 1024, "giant": 1536}
PATCH = 14
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOKENS_AT_ONCE = 2**15  # bounds the device's memory whatever the picture's size


def hub_name(size: str) -> str:
    """The Hub repository of the published weights of one size."""
    return f"timm/vit_{size}_patch14_dinov2.lvd142m"


class DINOv2(nn.Module):
    """The frozen encoder.

    Args:
        size: "small", "base", "large" or "giant" (D = 384, 768, 1024, 1536).
        crop_size: side in pixels that patches are enlarged to, a multiple of 14.
        pooling: "class" for the class token, "mean" for the mean of the patch tokens.

    Raises:
        ValueError: unknown size or pooling, or a crop that is no multiple of 14.
    """

    name = "dinov2"
    version = "1"

    def __init__(self, size: str = "large", crop_size: int = 98, pooling: str = "class") -> None:
        import timm

        super().__init__()
        if size not in SIZES:
            raise ValueError(f"DINOv2 comes in the sizes {', '.join(SIZES)}, not {size!r}.")
        if pooling not in ("class", "mean"):
            raise ValueError(f"Pooling is 'class' or 'mean', not {pooling!r}.")
        if crop_size <= 0 or crop_size % PATCH:
            raise ValueError(f"The crop size must be a multiple of {PATCH}, not {crop_size}.")
        self.config = {"size": size, "crop_size": crop_size, "pooling": pooling}
        self.dim = SIZES[size]
        self.model = timm.create_model(
            f"vit_{size}_patch14_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def load_weights(self, path: str | Path) -> None:
        """Load timm's `model.safetensors`, strictly (`weights.load_strictly`)."""
        load_strictly(self.model, path)

    def forward(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) of patches (N, 3, W, W) uint8 on the model's device."""
        side = self.config["crop_size"]
        crops = F.interpolate(patches.float(), (side, side), mode="bicubic", antialias=True).clamp(0, 255)
        tokens = self.model.forward_features((crops / 255 - self.mean) / self.std)  # (N, 1 + tokens, D)
        if self.config["pooling"] == "class":
            return tokens[:, 0]
        return tokens[:, self.model.num_prefix_tokens :].mean(1)

    @torch.inference_mode()
    def embed(self, patches: Tensor) -> Tensor:
        """Embeddings (N, D) float32, on the CPU, of patches (N, 3, W, W) uint8."""
        device = self.mean.device
        batch = max(1, TOKENS_AT_ONCE // ((self.config["crop_size"] // PATCH) ** 2 + 1))
        half = torch.bfloat16 if device.type != "cuda" or torch.cuda.is_bf16_supported() else torch.float16
        parts = []
        for chunk in patches.split(batch):
            with torch.autocast(device.type, half, enabled=device.type == "cuda"):
                parts.append(self(chunk.to(device)).float().cpu())
        return torch.cat(parts)
