"""What an image tower makes of images, computed the same way for every family, to train on and to answer from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from errors import ModelNotLoaded
from inference.families import Form

Feature = tuple[Tensor, ...]
"""An image's (tokens, width), and where the family has them the same of each deeper layer."""


def scaled(tiles: Tensor, form: Form) -> Tensor:
    """(n, S, S, 3) uint8 -> (n, 3, S, S) float32 with the family's mean and spread."""
    mean, spread = (torch.tensor(values, device=tiles.device).view(3, 1, 1) for values in form.scale)
    return (tiles.permute(0, 3, 1, 2).float() / 255 - mean) / spread


def patches(images: Tensor, patch: int, merge: int) -> Tensor:
    """(n, 3, S, S) -> (n * patches, 3 * 2 * patch * patch), the patches of a merged token beside each other, each frame twice.

    The layout of Qwen2-VL's image processor.
    """
    count, channels, side, _ = images.shape
    grid = side // patch // merge
    cut = images.view(count, channels, grid, merge, patch, grid, merge, patch).permute(0, 2, 5, 3, 6, 1, 4, 7)
    twice = cut.unsqueeze(6).expand(*cut.shape[:6], 2, *cut.shape[6:])
    return twice.reshape(count * (grid * merge) ** 2, channels * 2 * patch * patch)


def grids(count: int, form: Form) -> Tensor:
    """(count, 3): frames, rows and columns of patches of each image."""
    side = form.tile // form.patch
    return torch.tensor([[1, side, side]]).repeat(count, 1)


@torch.no_grad()
def seen(net: Any, form: Form, tiles: Tensor) -> list[Feature]:
    """What the tower and connector of `net` (the class under any adapter) make of tiles (n, S, S, 3) uint8.

    Raises `ModelNotLoaded` when an image becomes another number of tokens than the prompt has room for.
    """
    found = features(net, form, scaled(tiles.to(next(net.parameters()).device), form))
    return [tuple(layer.detach() for layer in feature) for feature in found]


def features(net: Any, form: Form, values: Tensor) -> list[Feature]:
    """As `seen`, of `scaled` tiles (n, 3, S, S), with gradients where these have any. Raises `ModelNotLoaded`."""
    count = len(values)
    given: dict[str, Any] = {}
    if form.family.feed == "nested":
        values = values[:, None]
    elif form.family.feed == "patches":
        values, given = patches(values, form.patch, form.merge), {"image_grid_thw": grids(count, form).to(values.device)}
    out = net.model.get_image_features(values.to(net.dtype), **given, return_dict=True)
    layers = [list(out.pooler_output), *(list(layer) for layer in getattr(out, "deepstack_features", None) or [])]
    found = [tuple(layer[index] for layer in layers) for index in range(count)]
    if any(len(feature[0]) != form.tokens for feature in found):
        raise ModelNotLoaded(
            f"{form.folder.name}: its tower makes {len(found[0][0])} tokens of an image where its configuration means {form.tokens}; "
            "copy config.json again"
        )
    return found
