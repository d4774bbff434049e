"""What readers said becomes examples and preferences: each error code by its recipe, never without a reviewer, within a reader's quota."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from errors import StoreError
from finetune.versions import checks, corrections, mirrors
from finetune.versions.build import Plan, build
from finetune.versions.lines import Line
from finetune.versions.recipes import RECIPES
from finetune.versions.shelf import Contents, Version
from inference.engine import Image
from inference.prompts import OVERALL_QUESTION, progression_question
from storage.feedback import CODES
from storage.reviewed import Reviewed
from storage.views import Clinical
from tests.finetune.versions.reviews import render, reviewed, shown
from tests.inference import tiny


def version(folder: Path, *items: Reviewed, **changes: object) -> Version:
    def gathered(films: Path) -> corrections.Drafted:
        return corrections.gather(items, render, films)

    return build(folder, Plan(**{"reviewed": gathered, "held": 0.0, **changes}), lambda _: None)  # type: ignore[arg-type]


def contents(folder: Path, *items: Reviewed) -> Contents:
    return version(folder, *items).contents


def rejected(lines: tuple[Line, ...], code: str) -> list[tuple[str, str]]:
    """(chosen, rejected) of a recipe's preferences."""
    return [(line.answer, line.rejected) for line in lines if code in line.codes]


def test_every_error_code_has_a_recipe() -> None:
    assert set(RECIPES) == set(CODES)


def test_a_corrected_answer_is_learnt_as_the_model_saw_it_and_mirrored(tmp_path: Path) -> None:
    found = contents(tmp_path, reviewed(1))
    ahead, back = found.train
    assert (ahead.kind, ahead.answer, ahead.label, ahead.codes, ahead.reader) == (
        "corrected", "The effusion has increased.", "worse", ("change-missed",), "7",
    )  # fmt: skip
    assert ahead.pictures == (shown(2).sha256, shown(3).sha256)
    assert [(image.role, image.when) for image in ahead.images] == [("prior", ""), ("current", "14 days later")]
    assert (back.kind, back.answer, back.label) == ("mirrored", "The effusion has decreased.", "improved")
    assert back.pictures == ahead.pictures[::-1]
    assert [image.role for image in back.images] == ["prior", "current"]


def test_a_missed_change_is_set_above_the_models_words_above_no_change_and_above_itself_turned_round(tmp_path: Path) -> None:
    found = contents(tmp_path, reviewed(1)).preferences
    assert rejected(found, "change-missed") == [
        ("The effusion has increased.", "The effusion is unchanged."),
        ("The effusion has increased.", "There is no change."),
    ]
    assert rejected(found, "exchanged") == [("The effusion has decreased.", "The effusion has increased.")]
    turned = next(line for line in found if line.codes == ("exchanged",))
    assert turned.pictures == (shown(3).sha256, shown(2).sha256)


def test_a_hallucinated_change_is_rejected_of_one_image_shown_twice(tmp_path: Path) -> None:
    item = reviewed(1, answer="The effusion is larger.", corrected_answer="The effusion is unchanged.", codes=("change-hallucinated",))
    found = contents(tmp_path, item).preferences
    twice = next(line for line in found if len(set(line.pictures)) == 1)
    assert (twice.pictures[0], twice.answer, twice.rejected) == (shown(3).sha256, "The effusion is unchanged.", "The effusion is larger.")


def test_a_wrong_side_and_a_wrong_time_point_are_rejected_in_so_many_words(tmp_path: Path) -> None:
    item = reviewed(1, answer="On the left.", corrected_answer="On the right in the first image.", codes=("wrong-side", "wrong-time-point"))
    found = contents(tmp_path, item).preferences
    assert ("On the right in the first image.", "On the left in the first image.") in rejected(found, "wrong-side")
    assert ("On the right in the first image.", "On the right in the second image.") in rejected(found, "wrong-time-point")


def test_swapped_images_reject_the_answer_of_the_other_order(tmp_path: Path) -> None:
    found = contents(tmp_path, reviewed(1, codes=("images-swapped",))).preferences
    assert rejected(found, "images-swapped")[-1] == ("The effusion has decreased.", "The effusion has increased.")


@pytest.mark.parametrize("code", ["positioning-or-technique", "forecast-as-fact", "wrong-view", "other"])
def test_other_codes_set_the_correction_above_the_models_words(tmp_path: Path, code: str) -> None:
    found = contents(tmp_path, reviewed(1, codes=(code,), corrected_answer="Rotated; nothing else differs.")).preferences
    assert rejected(found, code) == [("Rotated; nothing else differs.", "The effusion is unchanged.")]


def test_a_forecast_agreed_with_is_no_truth_of_the_images_and_is_left_out_by_name(tmp_path: Path) -> None:
    """Readers who thought it likely made the model learn the future as if films showed it."""
    ahead = {"question": "Will the effusion have resolved in a year?", "answer": "Yes."}
    agreed = reviewed(1, **ahead, verdict="agree", codes=(), corrected_answer="")
    corrected = reviewed(2, **ahead, corrected_answer="No.", codes=("other",))
    as_fact = reviewed(3, **ahead, corrected_answer="No image shows it yet.", codes=("forecast-as-fact",))
    made = version(tmp_path, agreed, corrected, as_fact)
    assert made.manifest["left_out"] == {"a forecast, which no image shows": 2}
    assert {line.answer for line in made.contents.train} == {"No image shows it yet."}


def test_corrected_cells_are_closed_questions_with_the_models_class_rejected(tmp_path: Path) -> None:
    item = reviewed(1, corrected_answer="", cells={"pleural effusion": "worse", "overall": "stable"})
    found = contents(tmp_path, item)
    asked = {(line.question, line.answer, line.kind) for line in found.train}
    assert asked >= {
        (progression_question("pleural effusion"), "worse", "cell"),
        (progression_question("pleural effusion"), "improved", "mirrored"),
        (OVERALL_QUESTION, "stable", "cell"),
        (OVERALL_QUESTION, "stable", "mirrored"),
    }
    assert ("worse", "stable") in rejected(found.preferences, "change-missed")
    assert not [line for line in found.preferences if line.question == OVERALL_QUESTION]


def test_agreement_is_learnt_and_a_preference_between_two_answers_is_only_a_preference(tmp_path: Path) -> None:
    agreed = reviewed(1, verdict="agree", codes=(), corrected_answer="")
    better = reviewed(2, verdict="", codes=(), corrected_answer="", preferred_over=9, rejected_answer="Nothing to say.")
    found = contents(tmp_path, agreed, better)
    assert {(line.kind, line.item) for line in found.train} == {("agreed", "101"), ("mirrored", "101")}
    assert [(line.answer, line.rejected, line.codes) for line in found.preferences] == [
        ("The effusion is unchanged.", "Nothing to say.", ("preferred",))
    ]


def test_what_was_told_beside_the_images_goes_with_the_question(tmp_path: Path) -> None:
    found = contents(tmp_path, reviewed(1, clinical=Clinical(indication="cough")))
    assert {line.clinical for line in (*found.train, *found.preferences)} == {(("Indication", "cough"),)}


def test_what_does_not_fit_the_model_is_left_out_before_any_training(tmp_path: Path) -> None:
    room = checks.room(tiny.build(tmp_path / "tiny"))
    long = reviewed(1, corrected_answer="It has increased. " * room.tokens)
    placed = reviewed(2, question="What of <image>?")
    outside = reviewed(3, corrected_answer="", cells={"overall": "new"})
    found = version(tmp_path / "v", long, placed, outside, reviewed(4), room=room)
    assert found.manifest["left_out"] == {
        "too long": 1, "an image's place stands in its words": 1, "an answer its question does not allow": 1,
    }  # fmt: skip
    assert {line.item for line in found.contents.train} == {"104"}
    assert found.manifest["checked_against"] == "tiny"


def test_what_cannot_be_learnt_is_counted(tmp_path: Path) -> None:
    bare = reviewed(2, corrected_answer="")
    other = replace(reviewed(3), images=(replace(reviewed(3).images[0], tile_sha256="another window"), reviewed(3).images[1]))
    found = version(tmp_path, reviewed(1), bare, other)
    assert found.manifest["left_out"] == {corrections.UNSAID: 1, corrections.CHANGED: 1}


def test_an_erased_study_leaves_its_item_out(tmp_path: Path) -> None:
    def erased(item: Reviewed) -> list[Image]:
        if item.item == 2:
            raise StoreError("series 4 was not found")
        return list(render(item))

    plan = Plan(reviewed=lambda films: corrections.gather([reviewed(1), reviewed(2)], erased, films), held=0.0)
    assert build(tmp_path, plan, lambda _: None).manifest["left_out"] == {"image not found": 1}


def test_nobody_brings_in_more_than_the_quota(tmp_path: Path) -> None:
    items = [reviewed(number, reader=7 if number < 8 else 9) for number in range(1, 11)]
    found = version(tmp_path, *items, quota=3)
    assert found.manifest["left_out"] == {"over a reader's quota": 4}
    assert {line.item for line in found.contents.train if line.reader == "7"} == {"101", "102", "103"}
    assert {line.item for line in found.contents.train if line.reader == "9"} == {"108", "109", "110"}


def test_two_readers_who_contradict_each_other_train_nothing(tmp_path: Path) -> None:
    one, other = reviewed(1), replace(reviewed(1), feedback=500, corrected_answer="The effusion has decreased.", reader=9)
    found = version(tmp_path, one, other, reviewed(2))
    assert found.manifest["left_out"] == {"contradicts another line": 2}
    assert {line.item for line in found.contents.train} == {"102"}
    assert {line.item for line in found.contents.preferences} == {"102"}


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("worse", "improved"),
        ("Resolved.", "new."),
        ("The effusion is larger.", "The effusion is smaller."),
        ("Unchanged.", "Unchanged."),
        ("The left is worse, the right has improved.", ""),
        ("The tube is new.", ""),
        ("Two nodules.", ""),
        ("In the second image there is a worsening of the edema.", ""),
        ("The effusion is larger. There is a small pneumothorax, and the heart is of normal size.", ""),
    ],
)
def test_an_answer_is_turned_round_only_where_that_is_certain(text: str, turned: str) -> None:
    assert mirrors.inverted(text) == turned


@pytest.mark.parametrize(
    ("options", "answer", "turned"),
    [
        (("It has improved.", "It is stable.", "It has worsened."), 2, "A: It has improved."),
        (("It has slightly worsened.", "It has significantly improved.", "It is stable."), 0, ""),
        (("It has worsened.", "It has resolved.", "It is stable."), 0, ""),
        (("It is worsening.", "It is deteriorating badly.", "It is stable."), 2, ""),
        (("worse", "stable", "improved"), 0, "C: improved"),
    ],
)
def test_an_option_is_turned_round_only_into_its_exact_opposite(options: tuple[str, ...], answer: int, turned: str) -> None:
    question = "How did it change?\n" + "\n".join(f"{letter}: {text}" for letter, text in zip("ABC", options, strict=True))
    assert mirrors.chosen(question, f"{'ABC'[answer]}: {options[answer]}") == turned
