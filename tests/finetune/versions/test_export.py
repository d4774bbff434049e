"""Out and in again: every format gives back the same version to the bit, and what was changed on the way is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errors import InputError, TuneError
from finetune import medmim
from finetune.versions import corrections, export, shelf
from finetune.versions.build import Plan, build
from finetune.versions.shelf import Version
from tests.finetune.versions import samples
from tests.finetune.versions.reviews import render, reviewed


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """Of a Med-MIM file and what a reader corrected, with examples, held-back ones and preferences."""
    train, gate, root = samples.files(tmp_path / "given")
    plan = Plan(
        "mixed", files=(train,), roots=(root,), gates=(gate,), leave_out_leaked=True, held=0.2,
        reviewed=lambda films: corrections.gather([reviewed(number) for number in range(60, 64)], render, films),
    )  # fmt: skip
    found = build(tmp_path / "v", plan, lambda _: None)
    assert all(found.contents.parts)
    return found


@pytest.mark.parametrize("form", export.FORMATS)
def test_an_export_comes_back_the_same_to_the_bit(version: Version, tmp_path: Path, form: export.Format) -> None:
    folder = export.write(version, tmp_path / "out", form)
    back = export.take_in(tmp_path / "elsewhere", folder)
    assert (back.name, back.sha256, back.contents) == ("mixed", version.sha256, version.contents)
    for name in shelf.FILES:
        assert (back.folder / name).read_bytes() == (version.folder / name).read_bytes()
    assert {key: value for key, value in back.manifest.items() if key != "created"} == {
        key: value for key, value in version.manifest.items() if key != "created"
    }
    shelf.check(back)
    assert export.take_in(version.folder.parent, folder).name == "v1", "its own name is taken there"


def test_a_med_mim_export_is_a_med_mim_file(version: Version, tmp_path: Path) -> None:
    folder = export.write(version, tmp_path / "out", "med-mim")
    read = medmim.load(folder / "composed_train.json", folder)
    train = version.contents.train
    assert not read.missing
    assert [(item.ability, item.answer) for item in read.items] == [(line.ability, line.answer) for line in train]
    assert [medmim.question(item) for item in read.items] == [line.question for line in train]


def test_a_datasets_folder_holds_images_and_pairs_of_answers(version: Version, tmp_path: Path) -> None:
    from datasets import load_from_disk

    found = load_from_disk(str(export.write(version, tmp_path / "out", "datasets")))
    first = found["preferences"][0]
    line = version.contents.preferences[0]
    assert (first["question"], first["chosen"], first["rejected"]) == (line.question, line.answer, line.rejected)
    assert [picture["path"] for picture in first["pictures"]] == [f"{image.sha256}.png" for image in line.images]


@pytest.mark.parametrize("form", ["med-mim", "jsonl"])
def test_a_changed_export_is_refused(version: Version, tmp_path: Path, form: export.Format) -> None:
    folder = export.write(version, tmp_path / "out", form)
    path = folder / ("train.jsonl" if form == "jsonl" else "composed_train.json")
    path.write_text(path.read_text().replace("is stable", "is gone", 1))
    with pytest.raises((InputError, TuneError), match="export the version again"):
        export.take_in(tmp_path / "elsewhere", folder)
    assert not shelf.every(tmp_path / "elsewhere")


def test_a_changed_image_or_no_export_at_all_is_refused(version: Version, tmp_path: Path) -> None:
    folder = export.write(version, tmp_path / "out", "jsonl")
    image = next((folder / "images").iterdir())
    image.chmod(0o644)
    image.write_bytes(b"other")
    with pytest.raises(InputError, match="is not the image it was"):
        export.take_in(tmp_path / "elsewhere", folder)
    with pytest.raises(InputError, match="is no export of a dataset version"):
        export.take_in(tmp_path / "elsewhere", tmp_path)
    with pytest.raises(InputError, match="is there already"):
        export.write(version, folder, "jsonl")
    note = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**note, "format": "tar"}))
    with pytest.raises(InputError, match="unknown format"):
        export.take_in(tmp_path / "elsewhere", folder)
