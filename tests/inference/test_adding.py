"""Putting a model on a machine: downloads that are cut and go on, licences, local folders and files, and everything that is refused."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from errors import InputError, ModelNotLoaded
from inference import adding, catalogue, fetching, manifest
from inference.adding import Wishes
from inference.catalogue import Listed
from inference.select import open_engine
from settings import Settings, load
from tests.finetune import tiny_families
from tests.inference import tiny
from tests.inference.hub import COMMIT, Hub, hub

SAID: list[tuple[str, float]] = []


def tell(words: str, share: float) -> None:
    SAID.append((words, share))


def entry(**fields: object) -> Listed:
    made = {"name": "listed", "family": "llava", "engines": ("torch",), "licence": "MIT", "summary": "For a test.", "size_gb": 0.1}
    made |= {"source": "https://example.org/lab/listed", "repository": "lab/listed", "hardware": "any", "tokens_per_image": 4, "tile": 28}
    return Listed.model_validate({**made, "context_tokens": 1024, **fields})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A published LLaVA with a pickle, a script and a second copy of its weights beside the safetensors."""
    folder = tiny_families.build(tmp_path / "repository", "llava")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04." * 2000)
    (folder / "modeling_llava.py").write_text("raise SystemExit")
    (folder / "original").mkdir()
    (folder / "original" / "consolidated.safetensors").write_bytes(bytes(5000))
    return folder


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[Hub]:
    with hub(listed=repository) as made:
        yield made


@pytest.fixture
def here(served: Hub, settings: Settings) -> Settings:
    return load(data_dir=settings.data_dir, hub_url=served.url, hub_token="allowed")


@pytest.fixture(autouse=True)
def listing(monkeypatch: pytest.MonkeyPatch) -> None:
    SAID.clear()
    monkeypatch.setattr(
        catalogue, "listed", lambda: (entry(), entry(name="bound", terms="research only"), entry(name="later", released=False))
    )


def test_a_model_of_the_catalogue_is_downloaded_pinned_and_answers(here: Settings, served: Hub) -> None:
    folder = adding.add(here, "listed", Wishes(), tell)
    made = manifest.read(folder)
    assert (made.name, made.family, made.licence, made.revision, made.tokens_per_image) == ("listed", "llava", "MIT", COMMIT, 4)
    names = {path.name for path in (folder / "hf").iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"} <= names
    assert names.isdisjoint({"pytorch_model.bin", "modeling_llava.py", "consolidated.safetensors"})
    assert catalogue.verify(here, "listed").ok
    assert SAID[-2] == ("downloading listed", 1.0)
    assert [token for path, _, token in served.asked if path.startswith("/bytes/") and token] == []
    selection = open_engine(here, "listed")
    assert list(selection.engine.stream(tiny.pair(tokens=2), Event()))
    selection.engine.close()


def test_a_download_that_breaks_off_goes_on_by_itself_and_in_the_next_run(here: Settings, served: Hub) -> None:
    """Two breaks are mended in the same run; more leave what came for the next one, which asks only for the rest."""
    served.breaks = fetching.TRIES + 1
    with pytest.raises(ModelNotLoaded, match=r"did not arrive whole .*run the command again to go on"):
        adding.add(here, "listed", Wishes(), tell)
    assert not (here.models_dir / "listed").exists()
    part = next(here.models_dir.rglob("*.part"))
    had = part.stat().st_size
    served.asked.clear()
    adding.add(here, "listed", Wishes(), tell)
    assert next(wanted for path, wanted, _ in served.asked if wanted) == f"bytes={had}-"
    assert catalogue.verify(here, "listed").ok
    assert max(share for _, share in SAID) == 1.0


def test_a_connection_that_is_reset_is_not_counted_twice(here: Settings, served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before a reset was told again with the next try, and the progress went over the whole."""
    read, resets = http.client.HTTPResponse.read, [2]

    def reset(answer: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        if resets[0] and amount == fetching.CHUNK:
            resets[0] -= 1
            if resets[0] == 0:
                raise ConnectionResetError("reset")
            return read(answer, 700)
        return read(answer, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", reset)
    adding.add(here, "listed", Wishes(), tell)
    assert catalogue.verify(here, "listed").ok
    assert resets == [0]
    assert max(share for _, share in SAID) == 1.0


def test_bytes_that_are_not_the_listed_ones_are_deleted(here: Settings, served: Hub) -> None:
    served.lies = True
    with pytest.raises(ModelNotLoaded, match=r"is not the file the hub lists \(its hash differs\); it was deleted"):
        adding.add(here, "listed", Wishes(), tell)
    assert not list(here.models_dir.rglob("*.safetensors*"))


def test_terms_are_accepted_in_so_many_words_and_a_gated_model_needs_a_token(here: Settings, served: Hub) -> None:
    with pytest.raises(
        InputError, match=r"bound is under MIT: research only; read it at https://example.org/lab/listed, then add --accept"
    ):
        adding.add(here, "bound", Wishes(), tell)
    assert served.asked == []
    assert adding.add(here, "bound", Wishes(accepted=True), tell).name == "bound"
    served.gated = True
    nobody = load(data_dir=here.data_dir, hub_url=served.url)
    with pytest.raises(ModelNotLoaded, match="accept them there and set INTERVAL_HUB_TOKEN"):
        adding.add(nobody, "listed", Wishes(), tell)
    assert adding.add(here, "listed", Wishes(), tell).is_dir()


def test_what_is_not_released_gone_or_out_of_reach_is_a_sentence(here: Settings, served: Hub) -> None:
    with pytest.raises(ModelNotLoaded, match="have not released its weights yet"):
        adding.add(here, "later", Wishes(), tell)
    with pytest.raises(ModelNotLoaded, match="neither a model of"):
        adding.add(here, "no-such", Wishes(), tell)
    served.repositories.clear()
    with pytest.raises(ModelNotLoaded, match="has no lab/listed any more"):
        adding.add(here, "listed", Wishes(), tell)
    gone = load(data_dir=here.data_dir, hub_url="http://127.0.0.1:9")
    with pytest.raises(ModelNotLoaded, match=r"127.0.0.1:9 cannot be reached .*or add the model by its path"):
        adding.add(gone, "listed", Wishes(), tell)


def test_a_transformers_folder_is_taken_with_its_data_and_without_its_code(settings: Settings, repository: Path) -> None:
    folder = adding.add(settings, str(repository), Wishes(licence="Apache-2.0"), tell)
    made = manifest.read(folder)
    assert (made.name, made.family, made.licence, made.engines) == ("repository", "llava", "Apache-2.0", ("torch",))
    assert not list(folder.rglob("*.py"))
    assert catalogue.verify(settings, "repository").ok
    with pytest.raises(InputError, match="there is a model repository already"):
        adding.add(settings, str(repository), Wishes(), tell)
    assert adding.remove(settings, "repository") > 1000
    assert list(settings.models_dir.iterdir()) == []
    assert (repository / "model.safetensors").is_file()


def test_a_gguf_pair_is_opened_once_and_described(settings: Settings, own_model: Path) -> None:
    (own_model / "manifest.json").unlink()
    text = own_model / "text-f16.gguf"
    with pytest.raises(InputError, match=r"add --family with one of gemma3, idefics3, qwen2\.5-vl, qwen3-vl, smolvlm"):
        adding.add(settings, str(text), Wishes(), tell)
    folder = adding.add(settings, str(text), Wishes(name="pair", family="idefics3", tile=64), tell)
    made = manifest.read(folder)
    assert (made.tokens_per_image, made.context_tokens, made.engines) == (4, 2048, ("gguf",))
    selection = open_engine(settings, "pair")
    assert len(list(selection.engine.stream(tiny.pair(tokens=3), Event()))) == 3
    selection.engine.close()
    with pytest.raises(ModelNotLoaded, match="of another family than its manifest says"):
        adding.add(settings, str(text), Wishes(name="other", family="gemma3", tile=64), tell)
    assert [path.name for path in settings.models_dir.iterdir()] == ["pair"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def renamed(path: Path) -> None:
    path.write_bytes(b"GGUF" + bytes(4000))


def pickled(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x95" + bytes(4000))


@pytest.mark.parametrize(
    ("damage", "said"), [(cut, "is cut short"), (renamed, "is no safetensors file"), (pickled, "is no safetensors file")]
)
def test_damaged_weights_are_refused_before_anything_reads_them(settings: Settings, repository: Path, damage: object, said: str) -> None:
    damage(repository / "model.safetensors")  # type: ignore[operator]
    with pytest.raises(ModelNotLoaded, match=said):
        adding.add(settings, str(repository), Wishes(), tell)
    assert not list(settings.models_dir.glob("*"))


def test_a_gguf_pair_that_is_cut_renamed_or_alone_is_refused(settings: Settings, own_model: Path, tmp_path: Path) -> None:
    wishes = Wishes(name="pair", family="idefics3", tile=64)
    text, mmproj = own_model / "text-f16.gguf", own_model / "mmproj-f16.gguf"
    whole = text.read_bytes()
    text.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelNotLoaded, match="cannot be loaded"):
        adding.add(settings, str(text), wishes, tell)
    text.write_bytes(b"\x80\x04\x95" + whole[3:])
    with pytest.raises(ModelNotLoaded, match="is no GGUF file, whatever its name says"):
        adding.add(settings, str(text), wishes, tell)
    text.write_bytes(mmproj.read_bytes())
    with pytest.raises(ModelNotLoaded, match="cannot be loaded"):
        adding.add(settings, str(text), wishes, tell)
    text.write_bytes(whole)
    with pytest.raises(ModelNotLoaded, match="is an image projector; give the text model"):
        adding.add(settings, str(mmproj), wishes, tell)
    mmproj.unlink()
    with pytest.raises(ModelNotLoaded, match="there is no image projector"):
        adding.add(settings, str(text), wishes, tell)
    shutil.copy(text, tmp_path / "weights.bin")
    with pytest.raises(ModelNotLoaded, match="is a pickle, which runs code"):
        adding.add(settings, str(tmp_path / "weights.bin"), wishes, tell)
    pickled(named := tmp_path / "named.gguf")
    with pytest.raises(ModelNotLoaded, match="is no GGUF file, whatever its name says"):
        adding.add(settings, str(named), Wishes(), tell)  # no family is asked for first
    (adapter := tmp_path / "adapter").mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelNotLoaded, match="is an adapter and no whole model"):
        adding.add(settings, str(adapter), Wishes(), tell)
    assert list(settings.models_dir.glob("*")) == []


@pytest.mark.parametrize("name", ["../outside", ".", "UPPER", "a/b", "-x", ""])
def test_a_name_stays_inside_the_models_directory(settings: Settings, repository: Path, name: str) -> None:
    if name:
        with pytest.raises(InputError, match="cannot be a model's name"):
            adding.add(settings, str(repository), Wishes(name=name), tell)
    with pytest.raises(ModelNotLoaded, match="there is no model"):
        adding.remove(settings, name)


def test_a_manifest_of_another_model_does_not_vouch_for_these_files(settings: Settings, own_model: Path) -> None:
    content = json.loads((own_model / "manifest.json").read_text())
    content["files"]["text-f16.gguf"] = "0" * 64
    (own_model / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ModelNotLoaded, match="SHA-256 differs"):
        adding.add(settings, str(own_model), Wishes(), tell)
