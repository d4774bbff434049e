"""What `models list` and `models verify` tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import ModelNotLoaded
from inference import catalogue
from settings import Settings


@pytest.fixture
def mine(settings: Settings, own_model: Path) -> Path:
    """A model of the reader's own in the models directory."""
    settings.models_dir.mkdir(parents=True)
    return own_model.rename(settings.models_dir / "mine")


def test_a_fresh_machine_lists_the_bundled_model_with_the_command_that_makes_it(settings: Settings) -> None:
    entries = catalogue.models(settings)
    assert (entries[0].name, {entry.state for entry in entries}) == ("bundled", {"missing"})
    assert "models build bundled" in entries[0].note
    with pytest.raises(ModelNotLoaded, match="models build bundled"):
        catalogue.verify(settings, "bundled")


def test_a_model_of_ones_own_is_listed_after_it_and_verified(settings: Settings, mine: Path) -> None:
    entry = catalogue.models(settings)[-1]
    assert (entry.name, entry.state, entry.engines, entry.family) == ("mine", "ready", ("gguf", "torch"), "idefics3")
    found = catalogue.verify(settings, "mine")
    assert found.ok
    assert {"text-f16.gguf", "mmproj-f16.gguf", "hf/model.safetensors"} <= {file.name for file in found.files}


def test_damage_and_weights_nobody_listed_are_named(settings: Settings, mine: Path) -> None:
    text = mine / "text-f16.gguf"
    data = bytearray(text.read_bytes())
    data[-1] ^= 1
    text.write_bytes(data)
    (mine / "mmproj-f16.gguf").unlink()
    (mine / "hf" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    outcomes = {file.name: file.outcome for file in catalogue.verify(settings, "mine").files}
    assert outcomes["text-f16.gguf"] == "changed"
    assert outcomes["mmproj-f16.gguf"] == "missing"
    assert outcomes["hf/pytorch_model.bin"] == "unlisted"
    assert outcomes["hf/config.json"] == "ok"
    assert not catalogue.verify(settings, "mine").ok
    entry = catalogue.models(settings)[-1]
    assert (entry.state, "mmproj-f16.gguf" in entry.note) == ("damaged", True)


def test_a_manifest_that_cannot_be_read_is_listed_as_damaged(settings: Settings, mine: Path) -> None:
    (mine / "manifest.json").write_text("{")
    assert catalogue.models(settings)[-1].state == "damaged"


@pytest.mark.parametrize("name", ["", "..", "../mine", "/etc", "none"])
def test_a_name_cannot_reach_outside_the_models_directory(settings: Settings, mine: Path, name: str) -> None:
    with pytest.raises(ModelNotLoaded, match="there is no model"):
        catalogue.verify(settings, name)


def test_every_model_of_the_catalogue_says_what_a_reader_needs_to_choose_it() -> None:
    """Source, licence, size, hardware, tokens and order of images, scores with where they come from; the form of its family agrees."""
    from inference import chat, families

    listed = {entry.name: entry for entry in catalogue.listed()}
    assert {"bundled", "med-mantis", "mim-llava-med", "mantis-8b-siglip", "mantis-8b-idefics2", "llava-med-v1.5"} <= listed.keys()
    assert {"medgemma-1.5-4b", "lingshu-7b", "medgemma-4b-gguf", "smolvlm2-500m-gguf"} <= listed.keys()
    assert [name for name, entry in listed.items() if not entry.released] == ["med-mantis", "mim-llava-med"]
    rows = {family.name: family for family in families.FAMILIES}
    for entry in listed.values():
        assert entry.family in rows, entry.name
        assert entry.image_order == rows[entry.family].order
        assert set(entry.engines) <= {"gguf", "torch"}
        if "gguf" in entry.engines:
            assert entry.family in chat.TEMPLATES
        assert all(score.source for score in entry.scores)
        assert entry.command or not entry.released


def test_a_catalogue_model_that_is_not_there_says_how_to_have_it(settings: Settings) -> None:
    notes = {entry.name: entry.note for entry in catalogue.models(settings)}
    assert notes["lingshu-7b"] == "run `python app.py models add lingshu-7b`"
    assert "not released by its authors yet" in notes["med-mantis"]
    with pytest.raises(ModelNotLoaded, match="med-mantis is not on this machine yet; not released"):
        catalogue.folder_of(settings, "med-mantis")
