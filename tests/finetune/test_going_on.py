"""A run goes on from the adapter that answers, and holds replayed examples to what was said before it learned."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from errors import InputError, TuneError
from finetune import examples, families, hands, keeping, orders, registry, runs, sft
from finetune.encoding import Words
from finetune.orders import Order
from inference.adapter import FILES
from settings import Settings
from tests.finetune import ordered, shelved
from tests.finetune.test_registry import sheet
from tests.finetune.test_sft import learner, run
from tests.inference import adapters, tiny


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def tuned(given: sft.Run) -> dict[str, torch.Tensor]:
    """The adapter's numbers after the run."""
    made = sft.tune(given, say=lambda _line: None)
    assert made is not None
    return load_file(made / FILES[1])


def test_going_on_starts_from_the_adapters_numbers_and_says_so(tmp_path: Path) -> None:
    first = run(tmp_path)
    was = tuned(first)
    still = run(tmp_path, tuning={"rate": 1e-12, "steps": 1, "batch": 2, "micro": 2, "warmup": 0.0})
    again = replace(still, folder=tmp_path / "again", start=first.folder / "adapter")
    now = tuned(again)
    assert now.keys() == was.keys()
    assert max(float((now[name] - was[name]).abs().max()) for name in was) < 1e-6
    assert any(float(was[name].abs().max()) > 1e-4 for name in was if "lora_B" in name)
    assert '"start"' in (again.folder / "run.json").read_text()
    wider = replace(again, folder=tmp_path / "wider", recipe=replace(again.recipe, adapter=sft.Adapter(rank=8, alpha=16)))
    with pytest.raises(TuneError, match="adapter cannot be learned on from"):
        tuned(wider)


def test_what_was_said_before_is_where_the_distance_starts_and_learning_another_answer_moves_away_less(tmp_path: Path) -> None:
    """Half of the examples are replayed: with `keep` their answers stay as they were, and without they move."""
    given = run(tmp_path, cache="off", tuning={"rate": 0.01, "steps": 12, "batch": 4, "micro": 4, "warmup": 0.0})
    form = families.form(given.model)
    found = [
        replace(one, replayed=number % 2 == 0)
        for number, one in enumerate(examples.collect(given.recipe.data[0], given.data_root, 0).examples)
    ]
    words, help_ = Words(form), hands.Accelerated(False, 4, 4)
    moved = {}
    for keep in (0.0, 20.0):
        model, _ = learner(replace(given, recipe=replace(given.recipe, keep=keep)))
        before = keeping.said(model, found, words, None, help_, lambda _line: None)
        assert set(before) == {one.name for one in found if one.replayed}
        batch = hands.Shares(found, words, form, None, 1, 4, 4, said=before).over(range(1))
        (first,) = batch[0]
        assert first.replayed is not None
        assert 0 < int(first.replayed.sum()) < len(first.replayed)
        optimiser = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=0.01)
        learned = hands.Shares(found, words, form, None, 1, 4, 4, said=before if keep else None).over(range(12))
        for step in range(12):
            (part,) = learned[step]
            model(part).backward()
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():
            moved[keep] = float(keeping.apart(model.logits(first)[first.replayed].float(), first.before, first.places))  # type: ignore[arg-type]
        fresh, _ = learner(given)
        with torch.no_grad():
            assert float(keeping.apart(fresh.eval().logits(first)[first.replayed].float(), first.before, first.places)) < 1e-3  # type: ignore[arg-type]
    assert 0 <= moved[20.0] < 0.3 * moved[0.0]


def promoted(settings: Settings) -> str:
    """A run of the tiny model whose random adapter answers now."""
    model = tiny.build(settings.models_dir / "tiny")
    shelved.version(settings)
    first = runs.create(settings, Order("one", "tiny", "v1", orders.recipe("sft"), "ana"))
    assert first.order["start"] == ""
    adapters.build(settings.runs_dir / "one" / "adapter", model)
    sheet(settings, "one")
    return registry.promote(settings, "one", "ana", "better").adapter


@pytest.mark.slow
def test_preferences_are_held_to_the_adapter_they_go_on_from(settings: Settings) -> None:
    """Before it has learned anything the model prefers nothing over its reference, whatever adapter both wear: a loss of log 2."""
    promoted(settings)
    how = orders.recipe("dpo", precision="fp32", sft_weight=0.0, steps=2, batch=2, micro=2, rate=1e-12, warmup=0.0)
    assert runs.create(settings, Order("two", "tiny", "v1", how, "ana")).order["start"].startswith("one-")
    runs.start(settings, "two")
    ordered.wait(settings.runs_dir / "two")
    assert runs.view(settings, "two").state == "finished", runs.log(settings, "two")
    assert runs.curve(settings, "two")[-1]["loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_a_run_goes_on_from_the_adapter_that_answers_unless_it_is_told_otherwise(settings: Settings) -> None:
    live = promoted(settings)
    second = runs.create(settings, Order("two", "tiny", "v1", orders.recipe("sft"), "ana")).order
    assert second["start"] == live
    assert (second["recipe"]["adapter"]["rank"], second["recipe"]["adapter"]["alpha"]) == (4, 8), "of the adapter's shape"
    assert {"from": f"adapter:{live}", "to": "run:two"} in registry.lineage(settings)["edges"]
    alone = runs.create(settings, Order("three", "tiny", "v1", orders.recipe("sft"), "ana", start="none")).order
    assert (alone["start"], alone["recipe"]["adapter"]["rank"]) == ("", orders.recipe("sft").adapter.rank)
    with pytest.raises(InputError, match="'nobody' was never promoted"):
        runs.create(settings, Order("four", "tiny", "v1", orders.recipe("sft"), "ana", start="nobody"))
