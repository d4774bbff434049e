"""Stages 2 and 3's model: the language model reads the tower's tokens through the connector.

Several questions about the same images are packed into one row. A mask lets each question read the images and itself alone
and its positions count as if it stood alone, so the row is exactly as many separate prompts, with the images read once.
Logits are computed where an answer's token is expected and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from finetune import layout
from finetune.base import Kept
from finetune.dataset import IGNORED, Row
from finetune.layout import Shape
from finetune.recipe import Lora
from finetune.vision import Sight, places
from inference import weights
from inference.prompts import FINDINGS

AIM = (1.0, 1.2, 0.1)
"""Lengths at the start of what an image token says: its finding's name, what it tells of it, the rest."""
LOUD = 32.0
"""How many times as long as a word's embedding an image token starts. The first layer of the language model adds some 60 to a word of
length 3; an image token of a word's length is drowned by it, and of what it told layer 3 hears a cosine of 0.05 (of this length 0.68)."""
RIVALS = 4096
"""Words drawn at random that an answer's words must beat in a step."""
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Packed:
    """A batch of rows: `ids`, `labels`, `position`, `named`, `place` (B, L); `mask` (B, 1, L, L) bool, True where a token may look;
    `films` (N, H, W); `truth` (B, F + 1, 7) as in `Row`; the number of `answers`."""

    ids: Tensor
    labels: Tensor
    position: Tensor
    named: Tensor
    place: Tensor
    mask: Tensor
    films: Tensor
    truth: Tensor
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
    words = padded("ids", 2), padded("labels", IGNORED), padded("position", 0), padded("named", -1), padded("place", -1)
    truth = torch.from_numpy(np.stack([row.truth for row in rows]))
    return Packed(*words, (visible & causal)[:, None], films, truth, answers)


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


class Gaze(nn.Module):
    """Teaches a few heads of the language model where to look: supervised attention (Liu et al. 2016, arXiv 1609.04186).

    Where a finding's name ends, one head looks at that finding's place in the first image and one in the second; where an answer is
    given, one head looks at the whole first image and one at the second. In a later layer, where an answer is given, two heads look
    back at the finding named last. Left to itself a model of this size does not find the places within the steps that two processor
    cores can take; what it makes of what it sees there stays its own.
    """

    def __init__(self, text: Any) -> None:
        super().__init__()
        layers, heads = len(text.layers), text.config.num_attention_heads
        self._apart = heads // 3
        self._seeing, self._recalling = {layers // 5, 2 * layers // 5}, 3 * layers // 5
        self._looking = {number: text.layers[number].self_attn for number in sorted({*self._seeing, self._recalling})}
        self._read: dict[int, tuple[Tensor, tuple[Tensor, Tensor]]] = {}
        for number, attention in self._looking.items():
            attention.register_forward_pre_hook(partial(self._keep, number), with_kwargs=True)

    def _keep(self, number: int, _module: nn.Module, _given: Any, named: dict[str, Any]) -> None:
        self._read[number] = named["hidden_states"], named["position_embeddings"]

    def forward(self, batch: Packed) -> Tensor:
        """Mean of -log of the attention that falls where it should, over layers and heads; after the language model has read `batch`."""
        row, column = torch.nonzero((batch.labels != IGNORED) | (batch.named >= 0), as_tuple=True)
        named, answering = batch.named[row, column], (batch.labels != IGNORED)[row, column]
        visible, place = batch.mask[row, 0, column], batch.place[row]
        before = _named_before(batch, row, column)
        last = (before >= 0) & (before == before.amax(1, keepdim=True))
        missed = []
        for number, attention in self._looking.items():
            scores = self._scores(attention, *self._read.pop(number))
            for end in range(2):
                here = (place >= end * len(FINDINGS)) & (place < (end + 1) * len(FINDINGS))
                own = here & (place % len(FINDINGS) == named[:, None])
                seeing = [(0, own, named >= 0), (1, here, answering)] if number in self._seeing else []
                recalling = [(2, last, answering)] if number == self._recalling else []
                for offset, wanted, use in seeing + recalling:
                    score = scores[row, (end * self._apart + offset) % scores.shape[1], column].masked_fill(~visible, -math.inf)
                    kept = use & wanted.any(1)
                    found = torch.logsumexp(score.masked_fill(~wanted, -1e9), 1) - torch.logsumexp(score, 1)
                    missed.append(-(found * kept).sum() / kept.sum().clamp(min=1))
        return torch.stack(missed).mean()

    def _scores(self, attention: Any, read: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """(B, heads, L, L) attention scores before softmax, without the mask."""
        shape = (*read.shape[:2], -1, attention.head_dim)
        asks, tells = (part(read).view(shape).transpose(1, 2) for part in (attention.q_proj, attention.k_proj))
        asks, tells = apply_rotary_pos_emb(asks, tells, *turns)
        scores: Tensor = (asks @ tells.repeat_interleave(attention.num_key_value_groups, 1).mT).float() * attention.scaling
        return scores


def _named_before(batch: Packed, row: Tensor, column: Tensor) -> Tensor:
    """(n, L) the column where it is one that the token at (`row`, `column`) sees and where a finding's name ends, else -1."""
    seen = batch.mask[row, 0, column] & (batch.named[row] >= 0)
    return torch.where(seen, torch.arange(batch.ids.shape[1]), -1)


class Heard(nn.Module):
    """Teaches the language model to know inside what it will be asked to say: deep supervision (Lee et al. 2015, arXiv 1409.5185).

    From the inner state where a finding's name ends, and in a later layer from the state where an answer is given, a linear head must
    tell of that finding whether and on which side it is in either image, how severe, and how it changed; where an answer is given
    without a finding having been named, how all disease changed. An answer of one word teaches one bit of this in a step; the heads
    teach all of it. They are used in training alone and are not shipped.
    """

    KNOWN = 9
    """What a head tells: present twice, on the right twice (logits), severity twice, change (3 logits)."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        count, width = len(text.layers), text.config.hidden_size
        self._layers = 3 * count // 5, 4 * count // 5
        self.named, self.answering = nn.Linear(width, self.KNOWN), nn.Linear(width, self.KNOWN)
        self._read: dict[int, Tensor] = {}
        for number in self._layers:
            text.layers[number].input_layernorm.register_forward_hook(partial(self._keep, number))

    def _keep(self, number: int, _module: nn.Module, _given: Any, out: Tensor) -> None:
        self._read[number] = out

    def forward(self, batch: Packed) -> Tensor:
        """Mean loss of what the two heads tell; after the language model has read `batch`."""
        early, late = (self._read[number] for number in self._layers)
        self._read.clear()
        row, column = torch.nonzero(batch.named >= 0, as_tuple=True)
        first = self._missed(self.named(early[row, column]).float(), batch.truth[row, batch.named[row, column]])
        row, column = torch.nonzero(batch.labels != IGNORED, as_tuple=True)
        last = _named_before(batch, row, column).amax(1)
        spoken = torch.where(last >= 0, batch.named[row, last.clamp(min=0)], batch.truth.shape[1] - 1)
        return first + self._missed(self.answering(late[row, column]).float(), batch.truth[row, spoken])

    @staticmethod
    def _missed(said: Tensor, true: Tensor) -> Tensor:
        known = torch.isfinite(true)
        wanted = torch.where(known, true, 0.0)

        def mean(each: Tensor, use: Tensor) -> Tensor:
            return (each * use).sum() / use.sum().clamp(min=1)

        yes = functional.binary_cross_entropy_with_logits(said[:, :4], wanted[:, :4], reduction="none")
        change = functional.cross_entropy(said[:, 6:], wanted[:, 6].long() + 1, reduction="none")
        severity = 4.0 * (said[:, 4:6] - wanted[:, 4:6]) ** 2
        return mean(yes[:, :2], known[:, :2]) + mean(yes[:, 2:], known[:, 2:4]) + mean(severity, known[:, 4:6]) + mean(change, known[:, 6])


class Reader(nn.Module):
    """Tower, connector, added rows and language model with LoRA; what is trained is chosen by `train`."""

    def __init__(self, text: Any, sight: Sight, shape: Shape, lora: Lora, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.sight = sight.requires_grad_(False)
        config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules=list(LINEARS))
        self.text = inject_adapter_in_model(config, text)
        self.gaze, self.heard = Gaze(text), Heard(text)
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

        A token gets the embedding of the name of the finding whose place it is, found by ridge regression; on top of it "right" and
        "left" by how much of the finding it tells of on that side, from "absent" to "present" by how sure it is, and from "mild" to
        "severe" by the extent of all disease. Everything else comes at random and weak. What is the same in all tokens is projected
        out, or it drowns what differs. The whole is `LOUD` times as long as a word's embedding.
        """
        tokens = torch.cat([self.sight.tokens(part) for part in torch.split(films, 16)])
        flat, mean = tokens.flatten(0, 1), tokens.mean((0, 1))
        table = self.text.embed_tokens.weight.float()
        names = torch.stack([_word(table, encode, name) for name in FINDINGS])[places(self.shape.vision.tokens)]
        right, left, present, absent, severe, mild = (
            _word(table, encode, word) for word in ("right", "left", "present", "absent", "severe", "mild")
        )
        told = torch.cat((self.sight.told.weight, self.sight.head.weight[-1:])) * self.sight.norm.weight
        said = torch.stack((right, left, present - absent, severe - mild), dim=1)
        parts = [_ridge(flat - mean, names.repeat(len(tokens), 1)), _directed(flat - mean, told, said), self.connector.weight.clone()]
        both = torch.zeros_like(self.connector.weight)
        for share, part in zip(AIM, parts, strict=True):
            both += part * (share / ((flat - mean) @ part.T).norm(dim=1).mean())
        both -= torch.outer(both @ mean, mean) / mean.dot(mean)
        length = LOUD * table[: self.shape.base_tokens].norm(dim=1).mean()
        self.connector.weight.copy_(both * length / (flat @ both.T).norm(dim=1).mean())

    def train_only(self, parts: Sequence[str]) -> None:
        """Train `connector` (with the added rows) and, if named, `lora`; everything else is frozen."""
        for name, parameter in self.named_parameters():
            kind = (
                "lora"
                if "lora_" in name or name.startswith("heard")
                else "connector"
                if name == "rows" or name.startswith("connector")
                else ""
            )
            parameter.requires_grad_(kind in parts)
            if kind == "lora":
                parameter.data = parameter.data.float()

    def embed(self, batch: Packed) -> Tensor:
        """(B, L, hidden): words, added tokens and image tokens in place."""
        with torch.no_grad():
            unlike, which = torch.unique(batch.films, dim=0, return_inverse=True)
            seen = self.sight.tokens(unlike)[which]
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
