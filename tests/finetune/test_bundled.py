"""Building and exporting: the same bytes each time, damage refused in a sentence, torch and llama.cpp agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import ModelNotLoaded, TuneError
from finetune import base, bundled, export, ship
from inference import catalogue, manifest, weights
from inference.torch_engine import TorchEngine
from settings import Settings
from tests.finetune import tiny


def language_parts(seed: int = 2) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    parts = {"added_rows": draw.normal(0, 0.1, (40, 64)).astype(np.float16)}
    for name in weights.names(2):
        if "_proj" in name:
            rows, columns = tiny.TinyBase().tensor(name).shape
            stem = name.removesuffix(".weight")
            parts |= {f"{stem}.lora_A": draw.normal(0, 0.1, (4, columns)).astype(np.float16)}
            parts |= {f"{stem}.lora_B": draw.normal(0, 0.1, (rows, 4)).astype(np.float16)}
    return parts


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Trained parts of the tiny model, as shipped."""
    ship.write(tmp_path / "parts", tiny.recipe(), tiny.tower(), language_parts())
    return tmp_path / "parts"


@pytest.fixture
def tiny_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tiny base in the place of the wheel's."""

    @contextmanager
    def opened(_path: Path) -> Iterator[tiny.TinyBase]:
        yield tiny.TinyBase()

    monkeypatch.setattr(base, "wheel", lambda: tmp_path / "wheel")
    monkeypatch.setattr(base, "opened", opened)


@pytest.mark.usefixtures("tiny_base")
def test_building_twice_gives_the_same_bytes(settings: Settings, tmp_path: Path, parts: Path) -> None:
    first = bundled.build(settings, parts=parts, hf=True)
    second = bundled.build(Settings(data_dir=tmp_path / "other"), parts=parts, hf=True)
    names = [*bundled.CHECKED, bundled.MANIFEST]
    assert [base.sha256(first / name) for name in names] == [base.sha256(second / name) for name in names]


@pytest.mark.usefixtures("tiny_base")
def test_a_built_model_is_not_built_again_and_leaves_no_scraps(settings: Settings, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bundled.build(settings, parts=parts)
    monkeypatch.setattr(base, "wheel", lambda: pytest.fail("the base was read again"))
    assert bundled.build(settings, parts=parts) == folder
    assert [path.name for path in settings.models_dir.iterdir()] == ["bundled"]
    assert catalogue.verify(settings, "bundled").ok


@pytest.mark.usefixtures("tiny_base")
def test_a_result_that_was_not_tested_is_refused(settings: Settings, parts: Path) -> None:
    record = json.loads((parts / bundled.PARTS_FILE).read_text())
    ship.save_record(parts, {**record, "built": {export.TEXT_FILE: "0" * 64}})
    with pytest.raises(TuneError, match="differs from the one that was tested"):
        bundled.build(settings, parts=parts)
    assert not list(settings.models_dir.iterdir())


@pytest.mark.usefixtures("tiny_base")
def test_damage_on_disk_is_found_and_mended(settings: Settings, parts: Path) -> None:
    folder = bundled.build(settings, parts=parts)
    (folder / export.TEXT_FILE).write_bytes(b"cut short")
    assert not catalogue.verify(settings, "bundled").ok
    bundled.build(settings, parts=parts)
    assert catalogue.verify(settings, "bundled").ok


def test_a_damaged_part_is_named(settings: Settings, parts: Path) -> None:
    with (parts / bundled.TOWER_PART).open("ab") as file:
        file.write(b"x")
    with pytest.raises(TuneError, match=r"tower\.safetensors: this trained part is missing or damaged"):
        bundled.build(settings, parts=parts)


def test_a_damaged_wheel_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERVAL_BASE_WHEEL", str(tiny.wheel(tmp_path)))
    with pytest.raises(TuneError, match=r"damaged .* delete it and try again"):
        base.wheel()


def test_a_missing_wheel_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERVAL_BASE_WHEEL", str(tmp_path / "nowhere.whl"))
    with pytest.raises(TuneError, match=r"nowhere\.whl: the base model's wheel is not there"):
        base.wheel()


def test_merging_is_exact_whatever_the_order_of_sums() -> None:
    """The hash of the built model must not depend on which BLAS a machine has."""
    draw = np.random.default_rng(0)
    weight = draw.normal(0, 0.1, (24, 32)).astype(np.float32)
    down, up = draw.normal(0, 0.2, (16, 32)).astype(np.float16), draw.normal(0, 0.2, (24, 16)).astype(np.float16)
    order = draw.permutation(16)
    assert np.array_equal(bundled.merged(weight, down, up, 2.0), bundled.merged(weight, down[order], up[:, order], 2.0))


def test_factors_too_large_for_an_exact_merge_are_refused() -> None:
    with pytest.raises(TuneError, match="cannot be merged exactly"):
        bundled.merged(np.zeros((2, 2), np.float32), np.full((4, 2), 9, np.float16), np.full((2, 4), 9, np.float16), 2.0)


def test_rotary_order_goes_there_and_back() -> None:
    weight = np.arange(12 * 3, dtype=np.float32).reshape(12, 3)
    assert np.array_equal(weights.deinterleave(weights.interleave(weight, 3), 3), weight)
    assert not np.array_equal(weights.interleave(weight, 3), weight)


@pytest.mark.usefixtures("tiny_base")
def test_a_transformers_folder_exports_to_the_same_projector(settings: Settings, parts: Path, tmp_path: Path) -> None:
    folder = bundled.build(settings, parts=parts, hf=True)
    text, mmproj = export.export(folder / "hf", tmp_path / "gguf")
    assert base.sha256(mmproj) == base.sha256(folder / export.MMPROJ_FILE)
    assert text.stat().st_size == (folder / export.TEXT_FILE).stat().st_size
    assert sorted(path.name for path in (tmp_path / "gguf").iterdir()) == sorted((text.name, mmproj.name))


def test_an_unknown_family_is_not_exported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unknown_vlm"}))
    with pytest.raises(TuneError, match="family unknown_vlm cannot be exported; known are idefics3"):
        export.export(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("tiny_base")
def test_a_folder_without_a_tensor_leaves_nothing_behind(settings: Settings, parts: Path, tmp_path: Path) -> None:
    folder = bundled.build(settings, parts=parts, hf=True) / "hf"
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TuneError, match=r"it has no tensor .*layers\.2\."):
        export.export(folder, tmp_path / "gguf")
    assert not list((tmp_path / "gguf").iterdir())


@pytest.mark.usefixtures("tiny_base")
def test_a_disk_that_fills_up_during_export_leaves_nothing_behind(
    settings: Settings, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bundled.build(settings, parts=parts, hf=True) / "hf"

    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"half a projector")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "mmproj_gguf", full)
    assert export.main([str(folder), "--out", str(tmp_path / "gguf")]) == 1
    assert "cannot be written (No space left on device); make room" in capsys.readouterr().err
    assert not list((tmp_path / "gguf").iterdir())


def test_a_tower_that_llama_cpp_would_misread_is_refused(tmp_path: Path) -> None:
    """llama.cpp tells swapped inner matrices by their width; of equal widths it made other image tokens than torch, silently."""
    square = replace(tiny.shape(), vision=replace(tiny.VISION, intermediate=tiny.VISION.hidden))
    with pytest.raises(TuneError, match="would be read wrongly"):
        export.mmproj_gguf(tmp_path / "square.gguf", square, tiny.tower().__getitem__)


@pytest.mark.usefixtures("tiny_base")
def test_the_transformers_weights_are_made_when_first_asked_for_and_hold_what_the_pair_holds(settings: Settings, parts: Path) -> None:
    """Written with the model they made it 463 MB on disk, for an engine that most machines never use."""
    ship.save_record(parts, {**(record := json.loads((parts / bundled.PARTS_FILE).read_text())), "built": built(parts, settings)})
    assert set(record) == set(json.loads((parts / bundled.PARTS_FILE).read_text()))
    folder = bundled.build(settings, parts=parts)
    assert not (folder / bundled.WEIGHTS).exists()
    assert catalogue.models(settings)[0].engines == ("gguf", "torch")
    assert {file.outcome for file in catalogue.verify(settings, "bundled").files} == {"ok", "on demand"}
    engine = TorchEngine(folder, 512, threads=1)
    try:
        stages: list[str] = []
        engine.load(lambda stage: stages.append(stage.text))
    finally:
        engine.close()
    assert stages == ["writing the model's transformers weights from its GGUF pair, once", "loading the model"]
    assert catalogue.verify(settings, "bundled").ok
    values = export.stored(folder / bundled.WEIGHTS)("model.text_model.layers.1.self_attn.q_proj.weight")
    wanted = export.through(merged_by_hand("model.text_model.layers.1.self_attn.q_proj", parts), export.Quant.F16)
    assert np.array_equal(values, wanted.astype(np.float16))


def built(parts: Path, settings: Settings) -> dict[str, str]:
    """Hashes of the built model, as shipping learns them."""
    other = Settings(data_dir=settings.data_dir.parent / "ship")
    return dict(manifest.read(bundled.build(other, parts=parts)).files)


def merged_by_hand(stem: str, parts: Path) -> Any:
    """One matrix of the language model with its LoRA product added."""
    trained = bundled.read_parts(parts)
    down, up = (trained.language[f"{stem}.lora_{end}"].astype(np.float64) for end in "AB")
    return (tiny.TinyBase().tensor(f"{stem}.weight") + trained.scale * up @ down).astype(np.float32)


@pytest.mark.usefixtures("tiny_base")
def test_weights_that_come_out_otherwise_are_refused_and_leave_nothing(settings: Settings, parts: Path) -> None:
    folder = bundled.build(settings, parts=parts)
    (folder / bundled.WEIGHTS).unlink()
    content = json.loads((folder / bundled.MANIFEST).read_text())
    content["files"][bundled.WEIGHTS] = "0" * 64
    (folder / bundled.MANIFEST).write_text(json.dumps(content))
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(ModelNotLoaded, match="would differ from the file that was tested"):
        weights.made(folder, manifest.read(folder))
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.usefixtures("tiny_base")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(settings: Settings, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bundled.build(settings, parts=parts)
    (folder / bundled.WEIGHTS).unlink()
    before = sorted(path.name for path in folder.rglob("*"))

    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "write", full)
    with pytest.raises(ModelNotLoaded, match=r"cannot be written \(No space left on device\); free 1 GB"):
        weights.made(folder, manifest.read(folder))
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.usefixtures("tiny_base")
def test_offsets_beside_the_parts_are_carried_into_the_built_model_and_those_of_other_weights_are_not(
    settings: Settings, parts: Path
) -> None:
    """They may be fitted after the model was built; both engines take them from its manifest."""
    folder = bundled.build(settings, parts=parts)
    assert manifest.read(folder).offsets == ()
    fitted = {"kind": "overall", "groups": [["stable"], ["worse", "improved"]], "added": [0.0, 0.5], "level": 0.5, "contrast": 6.0}
    revision = json.loads((parts / bundled.PARTS_FILE).read_text())["revision"]
    for of, carried in ((revision, True), ("0" * 12, False)):
        (parts / bundled.OFFSETS_FILE).write_text(json.dumps({"revision": of, "offsets": [fitted]}))
        for where in (settings, Settings(data_dir=settings.data_dir / of)):
            listed = manifest.read(bundled.build(where, parts=parts))
            cards = [listed.card(engine, 512, listed.weights) for engine in ("gguf", "torch")]
            assert [bool(card.offsets) for card in cards] == [carried] * 2
            assert not carried or cards[0].offsets[0].groups == (("stable",), ("worse", "improved"))
            assert catalogue.verify(where, "bundled").ok


@pytest.mark.usefixtures("tiny_base")
def test_agreement_with_the_full_weights_is_told_of_the_pair_it_was_measured_on_alone(settings: Settings, parts: Path) -> None:
    """It travels in the manifest with the pair's digest: neither other files nor another revision may carry it on."""
    assert manifest.read(bundled.build(settings, parts=parts)).parity is None
    record = json.loads((parts / bundled.PARTS_FILE).read_text())
    ship.save_record(parts, {**record, "built": built(parts, settings)})
    counted = {"asked": 30, "equal": 29}
    greedy = {**counted, "by_ability": {"temporal": {**counted, "share": 0.97}, "reasoning": {"asked": 0, "equal": 0}}}
    card = parts / bundled.CARD_FILE
    card.write_text(json.dumps({"revision": "0" * 12, "parity": {"greedy": greedy}}))
    assert manifest.read(bundled.build(settings, parts=parts)).measured is None
    card.write_text(json.dumps({"revision": record["revision"], "parity": {"greedy": greedy}}))
    listed = manifest.read(folder := bundled.build(settings, parts=parts))
    pair = listed.card("gguf", 512, (listed.text, listed.mmproj))
    assert pair.parity == (
        "Processor answers are the full-precision answers in 29 of 30 (95 % interval of the share 0.83 to 0.99) held-out questions: "
        "temporal 29 of 30."
    )
    second = {"asked": 30, "gguf": {"moved": 28}, "torch": {"moved": 30}}
    card.write_text(json.dumps({"revision": record["revision"], "parity": {"greedy": greedy, "second_image": second}}))
    told = manifest.read(bundled.build(settings, parts=parts)).measured
    assert told is not None
    assert told.told.endswith("moves the answer's likelihood in 28 of 30 (95 % interval of the share 0.79 to 0.98).")
    listed = manifest.read(folder)
    assert listed.measured is not None
    assert listed.measured.sha256 == pair.sha256
    assert listed.card("torch", 512, listed.weights).parity == ""
    (row,) = [entry for entry in catalogue.models(settings) if entry.path == folder]
    assert row.parity == listed.measured
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][listed.text] = "1" * 64
    (folder / "manifest.json").write_text(json.dumps(content))
    other = manifest.read(folder)
    assert (other.measured, other.card("gguf", 512, (other.text, other.mmproj)).parity) == (None, "")


def test_what_the_page_warns_of_is_what_the_card_measured() -> None:
    """The caution under every question names a score; other weights must not keep the old one."""
    card = json.loads((bundled.PARTS / bundled.CARD_FILE).read_text())
    assert bundled.caution() == card["caution"]


@pytest.mark.usefixtures("tiny_base")
def test_a_recipe_may_keep_some_layers_of_the_base(settings: Settings, tmp_path: Path, parts: Path) -> None:
    """Layer 1 of two is kept: it is layer 0 of what is built, with the adapter that was trained for it there."""
    words = {name.replace("layers.1", "layers.0"): value for name, value in language_parts().items() if "layers.0" not in name}
    ship.write(tmp_path / "kept", tiny.recipe(layers=[1]), tiny.tower(), words)
    folder = bundled.build(settings, parts=tmp_path / "kept", hf=True)
    assert json.loads((folder / "hf/config.json").read_text())["text_config"]["num_hidden_layers"] == 1
    values = export.stored(folder / bundled.WEIGHTS)("model.text_model.layers.0.self_attn.q_proj.weight")
    wanted = export.through(merged_by_hand("model.text_model.layers.1.self_attn.q_proj", parts), export.Quant.F16)
    assert np.array_equal(values, wanted.astype(np.float16))


def test_a_layer_that_the_base_does_not_have_is_refused() -> None:
    with pytest.raises(TuneError, match=r"the base has layers 0 to 1, not \(0, 2\); correct `layers`"):
        base.Kept(tiny.TinyBase(), (0, 2))  # type: ignore[arg-type]
