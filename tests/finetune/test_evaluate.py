"""Asking a benchmark: what is asked, in which order, and that nothing is asked twice."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from errors import EngineDied, EngineError, QuestionError, TuneError
from finetune import medmim
from finetune.crew import Crew
from finetune.evaluate import CONDITIONS, Evaluation, evaluate, jobs, strangers
from inference.engine import Request
from inference.probes import GREY
from tests.fakes import CARD, FakeEngine
from tests.finetune import benchmarks


def whole(tmp_path: Path, engine: FakeEngine, name: str = benchmarks.NAME, limit: int | None = None) -> Evaluation:
    file, root = benchmarks.bright(tmp_path, name=name)
    return evaluate(engine, medmim.load(file, root), tmp_path / "out", limit=limit)


def test_every_item_is_read_both_ways_under_every_condition(tmp_path: Path) -> None:
    engine = benchmarks.oracle()
    done = whole(tmp_path, engine)
    closed = [item for item in done.asked if item.closed]
    assert len(closed) == 12
    assert done.left_out == ()
    for item in closed:
        real = done.answers["real"][item.key]
        assert len(real.shares) == 3
        assert all(sum(order) == pytest.approx(1) for order in real.shares)
        assert item.options[max(range(3), key=lambda place: real.mean[place])][0] == item.letter
        assert real.text == f"{item.letter}:"
        assert done.answers["shuffled"][item.key].text is None
    assert done.answers["exchanged"] == {}
    (question,) = [item for item in done.asked if not item.closed]
    assert {done.answers[condition][question.key].text for condition in ("real", "blind", "shuffled")} == {"The first."}


def test_only_what_depends_on_time_is_asked_in_the_other_order(tmp_path: Path) -> None:
    engine = benchmarks.oracle()
    done = whole(tmp_path, engine, name="Med_MIM_benchmark_Held_in_Comparison.json")
    assert len(done.answers["exchanged"]) == 12
    for item in done.asked:
        if item.closed and item.letter == "A":  # bright and dark; exchanged, what the oracle sees is dark and bright
            assert done.answers["real"][item.key].mean[0] > 0.9
            assert done.answers["exchanged"][item.key].mean[0] < 0.1


def test_the_blind_reading_needs_no_image(tmp_path: Path) -> None:
    file, _ = benchmarks.bright(tmp_path)
    engine = benchmarks.oracle()
    done = evaluate(engine, medmim.load(file), tmp_path / "out", ["blind"])
    assert set(done.answers) == {"blind"}
    assert len(done.answers["blind"]) == 13
    assert {
        int(value) for request, _ in engine.scored for image in request.images for value in (image.pixels.min(), image.pixels.max())
    } == {GREY}


def test_grey_has_the_proportions_of_the_image(tmp_path: Path) -> None:
    engine = benchmarks.oracle()
    done = whole(tmp_path, engine)
    greys = [request for request, _ in engine.scored if request.images[0].pixels.mean() == GREY]
    assert len(greys) == 36
    shapes = {image.pixels.shape[:2] for request in greys for image in request.images}
    assert shapes == {(64, 51), (64, 53)}
    assert done.answers["blind"]


def test_without_any_image_there_is_nothing_to_score(tmp_path: Path) -> None:
    file, _ = benchmarks.bright(tmp_path)
    with pytest.raises(QuestionError, match="--blind"):
        evaluate(benchmarks.oracle(), medmim.load(file), tmp_path / "out")


def test_items_with_missing_or_broken_images_are_left_out_by_name(tmp_path: Path) -> None:
    """A file whose head is sound and whose pixels are cut is found when it is shown; the others are still scored."""
    file, root = benchmarks.bright(tmp_path)
    (root / "3-b.png").unlink()
    (root / "4-a.png").write_bytes(b"not an image")
    whole_file = (root / "5-a.png").read_bytes()
    (root / "5-a.png").write_bytes(whole_file[:-30])
    done = evaluate(benchmarks.oracle(), medmim.load(file, root), tmp_path / "out")
    reasons = {one.item.id: one.reason for one in done.left_out}
    assert set(reasons) == {"item-3", "item-4", "item-5"}
    assert reasons["item-3"] == "3-b.png is missing"
    assert len(done.asked) == 10
    assert set(done.answers["real"]) == set(done.answers["blind"]) == {item.key for item in done.asked}


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    first = whole(tmp_path, benchmarks.oracle())
    again = benchmarks.oracle()
    file = tmp_path / benchmarks.NAME
    second = evaluate(again, medmim.load(file, tmp_path / "images"), tmp_path / "out")
    assert again.scored == []
    assert again.requests == []
    assert second.answers == first.answers
    assert second.resumed == len(jobs(first.asked, CONDITIONS))


def test_engines_that_share_the_work_answer_as_one_does_and_each_question_once(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    benchmark = medmim.load(file, root)
    alone = evaluate(benchmarks.oracle(), benchmark, tmp_path / "alone")
    crew = [benchmarks.oracle() for _ in range(3)]
    shared = evaluate(Crew(tuple(crew)), benchmark, tmp_path / "shared")
    assert {key: (told.shares, told.text) for key, told in shared.answers["real"].items()} == {
        key: (told.shares, told.text) for key, told in alone.answers["real"].items()
    }
    assert list(shared.answers["blind"]) == list(alone.answers["blind"])
    one = benchmarks.oracle()
    evaluate(one, benchmark, tmp_path / "again")
    assert sum(len(engine.scored) for engine in crew) == len(one.scored)


def test_an_engine_that_fails_ends_the_run_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    benchmark = medmim.load(file, root)
    broken = FakeEngine(scores=lambda _request: (_ for _ in ()).throw(EngineError("the model broke")))
    with pytest.raises(EngineError, match="the model broke"):
        evaluate(Crew((benchmarks.oracle(), broken)), benchmark, tmp_path / "out")
    done = evaluate(benchmarks.oracle(), benchmark, tmp_path / "out")
    assert len(done.answers["real"]) == 13


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_killed_run_goes_on_and_a_half_written_line_is_dropped(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    benchmark = medmim.load(file, root)
    expected = evaluate(benchmarks.oracle(), benchmark, tmp_path / "whole")

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise Killed

    with pytest.raises(Killed):
        evaluate(benchmarks.oracle(), benchmark, tmp_path / "out", on_progress=stop)
    (journal,) = (tmp_path / "out").glob("*.jsonl")
    assert len(journal.read_text().splitlines()) == 20
    with journal.open("ab") as end:
        end.write(b'{"address": "half a li')
    rest = benchmarks.oracle()
    done = evaluate(rest, benchmark, tmp_path / "out")
    assert done.resumed == 20
    assert {condition: {key: (told.shares, told.text) for key, told in rows.items()} for condition, rows in done.answers.items()} == {
        condition: {key: (told.shares, told.text) for key, told in rows.items()} for condition, rows in expected.answers.items()
    }
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_an_image_that_changed_is_asked_about_again(tmp_path: Path) -> None:
    whole(tmp_path, benchmarks.oracle())
    benchmarks.film(tmp_path / "images" / "0-a.png", 100, (60, 32))
    again = benchmarks.oracle()
    evaluate(again, medmim.load(tmp_path / benchmarks.NAME, tmp_path / "images"), tmp_path / "out", ["real"])
    assert len(again.scored) == 3
    assert {int(request.images[0].pixels.mean()) for request, _ in again.scored} == {100}


def test_two_runs_do_not_write_one_folder(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    benchmark = medmim.load(file, root)

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(TuneError, match="another run"):
            evaluate(benchmarks.oracle(), benchmark, tmp_path / "out")
        raise Killed

    with pytest.raises(Killed):
        evaluate(benchmarks.oracle(), benchmark, tmp_path / "out", on_progress=meanwhile)


def test_an_engine_that_dies_once_is_asked_again(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    engine = FakeEngine(["B"], dies_after=0)
    done = evaluate(engine, medmim.load(file, root), tmp_path / "out", ["real"])
    assert {told.text for told in done.answers["real"].values()} == {"B"}

    class Dead(FakeEngine):
        def score(self, request: Request, choices: object, cancel: object = None, *, whole: bool = True) -> object:  # type: ignore[override]
            raise EngineDied("the engine is gone")

    with pytest.raises(EngineDied):
        evaluate(Dead(), medmim.load(file, root), tmp_path / "dead", ["real"])


def test_all_that_is_asked_about_a_tuple_of_images_stands_together(tmp_path: Path) -> None:
    """An image is dear to encode: real and shuffled questions about the same images follow each other, grey ones come last."""
    engine = benchmarks.oracle()
    whole(tmp_path, engine)
    shown = [tuple(image.sha256 for image in request.images) for request, _ in engine.scored]
    changes = sum(before != after for before, after in pairwise(shown))
    assert changes == len(set(shown)) - 1


def test_limit_spreads_over_the_file_and_its_answers_are_kept_for_the_whole_run(tmp_path: Path) -> None:
    few = whole(tmp_path, benchmarks.oracle(), limit=4)
    assert [item.id for item in few.asked] == ["item-0", "item-3", "item-6", "item-9"]
    rest = benchmarks.oracle()
    done = evaluate(rest, medmim.load(tmp_path / benchmarks.NAME, tmp_path / "images"), tmp_path / "out", ["real", "blind"])
    assert done.resumed == 8


def test_shuffled_images_are_another_patients_of_the_same_kind(tmp_path: Path) -> None:
    items = []
    for number in range(30):
        kind = "EMBED" if number % 2 else "LUMIERE"
        folder = f"cohort_1/{number // 6}/x" if number % 2 else f"ct1_LUMIERE_x/Patient-{number // 6}/slice_1"
        images = [f"{folder}/week_{number}-{place}.png" for place in range(2 + number % 4 // 3)]
        items.append(benchmarks.closed(number, images, number % 3, source=f"{kind}_multichoice"))
    file = benchmarks.written(tmp_path / "Med_MIM_benchmark_Held_in_Temporal.json", items)
    loaded = medmim.load(file).items
    donors = strangers(loaded)
    assert len(donors) == 30
    for item in loaded:
        donor = donors[item.key]
        assert donor.patient != item.patient
        assert donor.source == item.source
        assert len(donor.images) == len(item.images)
    assert len({donor.key for donor in donors.values()}) == 30
    assert strangers(loaded) == donors


def test_of_one_patient_alone_nobody_can_be_shuffled(tmp_path: Path) -> None:
    items = [benchmarks.closed(n, [f"cohort_1/7/{n}-a.png", f"cohort_1/7/{n}-b.png"], 0, source="EMBED_x") for n in range(4)]
    assert strangers(medmim.load(benchmarks.written(tmp_path / "Med_MIM_benchmark_Held_in_Temporal.json", items)).items) == {}


def test_too_many_images_for_the_model_count_as_wrong(tmp_path: Path) -> None:
    file, root = benchmarks.bright(tmp_path)
    done = evaluate(FakeEngine(card=replace(CARD, max_images=1)), medmim.load(file, root), tmp_path / "out", ["real"])
    assert {told.refused for told in done.answers["real"].values()} == {"2 images, and the model reads at most 1"}


@pytest.mark.data
def test_the_published_rad_file_is_asked_whole(test_data: Path) -> None:
    """366 items with their real images: each has a stranger's images to be shown, and grey comes in few shapes."""
    file = test_data / "med_mim" / "Med_MIM_benchmark_Held_out_RAD.json"
    benchmark = medmim.load(file, test_data / "vqa_rad" / "images")
    work = jobs(benchmark.items, CONDITIONS)
    counts = {condition: sum(job.condition == condition for job in work) for condition in CONDITIONS}
    assert counts == {"real": 366, "blind": 366, "shuffled": 366, "exchanged": 0}
    assert len({shape for job in work for shape in job.shapes}) < 80
    shown = [job.paths for job in work if job.condition != "blind"]
    assert sum(before != after for before, after in pairwise(shown)) == len(set(shown)) - 1
