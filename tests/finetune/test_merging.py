"""A merged model is a model of its own, and says what the adapter said."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import pytest

from errors import InputError
from finetune import merging, orders, runs
from finetune.export import Quant
from finetune.orders import Order
from inference import catalogue, manifest
from inference.select import open_engine
from settings import Settings
from tests.finetune import shelved
from tests.inference import adapters, tiny


@pytest.fixture
def here(settings: Settings) -> Settings:
    """A run of the tiny model that left an adapter."""
    model = tiny.build(settings.models_dir / "tiny")
    shelved.version(settings, count=2, held=1)
    runs.create(settings, Order("mine", "tiny", "v1", orders.recipe("sft"), "ana"))
    adapters.build(settings.runs_dir / "mine" / "adapter", model)
    return settings


def said(settings: Settings, model: str) -> list[int]:
    engine = open_engine(settings, model).engine
    try:
        return [token.id for token in engine.stream(tiny.pair(tokens=8), Event())]
    finally:
        engine.close()


def test_a_merged_model_says_what_the_adapter_says_on_both_engines(here: Settings) -> None:
    listed = here.models_dir / "tiny" / manifest.MANIFEST
    offset = {"kind": "overall", "groups": [["stable"], ["worse", "improved"]], "added": [0.0, 1.0], "level": 1.0, "contrast": 2.0}
    listed.write_text(json.dumps({**json.loads(listed.read_text()), "offsets": [offset]}))
    folder: Path = merging.merge(here, "mine", "tiny-mine", Quant.F32)
    assert manifest.read(folder).offsets == manifest.read(listed.parent).offsets != ()
    worn = said(here, "tiny+mine@gguf")
    assert said(here, "tiny@gguf") != worn
    assert said(here, "tiny-mine@gguf") == worn
    assert said(here, "tiny-mine@torch") == worn
    assert catalogue.verify(here, "tiny-mine").ok
    assert folder == here.models_dir / "tiny-mine"


def test_a_quantised_one_loads_and_a_taken_name_is_refused(here: Settings) -> None:
    merging.merge(here, "mine", "small")
    assert len(said(here, "small")) == 8
    for name in ("small", "Tiny/../x"):
        with pytest.raises(InputError, match="is taken or no name of a model"):
            merging.merge(here, "mine", name)
    assert sorted(path.name for path in here.models_dir.iterdir()) == ["small", "tiny"]
