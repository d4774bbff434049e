"""Stage 1's model: the image tower of the bundled model with heads that make it see, and the loss that teaches it.

Each patch must tell how much of each finding lies in it, known from where disease was painted; sums of these amounts over a
side, with weights of their own for every place, must tell severity and presence. That is learned fast. Besides, every image token
must tell the whole film's findings and extent, and each finding has its place: two tokens that must tell of it alone, in the same
three directions for all findings, so that a language model finds it by looking there.
Change between two films is the difference of what was read from each, compared with a learned dead zone; so prior and current
exchanged invert the answer by construction, and identical films are stable. Real films labelled diseased must have more extent
than films labelled normal. Heads are used in training alone and are not shipped.
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
from finetune.synthesis.truth import WEIGHTS
from inference.prompts import FINDINGS

SIDES = 2
COARSE = 2
"""Patches a side of a block that a coarse reading takes together."""
SCALES = {"severity": 8.0, "summed": 16.0, "where": 4.0, "amount": 30.0, "ranked": 0.5, "told": 16.0}
"""Weights of the parts of the loss, by name; 1 for the others."""
AGGREGATING = 2
"""Last layers of the tower, which gather what the layers before them have found in place."""
GAIN = 10.0
"""Severity at the start for a finding that fills a side."""
EXTENT_SCALE = 2.0
"""Extents of disease are divided by this, so that targets are of the order of 1."""


@dataclass(frozen=True)
class Targets:
    """What is true of B pairs of films; index 0 of the second axis is the prior.

    `present` (B, 2, F) float 0/1 and `known` (B, 2, F) whether presence may be judged; `sided` (B, 2, F, 2) severity of the
    right and the left; `extent` (B, 2); `usable` (B, 2) whether severities are complete; `change` (B, F + 1) -1 improved,
    0 stable, 1 worse, 9 not to be judged, the last column being the extent as a whole; `maps` (B, 2, F, G, G) uint8 where each
    finding was painted, on the G x G patches.
    """

    present: Tensor
    known: Tensor
    sided: Tensor
    extent: Tensor
    usable: Tensor
    change: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True)
class Reading:
    """What the heads read from N films: `present` (N, T, F) logits, `sided` (N, T, F, 2), `extent` (N, T), for T tokens.

    `amount` (N, P, F) how much of each finding each patch shows, patches in the tower's order; `summed` (N, F, 2) severity of the
    right and the left as weighted sums of it, `summed_present` (N, F, 2) logits. `told` (N, T, 3) what each token tells of the finding
    whose place it is: severity of the right or the left, 0 for the other, and whether it is there at all, a logit.
    """

    present: Tensor
    sided: Tensor
    extent: Tensor
    amount: Tensor
    summed: Tensor
    summed_present: Tensor
    told: Tensor

    def severity(self) -> Tensor:
        """(N, F + 1): severity of each finding, sides summed, and the extent, averaged over tokens."""
        return torch.cat((self.sided.sum(-1).mean(1), self.extent.mean(1)[:, None]), dim=1)

    def summed_severity(self) -> Tensor:
        """(N, F + 1): the same from sums over patches, the extent being the findings' weighted sum."""
        found = self.summed.sum(-1)
        weights = torch.tensor([WEIGHTS.get(name, 1.0) for name in FINDINGS])
        return torch.cat((found, (found * weights).sum(1, keepdim=True) / EXTENT_SCALE), dim=1)


def places(tokens: int) -> Tensor:
    """(T,): of which finding each token tells, in order; neighbours share one, so that each has its place in every image."""
    return torch.arange(tokens) * len(FINDINGS) // max(tokens, len(FINDINGS))


def own_sides(tokens: int) -> Tensor:
    """(T, 2) bool: of which side each token tells: of a finding's tokens the first ones of the right, the others of the left."""
    place = places(tokens)
    within = torch.arange(tokens) - torch.searchsorted(place, place)
    each = torch.bincount(place)[place]
    right, left = 2 * within < each, 2 * within + 2 > each
    return torch.stack((right, left), dim=1)


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
        self.told = nn.Linear(width, SIDES + 1)
        self.where = nn.Linear(shape.hidden, len(FINDINGS))
        self.amount = nn.Linear(shape.hidden, len(FINDINGS))
        self.pool = nn.Parameter(self.halves().repeat(len(FINDINGS), 1) * GAIN / shape.grid**2)
        self.certain = nn.Parameter(torch.tensor([8.0, -2.0]).repeat(len(FINDINGS), 1))
        self.dead_zone = nn.Parameter(torch.full((len(FINDINGS) + 1,), -2.5))
        self.sharpness = nn.Parameter(torch.full((len(FINDINGS) + 1,), 2.0))
        for head in (self.head, self.told, self.where, self.amount):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def halves(self) -> Tensor:
        """(2, P): which patches, in the tower's order, lie on the patient's right and left."""
        side = self.shape.grid
        left = (torch.arange(side) >= side / 2).float().expand(1, side, side)[..., None]
        both = self.ordered(left)[0, :, 0]
        return torch.stack((1 - both, both))

    def tokens(self, films: Tensor, coarse: bool = False) -> Tensor:
        """(N, H, W) uint8 -> (N, T, hidden * shuffle**2) tokens after pixel shuffle.

        The same numbers as transformers' tower and pixel shuffle give; only the order of patches inside the tower differs.
        `coarse` reads the mean of each 2 x 2 patches instead, at a quarter of the cost.
        """
        return self.look(films, coarse)[0]

    def look(self, films: Tensor, coarse: bool = False) -> tuple[Tensor, Tensor]:
        """`tokens` and, from a layer inside the tower, (N, P, F) logits of where each finding shows, patches in the tower's order."""
        embeddings, side, block = self.tower.embeddings, self.shape.grid // self.shape.shuffle, self.shape.shuffle
        patches = embeddings.patch_embedding(normalised(films)).flatten(2).transpose(1, 2) + embeddings.position_embedding.weight
        count, width = patches.shape[0], patches.shape[2]
        read = self.ordered(patches.view(count, side * block, side * block, width), coarse)
        for number, layer in enumerate(self.tower.encoder.layers):
            if number == max(0, len(self.tower.encoder.layers) - AGGREGATING):
                inner = read
            read = layer(read, None)
        where = self.where(functional.layer_norm(inner, (width,)))
        read = self.tower.post_layernorm(read)
        if coarse:
            halves = block // COARSE
            read = read.view(count, side**2, halves, 1, halves, 1, width).expand(-1, -1, -1, COARSE, -1, COARSE, -1)
        return read.reshape(count, side**2, block**2 * width), where

    def ordered(self, grid: Tensor, coarse: bool = False) -> Tensor:
        """(N, G, G, C) by row and column -> (N, P, C) in the tower's order, block by block as pixel shuffle joins them."""
        count, side, block, width = len(grid), self.shape.grid // self.shape.shuffle, self.shape.shuffle, grid.shape[-1]
        blocks = grid.view(count, side, block, side, block, width).permute(0, 1, 3, 2, 4, 5)
        if coarse:
            halves = block // COARSE
            blocks = blocks.reshape(count, side, side, halves, COARSE, halves, COARSE, width).mean((4, 6))
        return blocks.reshape(count, -1, width)

    def coarsened(self, values: Tensor) -> Tensor:
        """(N, P, C) in the tower's order -> (N, P / 4, C) means of 2 x 2 patches, in the order of a coarse reading."""
        halves = self.shape.shuffle // COARSE
        blocks = values.reshape(len(values), -1, halves, COARSE, halves, COARSE, values.shape[-1])
        return blocks.mean((3, 5)).flatten(1, 3)

    def read(self, tokens: Tensor) -> Reading:
        """Heads on every token, (N, T, width) -> `Reading`."""
        count = len(FINDINGS)
        normal = self.norm(tokens)
        out = self.head(normal).float()
        sided = out[..., count : 3 * count].reshape(*out.shape[:-1], count, SIDES)
        amount = self.amount(tokens.reshape(len(tokens), -1, self.shape.hidden)).float()
        summed = (amount.mT[:, :, None] * self.pool.view(count, SIDES, -1)).sum(-1)  # not a matrix product: that would be rounded
        present = summed * self.certain[:, :1] + self.certain[:, 1:]
        return Reading(out[..., :count], sided, out[..., -1], amount, summed, present, self.told(normal).float())

    def change(self, severity: Tensor) -> Tensor:
        """(B, 2, F + 1) severities at both ends -> (B, F + 1, 3) log-probabilities of improved, stable, worse."""
        difference = severity[:, 1] - severity[:, 0]
        zone, sharp = functional.softplus(self.dead_zone), functional.softplus(self.sharpness) * 4
        logits = torch.stack(((-difference - zone) * sharp, torch.zeros_like(difference), (difference - zone) * sharp), dim=-1)
        return functional.log_softmax(logits, dim=-1)


def paired(values: Tensor) -> Tensor:
    """(2 * B, ...) -> (B, 2, ...), prior first."""
    return values.reshape(-1, 2, *values.shape[1:])


def loss(
    model: Sight, films: Tensor, truth: Targets, ranked: Tensor | None = None, coarse: bool = False
) -> tuple[Tensor, dict[str, float]]:
    """Loss of B pairs, films (B, 2, H, W) uint8, and its parts by name.

    `ranked` (K, 2, H, W) are real films of which the second is more diseased than the first by their labels.
    """
    every = films.flatten(0, 1) if ranked is None else torch.cat((films.flatten(0, 1), ranked.flatten(0, 1)))
    tokens, where = model.look(every, coarse)
    reading, both = model.read(tokens), 2 * len(films)
    present = paired(reading.present[:both])
    wanted = truth.present[:, :, None].expand_as(present)
    each = functional.binary_cross_entropy_with_logits(present, wanted, reduction="none").mean(2)
    usable = truth.usable[:, :, None, None]
    there = (truth.sided > 0).float()
    summed = functional.binary_cross_entropy_with_logits(paired(reading.summed_present[:both]), there, reduction="none")
    own, whole = reading.severity(), reading.summed_severity()
    parts = {
        "present": _mean(each, truth.known) + _mean(summed, torch.maximum(there, usable.expand_as(there))),
        "severity": (((paired(reading.sided[:both]) - truth.sided[:, :, None]) ** 2).mean(2) * usable).mean(),
        "summed": (((paired(reading.summed[:both]) - truth.sided) ** 2) * usable).mean(),
        "extent": ((paired(reading.extent[:both]) - truth.extent[:, :, None]) ** 2 * truth.usable[:, :, None]).mean(),
        "told": _told(paired(reading.told[:both]), truth),
        "change": _change(model.change(paired(own[:both])), truth) + 0.5 * _change(model.change(paired(whole[:both])), truth),
    }
    if truth.maps is not None:
        parts["where"], parts["amount"] = _where(model, where[:both].float(), reading.amount[:both], truth, coarse)
    if ranked is not None:
        parts["ranked"] = _ranked(own[both:, -1]) + _ranked(whole[both:, -1])
    total = torch.stack([SCALES.get(name, 1.0) * value for name, value in parts.items()]).sum()
    return total, {name: float(value.detach()) for name, value in parts.items()}


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / counted.sum().clamp(min=1)


def _told(told: Tensor, truth: Targets) -> Tensor:
    """Squared error of severities and cross-entropy of presence, (B, 2, T, 3), each token judged by its own finding."""
    place = places(told.shape[2])
    wanted = truth.sided[:, :, place] * own_sides(told.shape[2])
    severity = ((told[..., :SIDES] - wanted) ** 2).mean((2, 3)) * truth.usable
    there = functional.binary_cross_entropy_with_logits(told[..., SIDES], truth.present[:, :, place], reduction="none")
    return severity.mean() + 0.1 * _mean(there, truth.known[:, :, place])


def _change(logp: Tensor, truth: Targets) -> Tensor:
    """Cross-entropy of the change classes that may be judged; the extent as a whole weighs most."""
    picked = logp.gather(2, (truth.change.clamp(max=1) + 1)[..., None])[..., 0]
    weight = (truth.change != 9) * torch.tensor([0.4] * len(FINDINGS) + [1.0])
    return -(picked * weight).sum() / weight.sum().clamp(min=1e-6)


def _where(model: Sight, logits: Tensor, amount: Tensor, truth: Targets, coarse: bool) -> tuple[Tensor, Tensor]:
    """Cross-entropy of where findings show, (2 * B, P, F) logits, and squared error of how much.

    On films with disease of their own only patches in which something was painted count.
    """
    assert truth.maps is not None
    if coarse:
        amount = model.coarsened(amount)
    wanted = model.ordered(truth.maps.flatten(0, 1).permute(0, 2, 3, 1).float() / 255, coarse)
    counted = torch.maximum((wanted > 0).float(), truth.usable.flatten()[:, None, None].expand_as(wanted))
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return _mean(each, counted), _mean((amount - wanted) ** 2, counted)


def _ranked(extent: Tensor) -> Tensor:
    """Logistic loss of extents (2 * K,), less and more in turn, apart by about a quarter of the scale."""
    less, more = paired(extent).unbind(1)
    return functional.softplus(8 * (0.25 - more + less)).mean() / 8
