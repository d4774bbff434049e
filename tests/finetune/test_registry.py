"""Who answers: promoted only behind the gates, one line each, and rolled back bit for bit under an engine that runs."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from errors import InputError, IntervalError
from finetune import orders, registry, runs
from finetune.orders import Order
from inference import manifest, promoted
from inference.adapter import FILES
from inference.engine import Token
from settings import Settings
from tests.finetune import shelved
from tests.inference import adapters, tiny
from ui.engine_room import EngineRoom


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A tiny model and two adapters of it."""
    place = tmp_path_factory.mktemp("made")
    model = tiny.build(place / "tiny")
    return model, adapters.build(place / "one", model, 1, "one"), adapters.build(place / "two", model, 2, "two")


@pytest.fixture
def here(settings: Settings, made: tuple[Path, Path, Path]) -> Settings:
    """Two finished runs, whose gates passed."""
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / "tiny").symlink_to(made[0])
    shelved.version(settings, count=2, held=1)
    for name, adapter in zip(("one", "two"), made[1:], strict=True):
        runs.create(settings, Order(name, "tiny", "v1", orders.recipe("sft"), "ana"))
        (settings.runs_dir / name / "adapter").symlink_to(adapter)
    sheet(settings, "one")
    return settings


def sheet(here: Settings, run: str, **changes: Any) -> None:
    """A score sheet as `gates` writes it."""
    live = promoted.live(here.adapters_dir, "tiny")
    told = {
        "passed": True,
        "gates": [{"gate": "G3", "passed": True}],
        "adapter_sha256": manifest.read(runs.adapter(here, run)).files[FILES[1]],
        "incumbent": live.adapter if live else "",
        "replayed": [],
        **changes,
    }
    (here.runs_dir / run / "gates.json").write_text(json.dumps(told))


def asked(room: EngineRoom) -> list[Token]:
    """A fresh answer from whatever serves."""
    with room.use(Event()) as engine:
        return list(engine.stream(tiny.pair(tokens=6), Event()))


def test_promotion_is_live_without_a_restart_and_rolling_back_restores_every_bit(here: Settings) -> None:
    room = EngineRoom(here.model_copy(update={"model": "tiny@gguf", "threads": 1}))
    room.start()
    alone = asked(room)
    first = registry.promote(here, "one", "ana", "better")
    assert room.status().state == "ready"
    one = asked(room)
    assert [token.id for token in one] != [token.id for token in alone]
    assert room.status().model == "tiny+one"
    sheet(here, "two")
    registry.promote(here, "two", "ana", "better still")
    two = asked(room)
    assert registry.rollback(here, "tiny", "bo", "two readers disagree").adapter == first.adapter
    assert asked(room) == one
    assert registry.rollback(here, "tiny", "bo", "all of it").adapter == ""
    assert asked(room) == alone
    assert registry.rollback(here, "tiny", "bo", "no, the second was right", to=f"two-{_sha(here, 'two')[:8]}").run == "two"
    assert asked(room) == two
    room.close()
    assert [(entry.number, entry.action, entry.who) for entry in registry.history(here)] == [
        (1, "promote", "ana"), (2, "promote", "ana"), (3, "rollback", "bo"), (4, "rollback", "bo"), (5, "rollback", "bo"),
    ]  # fmt: skip
    assert runs.view(here, "two").live
    assert not runs.view(here, "one").live


def _sha(here: Settings, run: str) -> str:
    return manifest.read(runs.adapter(here, run)).files[FILES[1]]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"passed": False, "gates": [{"gate": "G3", "passed": False}]}, "did not pass G3, so it is not promoted"),
        ({"adapter_sha256": "0" * 64}, "is not about this adapter and what is live now"),
        ({"incumbent": "other-1"}, "is not about this adapter and what is live now"),
    ],
)
def test_without_a_sheet_that_passed_nothing_is_promoted(here: Settings, changes: dict[str, Any], sentence: str) -> None:
    sheet(here, "one", **changes)
    with pytest.raises(InputError, match=sentence):
        registry.promote(here, "one", "ana", "better")
    with pytest.raises(InputError, match=r"was not measured yet; run `python app.py finetune gate two` first"):
        registry.promote(here, "two", "ana", "better")
    assert registry.history(here) == ()


def test_a_person_signs_and_only_what_was_live_comes_back(here: Settings) -> None:
    for by, reason in (("", "better"), ("ana", " ")):
        with pytest.raises(InputError, match="give a name and a reason"):
            registry.promote(here, "one", by, reason)
    with pytest.raises(InputError, match="tiny answers alone already"):
        registry.rollback(here, "tiny", "ana", "why not")
    registry.promote(here, "one", "ana", "better")
    with pytest.raises(InputError, match="'two' was never promoted for tiny; known: one-"):
        registry.rollback(here, "tiny", "ana", "why not", to="two")


def test_of_two_who_decide_at_once_one_is_told(here: Settings) -> None:
    """Each decision names what it takes the place of; the later one finds something else there."""
    sheet(here, "two")
    told: list[object] = []

    def decide(run: str) -> None:
        try:
            told.append(registry.promote(here, run, "ana", "better").run)
        except IntervalError as error:
            told.append(str(error))

    threads = [Thread(target=decide, args=(run,)) for run in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.history(here)) == 1
    assert sum(one in ("one", "two") for one in told) == 1


def test_a_line_that_was_cut_off_does_not_spoil_the_next(here: Settings) -> None:
    registry.promote(here, "one", "ana", "better")
    with (here.adapters_dir / promoted.HISTORY).open("a") as file:
        file.write('{"number": 2, "adapter": "ha')
    assert registry.rollback(here, "tiny", "ana", "back").number == 2
    assert [entry.adapter for entry in registry.history(here)][1:] == [""]


def test_an_adapter_that_was_changed_after_it_was_promoted_does_not_come_back(here: Settings) -> None:
    entry = registry.promote(here, "one", "ana", "better")
    registry.rollback(here, "tiny", "ana", "back")
    path = here.adapters_dir / entry.adapter / "adapter.gguf"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="is not the file its manifest lists"):
        registry.rollback(here, "tiny", "ana", "again", to=entry.adapter)


def test_lineage_says_where_an_adapter_comes_from(here: Settings) -> None:
    entry = registry.promote(here, "one", "ana", "better")
    drawn = registry.lineage(here)
    nodes = {node["id"]: node for node in drawn["nodes"]}
    assert nodes[f"adapter:{entry.adapter}"] | {"live": True, "who": "ana", "reason": "better"} == nodes[f"adapter:{entry.adapter}"]
    assert {(edge["from"], edge["to"]) for edge in drawn["edges"]} >= {
        ("base:tiny", "run:one"), ("version:v1", "run:one"), ("run:one", f"adapter:{entry.adapter}"), ("version:v1", "run:two"),
    }  # fmt: skip
