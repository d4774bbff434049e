"""What a frozen image tower makes of images: computed the same way for every family, once for each image, and kept.

Fine-tuning leaves tower and connector alone, so their output for an image never changes. Kept in memory or on disk it spares the
dearest part of each step; `mm_encoder_outputs` of transformers takes it where pixels would go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from errors import TuneError
from finetune import loop
from finetune.dataset import IGNORED
from finetune.encoding import Encoded
from finetune.examples import Example, Picture
from finetune.families import Form, refused
from inference import pixels, seeing
from inference.seeing import Feature, grids

__all__ = ["Batch", "Feature", "Store", "collate", "fill", "given", "grids", "saved", "seen", "tile"]
AT_ONCE = 8
Said = tuple[Tensor, Tensor]
"""(answer tokens, K) log-probabilities of the likeliest tokens at each place of an answer, and which tokens they are."""
"""Images the tower reads together when the store is filled."""


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right: `ids`, `mask`, `labels`, `images` (B, L); `keys` of the images in the order of their tokens.

    `tiles` (U, S, S, 3) uint8 are the images named `unique`, to be seen by the tower; or `features` holds what it made of each.
    `share` is one over the answer tokens of the whole step, so that the losses of its batches add up to a mean. `replayed` (answer
    tokens,) bool, row by row, are tokens to be said as before learning: `finetune.keeping` has `before` and `places` (replayed, K).
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    images: Tensor
    keys: tuple[str, ...]
    share: float
    unique: tuple[str, ...] = ()
    tiles: Tensor | None = None
    features: Mapping[str, Feature] | None = None
    replayed: Tensor | None = None
    before: Tensor | None = None
    places: Tensor | None = None


def tile(picture: Picture, form: Form) -> NDArray[np.uint8]:
    """(S, S, 3) as the engines show it: whole, padded to a square. Raises `StudyError`."""
    return pixels.tile(picture.pixels(), form.tile)


def seen(net: Any, form: Form, tiles: Tensor) -> list[Feature]:
    """`inference.seeing.seen` with this room's error. Raises `TuneError`."""
    with refused():
        return seeing.seen(net, form, tiles)


def given(features: Sequence[Feature], form: Form) -> dict[str, Any]:
    """`mm_encoder_outputs` for images in the order of their tokens."""
    columns = [tuple(layer) for layer in zip(*features, strict=True)]
    pooled: Any = torch.stack(columns[0]) if form.family.whole else columns[0]
    return {"image": SimpleNamespace(pooler_output=pooled, deepstack_features=columns[1:])}


def collate(
    rows: Sequence[tuple[Example, Encoded]], form: Form, share: float, kept: Store | None = None, said: Mapping[str, Said] | None = None
) -> Batch:
    """One batch; images are read only where `kept` does not hold what the tower made of them. `said` is what is to be kept, by example."""
    length = max(len(encoded.ids) for _, encoded in rows)

    def padded(values: Iterable[NDArray[Any]], fill: int) -> Tensor:
        return torch.from_numpy(np.stack([np.pad(row, (0, length - len(row)), constant_values=fill) for row in values]))

    shown = [image for example, _ in rows for image in example.images]
    unique = {image.key: image for image in shown}
    known = {key: kept.get(key) for key in unique} if kept else None
    words = [said[example.name] for example, _ in rows if said and example.name in said]
    more = {"before": torch.cat([one for one, _ in words]), "places": torch.cat([one for _, one in words])} if words else {}
    if words:
        more["replayed"] = torch.cat([torch.full((encoded.answer_tokens,), example.name in (said or ())) for example, encoded in rows])
    return Batch(
        ids=padded((encoded.ids for _, encoded in rows), 0),
        mask=padded((np.ones_like(encoded.ids) for _, encoded in rows), 0),
        labels=padded((encoded.labels for _, encoded in rows), IGNORED),
        images=padded((encoded.images for _, encoded in rows), False),
        keys=tuple(image.key for image in shown),
        share=share,
        unique=tuple(unique),
        tiles=None if kept else torch.from_numpy(np.stack([tile(image, form) for image in unique.values()])),
        features=known,
        **more,
    )


def saved(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write safetensors. Raises `OSError` where the library raises one of its own."""
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


class Store:
    """What the tower made of each image, by the image's key: in memory, or with a `folder` one file each."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: dict[str, Feature] = {}

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file() if self._folder else key in self._held

    def get(self, key: str) -> Feature:
        """What was put. Raises `TuneError` when the file is damaged, `KeyError` when nothing was put in memory."""
        if not self._folder:
            return self._held[key]
        try:
            found = load_file(self._path(key))
        except (OSError, SafetensorError) as error:
            raise TuneError(
                f"{self._path(key)}: the kept feature is damaged ({error}); delete it and run the stage features again"
            ) from error
        return tuple(found[name] for name in sorted(found))

    def put(self, key: str, feature: Feature) -> None:
        """Keep it. Raises `TuneError` on a full disk, with nothing half-written."""
        if not self._folder:
            self._held[key] = tuple(layer.cpu() for layer in feature)
            return
        named = {f"{index:03}": layer.cpu().contiguous() for index, layer in enumerate(feature)}
        loop.atomic(self._path(key), lambda path: saved(named, path))

    def _path(self, key: str) -> Path:
        return (self._folder or Path()) / key[:2] / f"{key}.safetensors"


def fill(store: Store, net: Any, form: Form, pictures: Iterable[Picture], say: Callable[[str], None] = print) -> int:
    """Bring what the tower makes of every picture into the store; returns how many it had to look at. Goes on after a kill."""
    wanted = [picture for key, picture in {picture.key: picture for picture in pictures}.items() if key not in store]
    for start in range(0, len(wanted), AT_ONCE):
        group = wanted[start : start + AT_ONCE]
        tiles = torch.from_numpy(np.stack([tile(picture, form) for picture in group]))
        for picture, feature in zip(group, seen(net, form, tiles), strict=True):
            store.put(picture.key, feature)
        if start // AT_ONCE % 25 == 0:
            say(f"features {min(start + AT_ONCE, len(wanted))} of {len(wanted)} images")
    return len(wanted)
