"""Building a version: what it shares with a gate is told and refused, patients stay on one side, and what is written never changes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from errors import InputError, TuneError
from finetune import examples, medmim
from finetune.examples import Source
from finetune.versions import leakage, shelf
from finetune.versions.build import Plan, Refused, build
from tests.finetune.benchmarks import Raw, written
from tests.finetune.versions import samples


@pytest.fixture
def given(tmp_path: Path) -> tuple[Path, Path, Path]:
    return samples.files(tmp_path / "given")


def quiet(_: str) -> None:
    return


def built(versions: Path, given: tuple[Path, Path, Path], **changes: object) -> shelf.Version:
    train, _, root = given
    return build(versions, Plan(**{"files": (train,), "roots": (root,), "held": 0.2, **changes}), quiet)  # type: ignore[arg-type]


def test_what_a_gate_shares_is_told_by_pair_patient_and_image_and_refused(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    said: list[str] = []
    with pytest.raises(Refused, match="pair of 2 of 4 items, patient of 3 of 4") as refusal:
        build(tmp_path / "v", Plan(files=(given[0],), roots=(given[2],), gates=(given[1],)), said.append)
    assert "  MS-CXR-T: pair of 2 of 4 items, patient of 3 of 4, an image of 2 of 4" in said
    assert refusal.value.reports[0].rows == (leakage.Row("MS-CXR-T", 4, 2, 3, 2),)
    assert not shelf.every(tmp_path / "v")


def test_leaked_items_are_left_out_on_request_and_the_version_is_clean(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    version = built(tmp_path / "v", given, gates=(given[1],), leave_out_leaked=True)
    assert version.manifest["left_out"]["shares a patient or image with a gate"] == 3
    assert version.manifest["gates"][0]["rows"] == [{"collection": "MS-CXR-T", "items": 4, "pair": 0, "patient": 0, "image": 0}]
    assert leakage.of_version(version, leakage.gate(given[1], [given[2]])).clean


def test_a_copy_of_a_gates_image_under_another_name_is_found_by_what_it_shows(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    train, gate, root = given
    shutil.copy(root / samples.pair(500)[0], root / "renamed.png")
    items: list[Raw] = [*json.loads(train.read_text()), samples.item(77, ["renamed.png", samples.pair(9)[1]])]
    fresh = written(tmp_path / "train_comparison.json", [one for one in items if "1000000" not in str(one["images"])] + items[-1:])
    with pytest.raises(Refused, match="share a patient or an image"):
        build(tmp_path / "v", Plan(files=(fresh,), roots=(root,), gates=(gate,)), quiet)


def test_files_that_lie_beside_the_data_are_compared_without_being_named(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    version = built(tmp_path / "v", given)
    assert [report["file"] for report in version.manifest["compared"]] == [samples.GATE]
    assert version.manifest["compared"][0]["rows"][0]["pair"] == 2
    assert version.manifest["gates"] == []


def test_patients_stay_on_one_side_and_the_same_ones_are_held_back_for_ever(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    first = built(tmp_path / "v", given)
    more = samples.item(200, samples.pair(3, visit=9), 2)
    samples.films(given[2], [more], start=200)
    larger = written(given[0].parent / "Med_MIM_train_second_Comparison.json", [*json.loads(given[0].read_text()), more])
    second = built(tmp_path / "v", (larger, *given[1:]))
    for version in (first, second):
        held = {line.patient for line in version.contents.held}
        assert held
        assert held.isdisjoint(line.patient for line in version.contents.train)
    assert {line.patient for line in first.contents.held} == {line.patient for line in second.contents.held}


def test_an_item_of_patients_of_both_sides_is_neither_learnt_nor_held_back(tmp_path: Path) -> None:
    """Questions about images of several people join them all; a chain of such questions must not pull everybody to one side."""
    names = [f"film-{number}.png" for number in range(60)]
    items = [samples.item(number, [names[number], names[number + 1]], number % 3) for number in range(59)]
    samples.films(tmp_path / "images", items)
    file = written(tmp_path / "composed_comparison.json", items)
    version = build(tmp_path / "v", Plan(files=(file,), roots=(tmp_path / "images",), held=0.2), quiet)
    train, held = ({image.name for line in part for image in line.images} for part in (version.contents.train, version.contents.held))
    assert train
    assert train.isdisjoint(held)
    kept = {line.item for line in (*version.contents.train, *version.contents.held)}
    assert version.manifest["left_out"] == {"of patients trained on and held back": 59 - len(kept)}
    assert len(kept) > 30


def test_a_version_is_read_by_training_and_says_what_it_holds(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    version = built(tmp_path / "v", given, name="edema")
    found = examples.collect(Source("examples", str(version.folder / "train.jsonl")), Path("/"), 0)
    counts = version.manifest["counts"]
    assert len(found.examples) == counts["train"]
    assert not [image.trouble() for example in found.examples for image in example.images if image.trouble()]
    assert counts["source"] == {samples.TRAIN: counts["train"] + counts["held"]}
    assert counts["modality"] == {"DX": counts["train"] + counts["held"]}
    assert set(counts["label"]) == {"improved", "stable", "worse"}
    assert counts["kind"]["given"] == 40
    assert counts["kind"]["mirrored"] == counts["train"] + counts["held"] - 40
    assert version.manifest["images"]["count"] == 80


def test_mirrored_labels_turn_with_the_images(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    contents = built(tmp_path / "v", given).contents
    ahead = {line.pictures: line for line in contents.train if line.kind == "given"}
    turned = [line for line in contents.train if line.kind == "mirrored"]
    assert turned
    for line in turned:
        before = ahead[line.pictures[::-1]]
        assert (before.label, line.label) in {("improved", "worse"), ("stable", "stable"), ("worse", "improved")}
        assert line.answer == {"improved": "A: ", "stable": "B: ", "worse": "C: "}[line.label] + samples.TEXTS["ABC".index(line.answer[0])]


def test_missing_and_broken_images_are_counted_and_named(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    (given[2] / samples.pair(5)[0]).unlink()
    (given[2] / samples.pair(6)[1]).write_bytes(b"no image")
    said: list[str] = []
    version = build(tmp_path / "v", Plan(files=given[:1], roots=(given[2],)), said.append)
    assert version.manifest["missing_images"] == [samples.pair(5)[0]]
    assert version.manifest["left_out"] == {"image not found": 1, "image that cannot be read": 1}
    assert "left out: 1 image not found" in said
    with pytest.raises(Refused, match=r"40 lack an image .* --image-root"):
        build(tmp_path / "v", Plan(files=given[:1]), quiet)


def test_a_version_is_never_written_over_and_a_change_is_found(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    version = built(tmp_path / "v", given, name="one")
    with pytest.raises(InputError, match="one is there already"):
        built(tmp_path / "v", given, name="one")
    assert built(tmp_path / "v", given).name == "v1"
    assert built(tmp_path / "v", given).sha256 == version.sha256
    shelf.check(version)
    image = (version.folder / version.contents.train[0].images[0].path).resolve()
    image.chmod(0o644)
    image.write_bytes(b"other")
    with pytest.raises(TuneError, match="was changed since the version was built"):
        shelf.check(version)


def test_a_published_benchmark_file_is_never_trained_on(
    tmp_path: Path, given: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(medmim.PUBLISHED, hashlib.sha256(given[1].read_bytes()).hexdigest(), samples.GATE)
    with pytest.raises(InputError, match="is never trained on"):
        build(tmp_path / "v", Plan(files=(given[1],), roots=(given[2],)), quiet)


def test_answers_that_contradict_each_other_and_what_is_said_twice_are_left_out(tmp_path: Path, given: tuple[Path, Path, Path]) -> None:
    items: list[Raw] = json.loads(given[0].read_text())
    twice = {**items[3], "id": "again"}
    against = {**samples.item(4, samples.pair(4), 0), "id": "against"}
    path = written(given[0].parent / "Med_MIM_train_other_Comparison.json", [*items, twice, against])
    version = built(tmp_path / "v", (path, *given[1:]))
    assert version.manifest["left_out"] == {"contradicts another line": 2, "said twice": 1}


@pytest.mark.data
def test_the_published_training_file_shares_what_the_protocol_says(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "med_mim"
    with pytest.raises(Refused) as refusal:
        build(tmp_path / "v", Plan(files=(folder / samples.TRAIN,), gates=(folder / samples.GATE,)), quiet)
    row = refusal.value.reports[0].rows[0]
    assert (row.collection, row.items, row.pair, row.patient) == ("MS-CXR-T", 270, 210, 234)
