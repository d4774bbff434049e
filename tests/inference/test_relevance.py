"""Where the images bear on an answer: maps of both, that follow the words and the pixels, and leave the engine as it was."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest

from errors import Cancelled
from inference import manifest
from inference.relevance import Looking, patched
from inference.torch_engine import TorchEngine
from tests.finetune import tiny_families
from tests.inference import tiny


def test_maps_cover_both_images_and_follow_words_and_pixels(torch_engine: TorchEngine) -> None:
    assert isinstance(torch_engine, Looking)
    request = tiny.pair()
    before = [token.id for token in torch_engine.stream(request, Event())]
    maps = torch_engine.relevance(request, "worse")
    assert len(maps) == 2
    assert abs(sum(float(one.sum()) for one in maps) - 1) < 1e-5
    assert all((one >= 0).all() and one.shape == maps[0].shape and one.std() > 0 for one in maps)
    assert not np.allclose(maps[0], torch_engine.relevance(request, "a quite different answer")[0])
    assert [token.id for token in torch_engine.stream(request, Event())] == before


def test_a_small_change_where_it_is_strong_moves_the_likelihood_more(torch_engine: TorchEngine) -> None:
    """What the map claims, tried: pixels of the strongest patch are scaled a little, then as many of the weakest."""
    from dataclasses import replace

    from inference import pixels

    request = tiny.pair()
    side = torch_engine.card.tile
    first = pixels.image(pixels.tile(request.images[0].pixels, side), "prior", "")
    request = replace(request, images=(first, request.images[1]))
    found = torch_engine.relevance(request, "worse")[0]
    patch = side // len(found)

    def moved(place: int) -> float:
        row, column = divmod(place, len(found))
        changed = first.pixels.astype(np.float32)
        part = changed[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        part -= 0.25 * (part - 127.5)
        again = replace(request, images=(pixels.image(changed.round().astype(np.uint8), "prior", ""), request.images[1]))
        scores = [torch_engine.score(one, ["worse"]).logprobs[0] for one in (request, again)]
        return abs(scores[0] - scores[1])

    order = np.argsort(found.ravel())
    strong, weak = (np.mean([moved(int(place)) for place in places]) for places in (order[-4:], order[:4]))
    assert strong > weak


@pytest.mark.parametrize("family", [name for name in tiny_families.NAMES if name != "mantis-clip"])
def test_every_family_has_maps(tmp_path: Path, family: str) -> None:
    folder = tiny_families.build(tmp_path / family, family)
    listed = manifest.of_transformers(folder, tiny_families.TILES.get(family, 0))
    engine = TorchEngine(tmp_path, 1024, 1, listed=listed)
    maps = engine.relevance(tiny.pair(), "worse")
    assert abs(sum(float(one.sum()) for one in maps) - 1) < 1e-5
    assert all(one.ndim == 2 and one.std() > 0 for one in maps)
    engine.close()


def test_a_stop_is_heard(torch_engine: TorchEngine) -> None:
    stopped = Event()
    stopped.set()
    with pytest.raises(Cancelled):
        torch_engine.relevance(tiny.pair(), "worse", stopped)


def test_an_answer_that_nothing_bears_on_has_an_even_map() -> None:
    even = patched([np.zeros((8, 8), dtype=np.float32)] * 2, 4)
    assert {round(float(value), 6) for one in even for value in one.ravel()} == {0.125}
