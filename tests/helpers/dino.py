"""Random DINOv2 weights in every layout that they are published in: for tests of all but the figures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import hub
import hub_answers
import torch
from safetensors.torch import save_file
from torch import Tensor

from mdmf_core.method.backbones import dinov2

WIDTH, DEPTH = 384, 12  # ViT-S


def original_state(depth: int = DEPTH, registers: int = 0, seed: int = 0) -> dict[str, Tensor]:
    """A ViT-S as facebookresearch/dinov2 saves it. Every part matters: layer scales are near 1, not near 0."""
    generator = torch.Generator().manual_seed(seed)

    def near(centre: float, *shape: int, spread: float = 0.05) -> Tensor:
        return centre + spread * torch.randn(*shape, generator=generator)

    state = {
        "cls_token": near(0, 1, 1, WIDTH, spread=1),
        "pos_embed": near(0, 1, 1 + dinov2.GRID**2, WIDTH, spread=0.5),
        **({"register_tokens": near(0, 1, registers, WIDTH, spread=1)} if registers else {}),
        "mask_token": near(0, 1, WIDTH),
        "patch_embed.proj.weight": near(0, WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": near(0, WIDTH),
    }
    for i in range(depth):
        for name, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            state[f"blocks.{i}.{name}.weight"] = near(0, rows, columns)
            state[f"blocks.{i}.{name}.bias"] = near(0, rows)
        for name in ("norm1", "norm2"):
            state[f"blocks.{i}.{name}.weight"] = near(1, WIDTH)
            state[f"blocks.{i}.{name}.bias"] = near(0, WIDTH)
        for name in ("ls1", "ls2"):
            state[f"blocks.{i}.{name}.gamma"] = near(1, WIDTH)
    return state | {"norm.weight": near(1, WIDTH), "norm.bias": near(0, WIDTH)}


def chunked(state: dict[str, Tensor], size: int = 4) -> dict[str, Tensor]:
    """The same with blocks numbered within chunks, as the original code's larger models are saved."""

    def rename(name: str) -> str:
        first, *rest = name.split(".")
        return ".".join([first, str(int(rest[0]) // size), *rest]) if first == "blocks" else name

    return {rename(name): value for name, value in state.items()}


def hub_folder(folder: Path, state: dict[str, Tensor] | None = None) -> Path:
    """The files of `timm/vit_small_patch14_dinov2.lvd142m` that a checkpoint needs, with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dinov2.timm_names(state or original_state()), folder / "model.safetensors")
    (folder / "config.json").write_text('{"architecture": "vit_small_patch14_dinov2", "num_classes": 0}\n')
    return folder


def publish(monkeypatch, server: hub.StandIn, name: str, folder: Path) -> str:
    """Publish large files at the stand-in, hashed once and now: no client waits for that. Returns the commit."""
    for function in ("git_hash", "sha256"):
        monkeypatch.setattr(hub_answers, function, cache(getattr(hub_answers, function)))
    commit = server.publish(name, folder)
    for data in server.repositories[name].commits[commit].values():
        hub_answers.git_hash(data), hub_answers.sha256(data)
    return commit


def transformers_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The original layout under the names of Hugging Face's Dinov2Model."""
    found = {}
    for name, value in state.items():
        if ".attn.qkv." in name:
            for part, third in zip("qkv", value.chunk(3), strict=True):
                found[name.replace("attn.qkv", f"attention.{part}_proj").replace("blocks", "encoder.layer")] = third
            continue
        for ours, theirs in (
            ("blocks", "encoder.layer"),
            ("attn.proj", "attention.o_proj"),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("pos_embed", "embeddings.position_embeddings"),
        ):
            name = name.replace(ours, theirs)
        if name.endswith("_token") or name.endswith("_tokens"):
            name = f"embeddings.{name}"
        found["layernorm" + name[4:] if name.startswith("norm.") else name] = value
    return found
