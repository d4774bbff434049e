"""Stage 1's model: the image tower of the bundled model with heads that make it see, and the loss that teaches it.

Every image token, after pixel shuffle, must tell the whole film's findings: presence, severity of each side, extent of
disease. Tokens that already know this let a small language model read them with little training. Change between two films is the
difference of what was read from each, compared with a learned dead zone; so prior and current exchanged invert the answer by
construction, and identical films are stable. Heads are used in training alone and are not shipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Idefics3VisionConfig
from transformers.models.idefics3.modeling_idefics3 import Idefics3VisionTransformer

from finetune.layout import MEAN, STD, VisionShape
from inference.prompts import FINDINGS

SIDES = 2
EXTENT_SCALE = 2.0
"""Extents of disease are divided by this, so that targets are of the order of 1."""


@dataclass(frozen=True)
class Targets:
    """What is true of B pairs of films; index 0 of the second axis is the prior.

    `present` (B, 2, F) float 0/1 and `known` (B, 2, F) whether presence may be judged; `sided` (B, 2, F, 2) severity of the
    right and the left; `extent` (B, 2); `usable` (B, 2) whether severities are complete; `change` (B, F + 1) -1 improved,
    0 stable, 1 worse, 9 not to be judged, the last column being the extent as a whole.
    """

    present: Tensor
    known: Tensor
    sided: Tensor
    extent: Tensor
    usable: Tensor
    change: Tensor


@dataclass(frozen=True)
class Reading:
    """What the heads read from N films: `present` (N, T, F) logits, `sided` (N, T, F, 2), `extent` (N, T), for T tokens."""

    present: Tensor
    sided: Tensor
    extent: Tensor

    def severity(self) -> Tensor:
        """(N, F + 1): severity of each finding, sides summed, and the extent, averaged over tokens."""
        return torch.cat((self.sided.sum(-1).mean(1), self.extent.mean(1)[:, None]), dim=1)


def tower(shape: VisionShape) -> Any:
    """The image tower as transformers builds it, with weights of `initialise`."""
    config = Idefics3VisionConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        image_size=shape.tile,
        patch_size=shape.patch,
        layer_norm_eps=shape.layer_norm_eps,
    )
    config._attn_implementation = "sdpa"
    model = Idefics3VisionTransformer(config)
    initialise(model, shape)
    return model


def cosines(size: int, count: int) -> Tensor:
    """The `count` smoothest two-dimensional cosine patterns of a size x size patch, (count, size, size), unit norm.

    They whiten a film's patches roughly: broad brightness, the strongest part, enters weakest.
    """
    places = (torch.arange(size) + 0.5) / size
    waves = torch.stack([torch.cos(math.pi * k * places) for k in range(size)])
    orders = sorted((row**2 + column**2, row, column) for row in range(size) for column in range(size))[:count]
    patterns = torch.stack([torch.outer(waves[row], waves[column]) for _, row, column in orders])
    result: Tensor = patterns / patterns.flatten(1).norm(dim=1)[:, None, None]
    return result


def positions(grid: int, width: int) -> Tensor:
    """Sine and cosine of row and column, (grid * grid, width), amplitude 0.5."""
    rates = torch.exp(-math.log(40.0) * torch.arange(width // 4) / (width // 4)) * math.pi
    angles = torch.arange(grid)[:, None] / 2 * rates[None, :]
    wave = torch.cat((angles.sin(), angles.cos()), dim=1)
    both = torch.cat((wave[:, None, :].expand(grid, grid, -1), wave[None, :, :].expand(grid, grid, -1)), dim=2)
    result: Tensor = 0.5 * both.reshape(grid * grid, width)
    return result


@torch.no_grad()
def initialise(model: Any, shape: VisionShape) -> None:
    """Weights before training: cosine patterns read the patch, positions are sinusoids, matrices are small and random."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            nn.init.trunc_normal_(parameter, std=0.7 / math.sqrt(parameter.shape[1]))
            if "out_proj" in name or "fc2" in name:
                parameter.mul_(1 / math.sqrt(shape.layers))
        elif "norm" not in name and parameter.ndim == 1:
            parameter.zero_()
    patterns = cosines(shape.patch, min(shape.hidden, shape.patch**2))
    gain = torch.linspace(0.15, 1.5, len(patterns))[:, None, None] * patterns
    weight = model.embeddings.patch_embedding.weight
    nn.init.normal_(weight, std=0.01)
    weight[: len(gain)] = gain[:, None].expand(-1, 3, -1, -1) / 3
    model.embeddings.position_embedding.weight.copy_(positions(shape.grid, shape.hidden))


def normalised(films: Tensor) -> Tensor:
    """(N, H, W) uint8 -> (N, 3, H, W) float32 as the image processor scales it, -1..1."""
    return ((films.float() / 255 - MEAN) / STD)[:, None].expand(-1, 3, -1, -1)


class Sight(nn.Module):
    """Tower and heads."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.shape = shape
        self.tower = tower(shape)
        width = shape.hidden * shape.shuffle**2
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(FINDINGS) * (1 + SIDES) + 1)
        self.dead_zone = nn.Parameter(torch.full((len(FINDINGS) + 1,), -2.5))
        self.sharpness = nn.Parameter(torch.full((len(FINDINGS) + 1,), 2.0))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def tokens(self, films: Tensor, coarse: bool = False) -> Tensor:
        """(N, H, W) uint8 -> (N, T, hidden * shuffle**2) tokens after pixel shuffle.

        The same numbers as transformers' tower and pixel shuffle give; only the order of patches inside the tower differs.
        `coarse` reads the mean of each block of patches that pixel shuffle will join, at a quarter of the cost.
        """
        embeddings, side, block = self.tower.embeddings, self.shape.grid // self.shape.shuffle, self.shape.shuffle
        patches = embeddings.patch_embedding(normalised(films)).flatten(2).transpose(1, 2) + embeddings.position_embedding.weight
        count, width = patches.shape[0], patches.shape[2]
        blocks = patches.view(count, side, block, side, block, width).permute(0, 1, 3, 2, 4, 5).reshape(count, side * side, -1, width)
        inside = blocks.mean(2) if coarse else blocks.reshape(count, -1, width)
        read = self.tower.post_layernorm(self.tower.encoder(inputs_embeds=inside).last_hidden_state)
        result: Tensor = read.repeat(1, 1, block**2) if coarse else read.reshape(count, side * side, -1)
        return result

    def read(self, tokens: Tensor) -> Reading:
        """Heads on every token, (N, T, width) -> `Reading`."""
        count = len(FINDINGS)
        out = self.head(self.norm(tokens)).float()
        sided = out[..., count : 3 * count].reshape(*out.shape[:-1], count, SIDES)
        return Reading(out[..., :count], sided, out[..., -1])

    def change(self, severity: Tensor) -> Tensor:
        """(B, 2, F + 1) severities at both ends -> (B, F + 1, 3) log-probabilities of improved, stable, worse."""
        difference = severity[:, 1] - severity[:, 0]
        zone, sharp = functional.softplus(self.dead_zone), functional.softplus(self.sharpness) * 4
        logits = torch.stack(((-difference - zone) * sharp, torch.zeros_like(difference), (difference - zone) * sharp), dim=-1)
        return functional.log_softmax(logits, dim=-1)


def paired(values: Tensor) -> Tensor:
    """(2 * B, ...) -> (B, 2, ...), prior first."""
    return values.reshape(-1, 2, *values.shape[1:])


def loss(model: Sight, films: Tensor, truth: Targets, coarse: bool = False) -> tuple[Tensor, dict[str, float]]:
    """Loss of B pairs, films (B, 2, H, W) uint8, and its parts by name."""
    reading = model.read(model.tokens(films.flatten(0, 1), coarse))
    present = paired(reading.present)
    wanted = truth.present[:, :, None].expand_as(present)
    each = functional.binary_cross_entropy_with_logits(present, wanted, reduction="none").mean(2)
    seen = (each * truth.known).sum() / truth.known.sum().clamp(min=1)
    usable = truth.usable[:, :, None, None]
    sided = ((paired(reading.sided) - truth.sided[:, :, None]) ** 2).mean(2) * usable
    extent = ((paired(reading.extent) - truth.extent[:, :, None]) ** 2 * truth.usable[:, :, None]).mean()
    logp = model.change(paired(reading.severity()))
    judged = truth.change != 9
    picked = logp.gather(2, (truth.change.clamp(max=1) + 1)[..., None])[..., 0]
    weight = judged * torch.tensor([0.4] * len(FINDINGS) + [1.0])
    change = -(picked * weight).sum() / weight.sum().clamp(min=1e-6)
    total = seen + 8 * sided.mean() + extent + change
    parts = {"present": seen, "severity": sided.mean(), "extent": extent, "change": change}
    return total, {name: float(value.detach()) for name, value in parts.items()}
