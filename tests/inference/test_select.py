"""Which engine answers, and the sentence that says why."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from errors import ModelNotLoaded
from inference import hardware, select
from inference.gguf import GgufEngine
from inference.select import Graphics, Selection, open_engine
from inference.torch_engine import TorchEngine
from settings import Settings, load

NONE = Graphics(False, "no NVIDIA driver is loaded")
LARGE = Graphics(True, "a card has 40.0 GB free and the model takes 1.4 GB")


@pytest.fixture
def here(settings: Settings, tiny_model: Path) -> Settings:
    """Settings whose models directory has the tiny model under the name `tiny`."""
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / "tiny").symlink_to(tiny_model)
    return settings


def opened(settings: Settings, model: str | None = None, engine: str | None = None) -> Selection:
    selection = open_engine(settings, model, engine)
    selection.engine.close()
    return selection


@pytest.mark.parametrize(
    ("model", "engine", "kind", "said"),
    [
        ("tiny", None, GgufEngine, "llama.cpp on .* CPU threads, because no NVIDIA driver is loaded."),
        ("tiny@gguf", None, GgufEngine, "because that was asked for."),
        ("tiny", "gguf", GgufEngine, "because that was asked for."),
        ("tiny@torch", None, TorchEngine, "transformers on .* CPU threads, because that was asked for and no NVIDIA"),
        ("tiny", "torch", TorchEngine, "transformers"),
        ("tiny@torch", "gguf", TorchEngine, "transformers"),
        ("{folder}", None, GgufEngine, "llama.cpp"),
        ("{folder}@torch", None, TorchEngine, "transformers"),
        ("{folder}/hf", None, TorchEngine, "because it has no GGUF files and no NVIDIA driver"),
        ("{folder}/text-f16.gguf", None, GgufEngine, "because that was asked for."),
    ],
)
def test_a_models_name_a_folder_or_a_file_opens_the_engine_it_asks_for(
    here: Settings, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, model: str, engine: str | None, kind: type, said: str
) -> None:
    monkeypatch.setattr(select, "graphics", lambda named: NONE)
    selection = opened(here, model.format(folder=tiny_model), engine)
    assert type(selection.engine) is kind
    assert re.search(said, selection.reason)


def test_the_settings_choose_where_nothing_else_does(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "graphics", lambda named: NONE)
    asked = load(data_dir=here.data_dir, model="tiny", engine="torch", context_tokens=1024, max_images=3)
    card = opened(asked).engine.card
    assert (card.engine, card.context_tokens, card.max_images) == ("torch", 1024, 3)


def test_a_graphics_card_with_room_runs_it_and_one_without_does_not(tiny_model: Path) -> None:
    named = select.resolve(load(), str(tiny_model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "graphics", lambda named: LARGE)
        assert select.choose(named, "auto")[:2] == ("torch", "cuda")
        assert select.choose(named, "gguf")[:2] == ("gguf", "cpu")
        patch.setattr(select, "graphics", lambda named: Graphics(False, "a card has 0.2 GB free and the model takes 1.4 GB"))
        kind, device, reason = select.choose(named, "auto")
        assert (kind, device) == ("gguf", "cpu")
        assert "0.2 GB free" in reason


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nothing", "there is no model 'nothing' here"),
        ("bundled", "not on this machine yet; run `python app.py models build bundled`"),
        ("../tiny", "does not exist"),
        ("/no/such/folder", "does not exist"),
        ("/no/such/file.gguf", "does not exist"),
        ("tiny@vllm", "no model 'tiny@vllm'"),
        ("{tmp}", "is not a model"),
        ("{tmp}/own.gguf", "add it with `python app.py models add .*own.gguf --family FAMILY`"),
    ],
)
def test_an_unknown_model_is_a_sentence_with_the_next_step(here: Settings, tmp_path: Path, model: str, said: str) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelNotLoaded, match=said):
        open_engine(here, model.format(tmp=tmp_path))


def test_an_engine_the_model_has_no_files_for_is_refused(here: Settings, own_model: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="no files for the gguf engine; it has them for torch"):
        open_engine(here, f"{own_model / 'hf'}@gguf")
    with pytest.raises(ModelNotLoaded, match="there is no engine 'tpu'"):
        open_engine(here, "tiny", "tpu")


def test_the_cpu_path_does_not_import_torch(here: Settings) -> None:
    """A cold `ask` has fifteen seconds; importing torch alone may take most of them."""
    code = (
        "import sys, settings, pathlib; from inference import answer, images; from inference.select import open_engine\n"
        f"s = open_engine(settings.load(data_dir=pathlib.Path({str(here.data_dir)!r})), 'tiny@gguf'); s.engine.load(); s.engine.close()\n"
        "print([name for name in ('torch', 'transformers', 'llama_cpp', 'gradio') if name in sys.modules])"
    )
    root = Path(select.__file__).resolve().parents[1]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert ran.stdout.strip() == "[]"


def test_physical_cores_respect_a_containers_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(hardware, "QUOTA", quota)
    counts = []
    for text in ("max 100000", "100000 100000", "50000 100000", "nonsense"):
        quota.write_text(text)
        hardware.physical_cores.cache_clear()
        counts.append(hardware.physical_cores())
    hardware.physical_cores.cache_clear()
    assert counts[1:3] == [1, 1]
    assert counts[0] == counts[3] >= 1


def test_an_adapter_is_named_behind_its_base(here: Settings, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run+1" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    named = select.resolve(here, f"tiny+{folder}")
    assert (named.folder, named.wanted, named.adapter) == (here.models_dir / "tiny", "torch", folder)
    assert select.resolve(here, f"{tiny_model}+{folder}@torch").adapter == folder
    assert select.resolve(here, f"tiny+{folder}@gguf").wanted == "gguf"
    with pytest.raises(ModelNotLoaded, match=r"has no manifest.json, so nothing says what base"):
        open_engine(here, f"tiny+{folder}")
    with pytest.raises(ModelNotLoaded, match="there is no model"):
        select.resolve(here, "tiny+nothing")
