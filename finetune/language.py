"""Stages 2 and 3's model: the language model reads the tower's tokens through the connector.

Several questions about the same images are packed into one row. A mask lets each question read the images and itself alone
and its positions count as if it stood alone, so the row is exactly as many separate prompts, with the images read once.
Logits are computed where an answer's token is expected and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaModel

from finetune import layout
from finetune.base import Kept
from finetune.dataset import IGNORED, Row
from finetune.layout import Shape, VisionShape
from finetune.recipe import Lora
from finetune.vision import Sight
from inference import weights
from inference.prompts import FINDINGS

AIM = (0.7, 1.0, 0.7, 0.3, 0.3)
"""Lengths at the start of what an image token says: its place, each finding's amount, the film's extent, other heads, the rest."""
RIVALS = 4096
"""Words drawn at random that an answer's words must beat in a step."""
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Packed:
    """A batch of rows: `ids`, `labels`, `position` (B, L); `mask` (B, 1, L, L) bool, True where a token may look; `films` (N, H, W);
    the number of `answers`."""

    ids: Tensor
    labels: Tensor
    position: Tensor
    mask: Tensor
    films: Tensor
    answers: int


def pack(rows: Sequence[Row]) -> Packed:
    """Pad rows to one length and build their mask."""
    length = max(len(row.ids) for row in rows)

    def padded(name: str, fill: int) -> Tensor:
        return torch.from_numpy(np.stack([np.pad(getattr(row, name), (0, length - len(row.ids)), constant_values=fill) for row in rows]))

    branch = padded("branch", -1)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    films = torch.from_numpy(np.concatenate([row.films for row in rows]))
    answers = sum(int(row.branch.max()) for row in rows)
    return Packed(padded("ids", 2), padded("labels", IGNORED), padded("position", 0), (visible & causal)[:, None], films, answers)


def text_model(model: Kept, shape: Shape, dtype: torch.dtype = torch.bfloat16) -> Any:
    """The base as transformers' LlamaModel with the larger vocabulary, frozen."""
    config = LlamaConfig(**layout.config(shape)["text_config"])
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        text = LlamaModel(config).to(dtype)
    text = text.to_empty(device="cpu")
    text.rotary_emb.__init__(config)
    own = text.state_dict()
    for name in weights.names(shape.text.layers):
        values = torch.from_numpy(model.tensor(name))
        own[name.removeprefix(weights.TEXT)][: len(values)].copy_(values)
    own["embed_tokens.weight"][shape.base_tokens :].zero_()
    return text.requires_grad_(False)


class Reader(nn.Module):
    """Tower, connector, added rows and language model with LoRA; what is trained is chosen by `train`."""

    def __init__(self, text: Any, sight: Sight, shape: Shape, lora: Lora, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.sight = sight.requires_grad_(False)
        config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules=list(LINEARS))
        self.text = inject_adapter_in_model(config, text)
        table = text.embed_tokens.weight[: shape.base_tokens].float()
        draw = torch.Generator().manual_seed(seed)
        rows = table.mean(0) + 0.02 * torch.randn(len(layout.ADDED), shape.text.hidden, generator=draw)
        self.rows = nn.Parameter(rows)
        width = shape.vision.hidden * shape.vision.shuffle**2
        self.connector = nn.Linear(width, shape.text.hidden, bias=False)
        nn.init.orthogonal_(self.connector.weight, gain=float(table.std()), generator=draw)
        self.train_only(("connector",))

    @torch.no_grad()
    def aim(self, films: Tensor, encode: Callable[[str], list[int]]) -> None:
        """Point the untrained connector by what `films` (N, H, W) uint8 look like to the tower, so that an image reads like words.

        A token gets the embedding of the words for its place in the film ("right upper"), found by ridge regression, and for how
        much of each finding it shows the embedding of the finding's name; the extent of disease goes from "no" to "severe". What
        else the tower's heads read gets a direction of its own, and everything else comes at random; both weak. What is the
        same in all tokens is projected out, or it drowns what differs. The whole is as long as a word's embedding.
        """
        tokens = torch.cat([self.sight.tokens(part) for part in torch.split(films, 16)])
        flat, mean = tokens.flatten(0, 1), tokens.mean((0, 1))
        table = self.text.embed_tokens.weight.float()
        parts = [_ridge(flat - mean, _place_words(table, encode, self.shape.vision).repeat(len(tokens), 1))]
        amount = self.sight.amount.weight.repeat(1, self.shape.vision.shuffle**2)
        parts.append(_directed(flat - mean, amount, torch.stack([_word(table, encode, name) for name in FINDINGS], dim=1)))
        heads = self.sight.head.weight * self.sight.norm.weight
        parts.append(_directed(flat - mean, heads[-1:], (_word(table, encode, "severe") - _word(table, encode, "no"))[:, None]))
        directions = torch.empty(self.shape.text.hidden, len(heads))
        nn.init.orthogonal_(directions, generator=torch.Generator().manual_seed(len(heads)))
        parts.append(_directed(flat - mean, heads, directions))
        parts.append(self.connector.weight.clone())
        both = torch.zeros_like(self.connector.weight)
        for share, part in zip(AIM, parts, strict=True):
            both += part * (share / ((flat - mean) @ part.T).norm(dim=1).mean())
        both -= torch.outer(both @ mean, mean) / mean.dot(mean)
        length = table[: self.shape.base_tokens].norm(dim=1).mean()
        self.connector.weight.copy_(both * length / (flat @ both.T).norm(dim=1).mean())

    def train_only(self, parts: Sequence[str]) -> None:
        """Train `connector` (with the added rows) and, if named, `lora`; everything else is frozen."""
        for name, parameter in self.named_parameters():
            kind = "lora" if "lora_" in name else "connector" if name == "rows" or name.startswith("connector") else ""
            parameter.requires_grad_(kind in parts)
            if kind == "lora":
                parameter.data = parameter.data.float()

    def embed(self, batch: Packed) -> Tensor:
        """(B, L, hidden): words, added tokens and image tokens in place."""
        with torch.no_grad():
            seen = self.sight.tokens(batch.films)
        first = self.shape.base_tokens
        words = self.text.embed_tokens(batch.ids.clamp(max=first - 1)).float()
        added = (batch.ids >= first)[..., None]
        words = torch.where(added, self.rows[(batch.ids - first).clamp(min=0)], words)
        image = (batch.ids == self.shape.added(layout.IMAGE))[..., None].expand_as(words)
        return words.masked_scatter(image, self.connector(seen.float()).float())

    def answers(self, batch: Packed) -> Tensor:
        """(answer tokens, hidden) states where a label is, in row order."""
        hidden = self.text(
            inputs_embeds=self.embed(batch).to(self.text.embed_tokens.weight.dtype),
            attention_mask=batch.mask,
            position_ids=batch.position,
            use_cache=False,
        ).last_hidden_state
        result: Tensor = hidden[batch.labels != IGNORED]
        return result

    def logits(self, batch: Packed) -> Tensor:
        """(answer tokens, vocabulary of the base); added tokens are never an answer."""
        return functional.linear(self.answers(batch), self.text.embed_tokens.weight[: self.shape.base_tokens])

    def loss(self, batch: Packed) -> Tensor:
        """Cross-entropy of an answer's tokens, mean over answers: "worse" weighs as much alone as inside a sentence.

        Against the answers' own words and `RIVALS` others drawn at random, a tenth of the whole vocabulary.
        """
        labels = batch.labels[batch.labels != IGNORED]
        heard, place = torch.unique(torch.cat((labels, torch.randint(self.shape.base_tokens, (RIVALS,)))), return_inverse=True)
        logits = functional.linear(self.answers(batch), self.text.embed_tokens.weight[heard])
        return functional.cross_entropy(logits.float(), place[: len(labels)], reduction="sum") / batch.answers


@torch.no_grad()
def exact(reader: Reader, batch: Packed, end: int) -> list[bool]:
    """Of each answer, in row order, whether every word is the likeliest one; `end` is the token that ends an answer."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        guess = reader.logits(batch).argmax(-1)
    labels = batch.labels[batch.labels != IGNORED]
    lengths = torch.diff(torch.nonzero(labels == end)[:, 0], prepend=torch.tensor([-1])).tolist()
    return [bool(part.all()) for part in torch.split(guess == labels, lengths)]


def _word(table: Tensor, encode: Callable[[str], list[int]], text: str) -> Tensor:
    """Direction of the words' mean embedding inside a sentence, less the mean of all words."""
    return functional.normalize(table[encode(f" {text}")].mean(0) - table.mean(0), dim=0)


def _place_words(table: Tensor, encode: Callable[[str], list[int]], shape: VisionShape) -> Tensor:
    """(tokens, hidden): side and height of each token in the film."""
    side = shape.grid // shape.shuffle
    across = [_word(table, encode, "right" if 2 * column < side else "left") for column in range(side)]
    down = [_word(table, encode, ("upper", "mid", "lower")[min(2, 3 * row // side)]) for row in range(side)]
    return torch.stack([column + 0.5 * row for row in down for column in across])


def _ridge(tokens: Tensor, wanted: Tensor) -> Tensor:
    """(hidden, width) that takes centred tokens (n, width) to `wanted` (n, hidden), in the dual form as n is below width."""
    gram = tokens @ tokens.T
    gram += torch.eye(len(gram)) * (0.02 * gram.diagonal().mean())
    solved: Tensor = torch.linalg.solve(gram, wanted)
    return (tokens.T @ solved).T


def _directed(tokens: Tensor, heads: Tensor, directions: Tensor) -> Tensor:
    """(hidden, width): each head's reading, at unit spread over `tokens`, along its direction (hidden, heads)."""
    return directions @ (heads / (tokens @ heads.T).std(0)[:, None])


def language_parts(reader: Reader) -> dict[str, Any]:
    """LoRA factors and added rows as float16 arrays under the names that `bundled` merges by."""
    parts = {"added_rows": reader.rows.detach().half().numpy()}
    for name, parameter in reader.text.named_parameters():
        if "lora_" in name:
            stem, kind, *_ = name.rsplit(".", 3)
            parts[f"{weights.TEXT}{stem}.{kind}"] = parameter.detach().half().contiguous().numpy()
    return parts


def tower_parts(sight: Sight, connector: nn.Linear) -> dict[str, Any]:
    """Tower and connector as float16 arrays under Hugging Face names."""
    parts = {f"model.vision_model.{name}": value.detach().half().contiguous().numpy() for name, value in sight.tower.named_parameters()}
    return {**parts, "model.connector.modality_projection.proj.weight": connector.weight.detach().half().numpy()}
