"""An adapter while the engine runs: it changes what is said, says what PEFT says, and taken off it leaves no trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Event

import pytest

from errors import Cancelled, ModelNotLoaded
from inference import promoted, select
from inference.engine import Engine, Request, Token, Wearer
from inference.gguf import GgufEngine
from inference.promoted import Entry
from inference.select import open_engine
from inference.torch_engine import TorchEngine
from settings import Settings
from tests.inference import adapters, tiny


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return adapters.build(tmp_path_factory.mktemp("run") / "adapter", tiny_model)


@pytest.fixture(params=["gguf", "torch"])
def engine(request: pytest.FixtureRequest, tiny_model: Path) -> Iterator[Engine]:
    made = GgufEngine(tiny_model, threads=1) if request.param == "gguf" else TorchEngine(tiny_model, threads=1)
    yield made
    made.close()


def said(engine: Engine, request: Request | None = None) -> list[Token]:
    return list(engine.stream(request or tiny.pair(tokens=8), Event()))


def test_an_adapter_put_on_and_taken_off_leaves_every_bit_as_it_was(engine: Engine, planted: Path) -> None:
    assert isinstance(engine, Wearer)
    before, bare = said(engine), engine.card
    engine.wear(planted)
    worn, card = said(engine), engine.card
    assert [token.id for token in worn] != [token.id for token in before]
    assert (card.name, bool(card.adapter)) == ("tiny+planted", True)
    assert card.sha256 != bare.sha256
    engine.wear(None)
    assert said(engine) == before
    assert engine.card == bare
    engine.wear(planted)
    assert said(engine) == worn
    assert engine.card == card


def test_a_stop_while_an_adapter_is_put_on_leaves_no_doubt_which_is_worn(engine: Engine, planted: Path) -> None:
    """The child had put it on and the engine thought it had not: taken back, it went on answering under the bare model's name."""
    assert isinstance(engine, Wearer)
    before, stop = said(engine), Event()
    engine.wear(planted)
    stop.set()
    with pytest.raises(Cancelled):
        list(engine.stream(tiny.pair(tokens=8), stop))
    engine.wear(None)
    assert said(engine) == before


def test_llama_cpp_says_what_peft_says(tiny_model: Path, planted: Path) -> None:
    """The golden answer: with the adapter on, both engines write the same tokens; opened with it or put on later."""
    requests = [tiny.pair(question, tokens=12) for question in ("What changed?", "Is it worse?", "Which image shows more disease?")]
    opened, late = GgufEngine(tiny_model, threads=1, adapter=planted), GgufEngine(tiny_model, threads=1)
    peft = TorchEngine(tiny_model, threads=1, adapter=planted)
    try:
        late.wear(planted)
        wanted = [[token.id for token in said(peft, request)] for request in requests]
        assert [[token.id for token in said(opened, request)] for request in requests] == wanted
        assert [[token.id for token in said(late, request)] for request in requests] == wanted
        assert opened.card.sha256 == late.card.sha256
        assert opened.card.adapter == peft.card.adapter
    finally:
        for one in (opened, late, peft):
            one.close()


def test_images_are_not_encoded_again_for_an_adapter(tiny_model: Path, planted: Path) -> None:
    engine = GgufEngine(tiny_model, threads=1)
    said(engine)
    engine.wear(planted)
    said(engine)
    assert (engine.timings.images_encoded, engine.timings.reused_tokens) == (0, 0)
    engine.close()


def test_an_engine_that_died_comes_back_with_its_adapter(tiny_model: Path, planted: Path) -> None:
    engine = GgufEngine(tiny_model, threads=1, adapter=planted)
    worn = said(engine)
    engine._child.end()
    assert said(engine) == worn
    engine.close()


def test_an_adapter_of_another_model_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    other = adapters.build(tmp_path / "adapter", tiny.build(tmp_path / "other", seed=5))
    assert isinstance(engine, Wearer)
    before = said(engine)
    with pytest.raises(ModelNotLoaded, match="was trained on other weights than tiny's"):
        engine.wear(other)
    assert [token.id for token in said(engine)] == [token.id for token in before]


def test_a_folder_that_says_no_base_is_no_adapter(tiny_model: Path, tmp_path: Path) -> None:
    """An adapter from elsewhere was answered with how to build the bundled model."""
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelNotLoaded, match=r"nothing says what base it was trained on; give the folder a training run left"):
        GgufEngine(tiny_model, threads=1, adapter=tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelNotLoaded, match=r"only as a pickle, which runs code"):
        GgufEngine(tiny_model, threads=1, adapter=tmp_path)


def test_a_changed_adapter_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    own = adapters.build(tmp_path / "adapter", tiny_model)
    content = bytearray((own / "adapter.gguf").read_bytes())
    content[-1] ^= 1
    (own / "adapter.gguf").write_bytes(content)
    with pytest.raises(ModelNotLoaded, match="is not the file its manifest lists"):
        GgufEngine(tiny_model, threads=1, adapter=own)


@pytest.fixture
def here(settings: Settings, tiny_model: Path, planted: Path) -> Settings:
    """The tiny model under its name, and the adapter as one that may be promoted."""
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / "tiny").symlink_to(tiny_model)
    settings.adapters_dir.mkdir()
    (settings.adapters_dir / "planted-1").symlink_to(planted)
    return settings


def wrote(here: Settings, *adapters: str) -> None:
    """One line of history for each adapter."""
    rows = [Entry(number, "2026-11-22T12:00:00+00:00", "r", "promote", "tiny", name) for number, name in enumerate(adapters, 1)]
    (here.adapters_dir / promoted.HISTORY).write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("model", "history", "worn"),
    [
        ("tiny", (), ""),
        ("tiny", ("planted-1",), "tiny+planted"),
        ("tiny@torch", ("planted-1",), "tiny+planted"),
        ("tiny", ("planted-1", ""), ""),
        ("tiny+none", ("planted-1",), ""),
        ("tiny+planted-1", (), "tiny+planted"),
        ("tiny+planted-1@gguf", (), "tiny+planted"),
    ],
)
def test_a_models_name_says_which_adapter_it_wears(here: Settings, model: str, history: tuple[str, ...], worn: str) -> None:
    wrote(here, *history)
    selection = open_engine(here, model)
    assert selection.engine.card.name == (worn or "tiny")
    assert ("wears the adapter planted-1" in selection.reason) == (bool(worn) and "+" not in model)
    selection.engine.close()


def test_a_model_whose_weights_were_replaced_answers_alone_and_says_so(here: Settings, tmp_path: Path) -> None:
    wrote(here, "planted-1")
    (here.models_dir / "tiny").unlink()
    (here.models_dir / "tiny").symlink_to(tiny.build(tmp_path / "other", seed=5))
    selection = open_engine(here, "tiny")
    assert selection.engine.card.name == "tiny"
    assert "was trained on other weights than tiny's" in selection.reason
    assert selection.reason.endswith("the model answers alone.")
    selection.engine.close()


def test_a_line_that_was_cut_off_is_none_and_a_damaged_one_is_a_sentence(here: Settings) -> None:
    wrote(here, "planted-1")
    path = here.adapters_dir / promoted.HISTORY
    with path.open("a") as file:
        file.write('{"number": 2, "adap')
    assert promoted.live(here.adapters_dir, "tiny") is not None
    path.write_text("nonsense\n")
    with pytest.raises(ModelNotLoaded, match=r"history.jsonl is damaged"):
        open_engine(here, "tiny")
    assert select.resolve(here, "tiny").live == "tiny"
