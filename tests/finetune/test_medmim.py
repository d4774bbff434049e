"""Reading Med-MIM: the schema's forms made small, every kind of bad file, and the published files' own counts."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from errors import TuneError
from finetune import lookup, medmim
from finetune.medmim import load

Raw = dict[str, Any]
SLICE = "ct1_LUMIERE_images_tumor1200px_256x256/Patient-{}/slice_95/week_{}.png"


def entry(question: str, answer: str, images: list[str], name: str = "a-1", source: str = "s") -> Raw:
    turns = [{"role": "user", "content": "<image>" * len(images) + question}, {"role": "assistant", "content": answer}]
    return {"id": name, "images": images, "conversation": turns, "source": source}


def write(folder: Path, items: object, name: str = "Med_MIM_benchmark_Held_out_RAD.json") -> Path:
    path = folder / name
    path.write_text(items if isinstance(items, str) else json.dumps(items))
    return path


CLOSED = entry('Which one?"\nA: the first \nB: the second\nD: neither\n', "B: the second", ["x/1.png", "x/2.png"])
OPEN = entry("What changed?\nSay it.", "Nothing.", ["x/1.png", "x/3.png", "x/3.png"], "a-2")


def test_a_closed_item_is_parsed(tmp_path: Path) -> None:
    item = load(write(tmp_path, [CLOSED, OPEN])).items[0]
    assert (item.stem, item.letter, item.answer, item.file) == ("Which one?", "B", "B: the second", "rad")
    assert item.options == (("A", "the first"), ("B", "the second"), ("D", "neither"))
    assert item.closed
    assert (
        item.key == hashlib.sha1(f"Med_MIM_benchmark_Held_out_RAD.json|a-1|s|{CLOSED['conversation'][0]['content']}".encode()).hexdigest()
    )


def test_an_open_item_keeps_all_its_lines(tmp_path: Path) -> None:
    item = load(write(tmp_path, [CLOSED, OPEN])).items[1]
    assert (item.stem, item.options, item.letter, item.closed) == ("What changed?\nSay it.", (), None, False)
    assert medmim.question(item) == item.stem


def test_options_turn_and_the_letter_turns_back(tmp_path: Path) -> None:
    item = load(write(tmp_path, [CLOSED])).items[0]
    assert medmim.rotations(item) == ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    asked = medmim.question(item, (1, 2, 0)).splitlines()
    assert asked == ["Which one?", "A: the second", "B: neither", "D: the first", medmim.INSTRUCTION]
    assert [medmim.original(item, letter, (1, 2, 0)) for letter in "ABD"] == ["B", "D", "A"]
    assert medmim.original(item, None, (1, 2, 0)) is None


def test_a_renamed_benchmark_file_is_known_by_its_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path, [CLOSED], "Med_MIM_benchmark_Held_out_RAD.json")
    named = load(path).items[0].key
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(medmim.PUBLISHED, digest, path.name)
    renamed = load(path.rename(tmp_path / "mine.json"))
    assert (renamed.name, renamed.frozen, renamed.items[0].key) == ("rad", True, named)


@pytest.mark.parametrize(
    ("name", "subset"),
    [
        ("Med_MIM_benchmark_Held_in_Temporal.json", "temporal"),
        ("Med_MIM_train_inherent_Reasoning.json", "train_reasoning"),
        ("Med_MIM_train_Composed.json", "composed"),
        ("coreference-small.json", "coreference"),
        ("traditional.json", ""),
    ],
)
def test_the_subset_is_read_from_the_name(name: str, subset: str) -> None:
    assert medmim.subset(name) == subset


def test_a_source_may_name_the_ability(tmp_path: Path) -> None:
    items = [entry("Which?\nA: one\nB: two", "A: one", ["1.png"], source="ours_coreference_2")]
    assert load(write(tmp_path, items, "mine.json")).items[0].ability == "coreference"
    assert load(write(tmp_path, items, "Composed.json")).items[0].ability == "coreference"


# Images


def test_images_are_found_as_written_and_by_the_end_of_their_path(tmp_path: Path) -> None:
    root = tmp_path / "images"
    for name in ("x/1.png", "deep/x/2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    read = load(write(tmp_path, [CLOSED, OPEN]), root)
    assert read.items[0].paths == (root / "x/1.png", root / "deep/x/2.png")
    assert read.missing == ("x/3.png",)
    assert [item.complete for item in read.items] == [True, False]


def test_without_a_root_every_image_is_missing(tmp_path: Path) -> None:
    assert load(write(tmp_path, [CLOSED])).missing == ("x/1.png", "x/2.png")


def test_the_first_of_several_roots_that_holds_an_image_wins(tmp_path: Path) -> None:
    for folder, names in (("a", ("1.png",)), ("b", ("1.png", "2.png"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    found = lookup.find(["1.png", "2.png"], [tmp_path / "a", tmp_path / "b"])
    assert found == {"1.png": tmp_path / "a/1.png", "2.png": tmp_path / "b/2.png"}


def test_one_file_is_never_taken_for_two_images(tmp_path: Path) -> None:
    """Every LUMIERE slice is called week_NNN.png: one of them alone in a folder must not stand for all patients."""
    (tmp_path / "week_000.png").touch()
    names = [SLICE.format("003", "000"), SLICE.format("007", "000")]
    assert lookup.find(names, [tmp_path]) == {}


def test_two_files_of_one_name_are_nobodys(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
    assert lookup.find(["c/1.png"], [tmp_path]) == {}
    assert lookup.find(["a/1.png"], [tmp_path]) == {"a/1.png": tmp_path / "a/1.png"}


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "..\\x.png", "C:/x.png", "C:x.png", ".", "a\0.png", "x" * 300, "a/" * 600]
)
def test_an_image_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TuneError, match=r"item 1 \(a-1\) names an image that cannot lie in the image folder"):
        load(write(tmp_path, [entry("What?", "It.", [name])]), tmp_path)


def test_a_root_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="the image folder is not there"):
        load(write(tmp_path, [CLOSED]), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("subset", "images", "unit"),
    [
        ("temporal", [SLICE.format("007", "000"), SLICE.format("007", "012-2")], ("LUMIERE Patient-007", "week_000 week_012-2")),
        ("reasoning", ["cohort_2/42174967/1.2.8/1.2.3.png"], ("EMBED 42174967", "EMBED 42174967")),
        ("comparison", ["p19/p19185965/s57788775/fb-d8.png"], ("MIMIC p19185965", "MIMIC p19185965")),
        ("odir", ["Training Images/34_left.jpg", "b.jpg"], ("ODIR 34", "Training Images/34_left.jpg b.jpg")),
        ("rad", ["synpic1.jpg", "synpic2.jpg"], ("synpic1.jpg", "synpic1.jpg")),
    ],
)
def test_the_unit_is_read_from_the_names(subset: str, images: list[str], unit: tuple[str, str]) -> None:
    patient, cluster = lookup.unit(subset, "s", images)
    assert patient == unit[0]
    assert cluster.endswith(unit[1])


# Bad files

LAME = entry("<image>What?", "It.", ["1.png"])
LATE = {**LAME, "conversation": [{"role": "user", "content": "What is <image> this?"}, LAME["conversation"][1]]}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("[{", "this is not JSON"),
        ("[" * 100_000, "this is not JSON"),
        ({"a": 1}, "list of items and this is not one"),
        ([], "an empty one"),
        (["x"], "item 1 is not an object"),
        ([{**CLOSED, "id": 3}], "item 1 has no id"),
        ([CLOSED, {**OPEN, "source": ""}], "item 2 has no source"),
        ([{**CLOSED, "images": []}], r"item 1 \(a-1\) names no images"),
        ([{**CLOSED, "images": [""]}], "names no images"),
        ([{**CLOSED, "conversation": CLOSED["conversation"] * 2}], "has 4 turns and must have two"),
        ([{**CLOSED, "conversation": None}], "has 0 turns"),
        ([{**CLOSED, "conversation": CLOSED["conversation"][::-1]}], "no words of the user"),
        ([entry("", "It.", ["1.png"])], "no words of the user"),
        ([entry("What?", " ", ["1.png"])], "no words of the assistant"),
        ([LAME], "1 images and <image> places do not fit them .2 before"),
        ([LATE], "one after its first word"),
        ([entry("Which?\nA: one\nB: two", "C: three", ["1.png"])], "has the answer C and offers only A, B"),
        ([entry("Which?\nA: one\nA: two", "A: one", ["1.png"])], "offers the same letter twice"),
        ([entry("Is it \ud800?", "It.", ["1.png"])], "characters that no text has"),
        ([entry("What?", "It.", ["../1.png"], "a\n" * 99)], r"item 1 \((a\?){39}a…\) names an image"),
        ([CLOSED, CLOSED], r"item 2 \(a-1\) repeats the id, source and question of item 1"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, items: object, said: str) -> None:
    with pytest.raises(TuneError, match=said) as caught:
        load(write(tmp_path, items))
    assert str(caught.value).startswith("Med_MIM_benchmark_Held_out_RAD.json: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_ability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"mine.json: item 1 \(a-1\): neither the file's name nor the source 's' names a known ability"):
        load(write(tmp_path, [CLOSED], "mine.json"))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="cannot be read"):
        load(tmp_path / "rad.json")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rad.json"
    path.write_bytes(b"[\xff\xfe\xfa]")
    with pytest.raises(TuneError, match="this is not JSON"):
        load(path)


# The published files

FILES = {
    "Held_in_Temporal": (933, 903, {2: 799, 3: 134}, 929, 4, 1504),
    "Held_in_Comparison": (344, 208, {2: 344}, 288, 48, 570),
    "Held_in_Reasoning": (484, 454, {2: 484}, 480, 4, 960),
    "Held_in_Coreference": (1463, 1403, {2: 743, 3: 720}, 1452, 54, 3258),
    "Held_out_ODIR": (600, 300, {2: 600}, 600, 0, 1200),
    "Held_out_RAD": (366, 293, {2: 137, 3: 229}, 365, 0, 285),
}
"""Items, closed, items by number of images, different tuples of images, ids that occur more than once, images needed."""
UNITS = {
    "Held_in_Temporal": {"LUMIERE_multichoice_typeC": (631, 5, 20), "EMBED_multichoice_typeB": (272, 190, 190)},
    "Held_in_Comparison": {"LUMIERE_multichoice_typeB": (74, 3, 3), "MS_CXR_T_vqa": (134, 128, 128)},
    "Held_in_Reasoning": {"EMBED_multichoice_typeD": (454, 362, 362)},
    "Held_in_Coreference": {
        "EMBED_multichoice_typeA": (924, 623, 623),
        "EMBED_multichoice_typeC": (135, 87, 87),
        "LUMIERE_multichoice_typeA": (344, 2, 9),
    },
    "Held_out_ODIR": {"VQA_ODIR": (300, 300, 300)},
    "Held_out_RAD": {"VQA_RAD": (293, 188, 188)},
}
"""By the source's beginning: closed items, patients (first images in VQA-RAD), clusters."""


@functools.cache
def published(folder: Path, name: str) -> medmim.Benchmark:
    return load(folder / "med_mim" / f"Med_MIM_benchmark_{name}.json")


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_the_published_files_have_their_counts(test_data: Path, name: str) -> None:
    read = published(test_data, name)
    items, closed, sizes, tuples, repeated, images = FILES[name]
    assert read.frozen
    assert (len(read.items), sum(item.closed for item in read.items)) == (items, closed)
    assert Counter(len(item.images) for item in read.items) == sizes
    assert len({item.images for item in read.items}) == tuples
    assert sum(count > 1 for count in Counter(item.id for item in read.items).values()) == repeated
    assert len({image for item in read.items for image in item.images}) == images == len(read.missing)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_the_published_files_have_their_independent_units(test_data: Path, name: str) -> None:
    items = [item for item in published(test_data, name).items if item.closed]
    for source, (count, patients, clusters) in UNITS[name].items():
        some = [item for item in items if item.source.startswith(source)]
        assert (len(some), len({item.patient for item in some}), len({item.cluster for item in some})) == (count, patients, clusters)


@pytest.mark.data
def test_the_gold_text_is_the_options_text_except_twice(test_data: Path) -> None:
    odd = set()
    for name in FILES:
        for item in published(test_data, name).items:
            if item.closed and item.letter and dict(item.options)[item.letter] != item.answer.partition(":")[2].strip():
                odd.add(item.id)
    assert odd == {"VQA_RAD929-488", "VQA_RAD1600-103"}


@pytest.mark.data
def test_the_traps_of_the_held_out_files_are_as_measured(test_data: Path) -> None:
    odir, rad = (published(test_data, name).items for name in ("Held_out_ODIR", "Held_out_RAD"))
    assert all(item.id.startswith("VQA_RAD-") for item in odir)
    assert sum(item.closed and len(item.options) == 3 for item in odir) == 8
    assert [letter for item in odir if item.id == "VQA_RAD-77" for letter, _ in item.options] == ["A", "B", "D"]
    assert sum(len(set(item.images)) < len(item.images) for item in rad) == 11
    assert not any(item.stem.endswith('"') for item in (*odir, *rad))


@pytest.mark.data
def test_the_training_file_has_its_counts(test_data: Path) -> None:
    read = load(test_data / "med_mim" / "Med_MIM_train_inherent_Comparison.json")
    assert (read.name, read.frozen, len(read.items), sum(item.closed for item in read.items)) == ("train_comparison", False, 3228, 2038)
    assert len({item.images for item in read.items}) == 1865
    assert sum(count > 1 for count in Counter(item.id for item in read.items).values()) == 1085
    assert len({(item.id, item.source) for item in read.items}) == 3212
    assert len({item.key for item in read.items}) == 3228


@pytest.mark.data
def test_all_images_of_vqa_rad_are_found(test_data: Path) -> None:
    read = load(test_data / "med_mim" / "Med_MIM_benchmark_Held_out_RAD.json", test_data / "vqa_rad")
    assert read.missing == ()
    assert all(item.complete for item in read.items)
