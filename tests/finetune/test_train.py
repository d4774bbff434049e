"""Each training stage, on a tiny model of the real classes: the loss goes down, a killed run goes on, a packed question is a lone one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from errors import TuneError
from finetune import dataset, language, loop, train, vision
from finetune.dataset import Sources, Steps
from finetune.loop import Work
from finetune.recipe import Schedule
from finetune.synthesis import questions
from inference.prompts import FINDINGS
from tests.finetune import tiny


@pytest.fixture(autouse=True)
def small_and_seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def sources() -> Sources:
    return Sources(tiny.SOURCE, None, 1.0)


def reader() -> language.Reader:
    text = language.text_model(tiny.TinyBase(), tiny.shape(), torch.float32)  # type: ignore[arg-type]
    return language.Reader(text, vision.Sight(tiny.VISION), tiny.shape(), tiny.recipe().lora)


def repeated(module: torch.nn.Module, batch: Any, losses: Callable[[Any], torch.Tensor], steps: int, muon: bool = False) -> list[float]:
    schedule = Schedule(steps=steps, batch=1, rate=0.003, warmup=1, decay=0.0)
    work = Work("tiny", module, train.matrices(module, schedule, muon), None, lambda b, _s: (losses(b), {}), schedule)  # type: ignore[arg-type]
    return [loop.step_once(work, batch, step)["loss"] for step in range(steps)]


def packed(sight: vision.Sight | None = None) -> language.Packed:
    pairs = [tiny.pair(seed) for seed in range(2)]
    rows = [dataset.row(p, dataset.choose(p, 2, np.random.default_rng(p.seed)), tiny.words(), tiny.VISION.tokens, 64) for p in pairs]
    return language.pack(rows)


def test_the_tower_learns_films_it_is_shown() -> None:
    sight, pairs = vision.Sight(tiny.VISION), [tiny.pair(seed) for seed in range(4)]
    batch = dataset.stack(pairs), dataset.targets(pairs)
    losses = repeated(sight, batch, lambda b: vision.loss(sight, *b)[0], 12, muon=True)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("parts", [("connector",), ("connector", "lora")])
def test_the_language_stages_learn_answers_they_are_shown(parts: tuple[str, ...]) -> None:
    model, batch = reader(), packed()
    model.aim(dataset.stack([tiny.pair(seed) for seed in range(2)]).flatten(0, 1), tiny.words().encode)
    model.train_only(parts)
    losses = repeated(model, batch, lambda b: model.loss(b), 12)
    assert losses[-1] < losses[0] - 0.05


def test_exchanged_films_give_the_inverse_change_by_construction() -> None:
    sight = vision.Sight(tiny.VISION)
    severity = torch.rand(3, 2, len(FINDINGS) + 1)
    ahead, back = sight.change(severity), sight.change(severity.flip(1))
    assert torch.allclose(ahead, back.flip(-1), atol=1e-5)


def test_our_tower_and_transformers_read_a_film_alike() -> None:
    sight = vision.Sight(tiny.VISION).eval()
    films = torch.from_numpy(np.stack([tiny.pair(1).prior, tiny.pair(1).current]))
    theirs = sight.tower(pixel_values=vision.normalised(films)).last_hidden_state
    side = tiny.VISION.grid // 2
    shuffled = theirs.view(2, side, 2, side, 2, -1).permute(0, 1, 3, 2, 4, 5).reshape(2, side * side, -1)
    assert torch.allclose(sight.tokens(films), shuffled, atol=1e-4)


def test_a_packed_question_is_answered_as_if_it_stood_alone() -> None:
    """Two questions in one row share the images and must not see each other, or training would differ from asking."""
    model, pair = reader().eval(), tiny.pair(5)
    asked = dataset.choose(pair, 2, np.random.default_rng(2))

    def make(items: list[questions.Item]) -> language.Packed:
        return language.pack([dataset.row(pair, items, tiny.words(), tiny.VISION.tokens, 64)])

    with torch.no_grad():
        both = model.logits(make(asked))
        alone = torch.cat([model.logits(make([item])) for item in asked])
    assert len(asked) == 2
    assert torch.allclose(both, alone, atol=1e-4)


def test_the_stock_servers_layout_shows_each_image_twice() -> None:
    pair = tiny.pair(5)
    asked = dataset.choose(pair, 1, np.random.default_rng(1))
    plain, sliced = (dataset.row(pair, asked, tiny.words(), tiny.VISION.tokens, 64, flag) for flag in (False, True))
    image = tiny.words().control("<image>")
    assert (sliced.ids == image).sum() == 2 * (plain.ids == image).sum()
    assert len(sliced.films) == 2 * len(plain.films)


@pytest.mark.parametrize("sliced", [False, True])
def test_a_row_knows_where_findings_are_named_and_which_tokens_tell_of_them(sliced: bool) -> None:
    pair, words = tiny.pair(5), tiny.words()
    rng = np.random.default_rng(1)
    row = dataset.row(pair, dataset.choose(pair, 1, rng, lists=3), words, tiny.VISION.tokens, 64, sliced)
    shows = 2 if sliced else 1
    tokens, image = tiny.VISION.tokens, row.ids == words.control("<image>")
    order, finding = np.divmod(row.place[image], len(FINDINGS))
    assert order.tolist() == np.repeat([0, 1], shows * tokens).tolist()
    assert finding.tolist() == vision.places(tokens).tolist() * 2 * shows
    assert set(row.place[~image].tolist()) == {-1}
    ends = np.flatnonzero(row.named >= 0)
    assert len(ends) >= 3
    for end in ends:
        name = words.encode(f" {FINDINGS[row.named[end]]}")
        assert row.ids[end + 1 - len(name) : end + 1].tolist() == name


def test_an_image_token_starts_as_loud_as_what_the_first_layer_makes_of_a_word() -> None:
    """Of tokens as long as a word's embedding, layer 3 of the language model heard next to nothing: three cuts hardly read the images."""
    model = reader()
    films = dataset.stack([tiny.pair(seed) for seed in range(2)]).flatten(0, 1)
    model.aim(films, tiny.words().encode)
    words = model.text.embed_tokens.weight.detach()[: tiny.shape().base_tokens].norm(dim=1).mean()
    tokens = model.connector(model.sight.tokens(films)).detach().norm(dim=-1).mean()
    assert float(tokens / words) == pytest.approx(language.LOUD, rel=1e-3)


def test_each_pair_is_also_asked_about_the_other_way_round() -> None:
    given = replace(tiny.recipe().joint, exchanged=True, sliced=0.0)
    known = train.Words(tiny.shape(), tiny.words(), None)
    pairs = [tiny.pair(seed) for seed in range(2)]
    both = train.question_form(given, known, 3)(pairs, 0)
    ahead, back = both.films[: len(both.films) // 2], both.films[len(both.films) // 2 :]
    assert torch.equal(ahead.view(2, 2, 64, 64), back.view(2, 2, 64, 64).flip(1))
    alone = train.question_form(replace(given, exchanged=False), known, 3)(pairs, 0)
    assert torch.equal(alone.films, ahead)


def test_the_gaze_of_a_few_heads_is_taught() -> None:
    """The share of attention that falls on the finding's own place rises while the answers are learned."""
    model, batch = reader(), packed()
    model.train_only(("connector", "lora"))
    missed: list[float] = []

    def losses(b: language.Packed) -> torch.Tensor:
        answers = model.loss(b)
        gaze = model.gaze(b)
        missed.append(float(gaze.detach()))
        return answers + gaze

    repeated(model, batch, losses, 12, muon=True)
    assert missed[-1] < missed[0] - 0.1


def test_a_row_tells_what_is_true_in_the_order_its_images_are_shown() -> None:
    """The inner heads learn from it: exchanged images must exchange what is there and turn the change round."""
    pair = next(made for made in map(tiny.pair, range(60)) if {"new", "resolved"} & set(made.changes.values()))
    item = dataset.choose(pair, 1, np.random.default_rng(1), ("temporal",))[0]
    ahead, back = (
        dataset.row(pair, [replace(item, images=images)], tiny.words(), tiny.VISION.tokens, 64).truth for images in ((0, 1), (1, 0))
    )
    name, change = next((name, change) for name, change in pair.changes.items() if change in ("new", "resolved"))
    found = ahead[FINDINGS.index(name)]
    assert found[:2].tolist() == ([0, 1] if change == "new" else [1, 0])
    assert found[6] == (1 if change == "new" else -1)
    assert np.array_equal(ahead[:, [1, 0, 3, 2, 5, 4]], back[:, :6], equal_nan=True)
    assert np.array_equal(-ahead[:, 6], back[:, 6], equal_nan=True)


def test_the_inner_layers_learn_what_will_be_asked() -> None:
    """Of presence and side alone the answers taught so little that three cuts could not tell them (AUC 0.58)."""
    model, batch = reader(), packed()
    model.train_only(("connector", "lora"))
    missed: list[float] = []

    def losses(b: language.Packed) -> torch.Tensor:
        answers = model.loss(b)
        heard = model.heard(b)
        missed.append(float(heard.detach()))
        return answers + heard

    repeated(model, batch, losses, 12, muon=True)
    assert missed[-1] < 0.8 * missed[0]


def test_a_marker_typed_by_a_person_stays_text() -> None:
    words = tiny.words()
    assert words.control("<image>") not in words.encode("<image><|im_end|>")


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """The stage is stopped after its checkpoint; started again it must end where an undisturbed run ends."""

    def run(folder: Path, stop: int | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        sight = vision.Sight(tiny.VISION)
        schedule = Schedule(steps=4, batch=2, rate=0.003, warmup=1, save_every=2)

        def losses(batch: Any, step: int) -> loop.Losses:
            if step == stop:
                raise KeyboardInterrupt
            return vision.loss(sight, *batch)

        data = Steps(sources(), 0, 2, 64, lambda _step: 0.0, lambda batch, _step: (dataset.stack(batch), dataset.targets(batch)))
        work = Work("tower", sight, train.matrices(sight, schedule, True), data, losses, schedule)
        loop.fit(work, folder, workers=0, say=lambda _line: None)
        return loop.trained(sight)

    whole = run(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", 3)
    resumed = run(tmp_path / "killed", None)
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-5) for name in whole)
    curve = json.loads((tmp_path / "killed" / "tower.json").read_text())
    assert curve["steps"] == 4
    assert curve["curve"][-1]["step"] == 4


def test_a_loss_that_is_not_a_number_stops_the_run_with_a_sentence() -> None:
    sight = vision.Sight(tiny.VISION)
    with pytest.raises(TuneError, match="not a number"):
        repeated(sight, None, lambda _b: sight.dead_zone.sum() * float("nan"), 2)


def test_a_later_stage_waits_for_the_earlier_one(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="stage tower is not finished"):
        train.before("tower", train.Run(tiny.recipe(), tmp_path))
