"""`ask`: what a person who types a question on the command line gets, and what is kept of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image as Pillow

from inference.engine import ABILITIES
from settings import load
from storage.store import Store
from storage.views import LOCAL
from tests.cli.conftest import Opened, Run, radiograph
from tests.fakes import CARD, FakeEngine
from tests.inference.test_calibrated import site
from tests.ui.test_trust import worse
from ui.cli.ask import related_by

QUESTION = "What changed since the prior?"


def test_a_pair_is_answered_in_words(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    """Without --json the words themselves are on standard output, remarks on standard error."""
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION)
    assert done.code == 0, done.err
    assert done.out.strip() == "The opacity is worse."
    assert "A fake engine answers" in done.err
    assert opened.engine.closed


def test_json_has_every_key_of_the_contract(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["answer"] == "The opacity is worse."
    assert set(found) >= {"answer", "progression", "checks", "confidence", "timings", "model", "session_id", "warnings"}
    assert {"trust", "provenance", "answer_id"} <= set(found)
    assert set(found["timings"]) >= {"load_s", "encode_s", "prefill_s", "first_token_s", "total_s", "tokens"}
    assert isinstance(found["session_id"], int)
    assert done.err == ""


def test_an_answer_about_what_is_to_come_is_marked(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    ahead = ("ask", "--image", pair[0], "--image", pair[1], "--question", "Will the effusion be larger in a year?")
    assert "Forecast, not a finding" in run(*ahead).err
    assert run(*ahead, "--json").json["forecast"]["horizon"] == "in a year"
    done = run(*ahead[:-1], QUESTION, "--json")
    assert done.json["forecast"] is None
    assert "Forecast" not in run(*ahead[:-1], QUESTION).err


def test_an_answer_that_is_seldom_right_here_is_marked_and_kept(
    run: Run, pair: tuple[Path, Path], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without enough reviewed answers nothing is, and the reason stands beside it."""
    asked = ("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--checks", "--json", "--withhold-below", "99")
    opened.engine = FakeEngine(["The opacity is worse."], scores=worse)
    found = run(*asked).json
    assert (found["abstained"], found["withheld"]["answer"], found["withheld"]["findings"]) == (False, "", {})
    assert "it takes 200 reviewed temporal questions" in found["withheld"]["inactive"]
    monkeypatch.setattr(Store, "accepted", lambda _store: site(600, CARD.sha256))
    monkeypatch.setattr(Store, "accepted_stamp", lambda _store: (600, None))
    found = run(*asked).json
    assert (found["abstained"], found["answer"]) == (True, "The opacity is worse.")
    assert found["withheld"]["answer"].endswith("and you asked for at least 99.")
    assert set(found["withheld"]["findings"]) == set(found["progression"])


def test_a_question_that_is_refused_leaves_no_session(run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    """A question of 100 kB was refused and stayed behind as a session without an answer."""
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", "a" * 100_000)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "at most 8000" in done.err
    with Store(load(data_dir=tmp_path / "data")) as store:
        assert store.sessions(store.user(LOCAL)) == ()


def test_a_remark_is_made_once_with_the_images_it_is_true_of(run: Run, opened: Opened, tmp_path: Path) -> None:
    """Eight pictures without a header were sixteen lines that named none of them."""
    paths = [tmp_path / f"{level}.png" for level in (40, 80, 120)]
    for path, level in zip(paths, (40, 80, 120), strict=True):
        Pillow.new("L", (32, 32), level).save(path)
    done = run("ask", *(word for path in paths for word in ("--image", path)), "--question", QUESTION, "--json")
    assert [warning for warning in done.json["warnings"] if "no pixel spacing" in warning] == [
        "images 1, 2, 3: no pixel spacing: measurements are in pixels"
    ]


def test_images_reach_the_model_in_declared_order_with_roles_and_interval(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    """The dates of the headers make the roles; the order is the one typed."""
    run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION)
    run("ask", "--image", pair[1], "--image", pair[0], "--question", QUESTION)
    first, second = (request.images for request in opened.engine.requests)
    assert [image.role for image in first] == ["prior", "current"]
    assert [image.role for image in second] == ["current", "prior"]
    assert [image.sha256 for image in first] == [image.sha256 for image in reversed(second)]
    assert any("14 days" in image.when for image in first)


def test_roles_that_were_typed_win(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    done = run("ask", "--image", pair[0], "--role", "current", "--image", pair[1], "--role", "prior", "--question", QUESTION)
    assert done.code == 0, done.err
    (request,) = opened.engine.requests
    assert [image.role for image in request.images] == ["current", "prior"]
    assert request.relationship == "temporal"


def test_the_session_can_be_opened_again_with_its_provenance(run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    session_id = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json").json["session_id"]
    with Store(load(data_dir=tmp_path / "data")) as store:
        reader = store.user("local")
        session = store.session(session_id, reader)
        (turn,) = session.turns
        kept = store.answer(turn.versions[0].id, reader)
        assert [slot.role for slot in session.slots] == ["prior", "current"]
        assert turn.question == QUESTION
        assert kept.text == "The opacity is worse."
        assert kept.image_hashes == tuple(image.sha256 for image in opened.engine.requests[0].images)
        assert kept.model == "fake"
        assert QUESTION in kept.prompt


def test_clinical_context_is_told_when_it_is_typed_and_kept_with_the_question(
    run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path
) -> None:
    told = ("--indication", " cough ", "--age", "61")
    found = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, *told, "--json").json
    assert opened.engine.requests[0].clinical == (("Indication", "cough"), ("Age", "61"))
    assert found["provenance"]["clinical"] == {"Indication": "cough", "Age": "61"}
    with Store(load(data_dir=tmp_path / "data")) as store:
        (turn,) = store.session(found["session_id"], store.user("local")).turns
    assert (turn.clinical.indication, turn.clinical.prior_report) == ("cough", "")


def test_typed_marks_are_drawn_told_and_kept_lettered(run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    typed = ("--mark", "2:box:4,6:20,30", "--mark", "1:point:10,12")
    found = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, *typed, "--json").json
    plain = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json").json
    prior, current = opened.engine.requests[0].images
    assert [(mark.label, mark.kind) for mark in (*prior.marks, *current.marks)] == [("B", "point"), ("A", "box")]
    told = [(mark["image"], mark["label"], mark["kind"]) for mark in found["provenance"]["marks"]]
    assert told == [(1, "B", "point"), (2, "A", "box")]
    assert all(one["sha256"] != other["sha256"] for one, other in zip(found["images"], plain["images"], strict=True))
    with Store(load(data_dir=tmp_path / "data")) as store:
        (turn,) = store.session(found["session_id"], store.user("local")).turns
    assert [(mark.image, mark.label, mark.points) for mark in turn.marks] == [(1, "A", ((4, 6), (20, 30))), (0, "B", ((10, 12),))]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2:ring:4,6", "no kind of point, arrow, box, free"),
        ("3:point:4,6", "names no image of this question, which has 2"),
        ("1:box:4,6", "has 1 places and a box has 2"),
        ("1:point:4;6", "where a column and a row belong"),
        ("1:point:4000,6", "lies outside its image"),
    ],
)
def test_a_mark_that_means_nothing_is_one_sentence(run: Run, pair: tuple[Path, Path], opened: Opened, typed: str, said: str) -> None:
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--mark", typed)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not opened.engine.requests


def test_the_same_image_twice_can_be_asked(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    """The no-change control: importing the second time finds a duplicate, and it still is an image of the question."""
    done = run("ask", "--image", pair[0], "--image", pair[0], "--question", QUESTION)
    assert done.code == 0, done.err
    first, second = opened.engine.requests[0].images
    assert first.sha256 == second.sha256


def test_a_folder_with_one_study_is_an_image(run: Run, tmp_path: Path, opened: Opened) -> None:
    prior = radiograph(tmp_path / "prior" / "x.dcm", "20200101", 800)
    current = radiograph(tmp_path / "current" / "x.dcm", "20200301", 1500)
    done = run("ask", "--image", prior.parent, "--image", current.parent, "--question", QUESTION, "--json")
    assert done.code == 0, done.err
    assert [image.role for image in opened.engine.requests[0].images] == ["prior", "current"]


def test_images_of_two_patients_are_answered_with_a_warning(run: Run, tmp_path: Path, opened: Opened) -> None:
    one = radiograph(tmp_path / "one.dcm", "20200101", 800, patient="A")
    other = radiograph(tmp_path / "other.dcm", "20200301", 1500, patient="B")
    done = run("ask", "--image", one, "--image", other, "--question", QUESTION, "--json")
    assert done.code == 0, done.err
    assert sum("different patients" in warning for warning in done.json["warnings"]) == 1
    assert "warning: The images name different patients" in run("ask", "--image", one, "--image", other, "--question", QUESTION).err
    with closing(sqlite3.connect(tmp_path / "data" / "interval.db")) as database:
        rows = database.execute("select object_kind, object_id from audit where event = 'mismatch' order by id").fetchall()
    assert rows[0] == ("session", str(done.json["session_id"]))
    assert len(rows) == 2


def test_roles_against_the_dates_are_kept_without_the_dates(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    """`current, 14 days earlier` would tell the model two things at once."""
    newer, older = pair[1], pair[0]
    done = run("ask", "--image", newer, "--role", "prior", "--image", older, "--role", "current", "--question", QUESTION, "--json")
    assert [(image.role, image.when) for image in opened.engine.requests[0].images] == [("prior", ""), ("current", "")]
    assert any("contradict the dates" in warning for warning in done.json["warnings"])
    done = run("ask", "--image", newer, "--role", "time 2", "--image", older, "--role", "time 1", "--question", QUESTION, "--json")
    assert [image.when for image in opened.engine.requests[1].images] == ["", "14 days earlier"]
    assert not any("contradict the dates" in warning for warning in done.json["warnings"])


def test_checks_are_made_when_asked_for_and_kept(run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    opened.engine = type(opened.engine)(scores={"worse": -0.1, "stable": -3.0, "improved": -3.0})
    question = ["ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION]
    assert run(*question, "--json").json["checks"] == {}
    done = run(*question, "--checks", "--json")
    verdicts = {name: check["verdict"] for name, check in done.json["checks"].items()}
    assert verdicts == {
        "prior_guard": "not made",
        "said": "agrees",
        "decided": "clear",
        "rotation": "agrees",
        "paraphrase": "agrees",
        "none_of_these": "takes another",
        "undated": "agrees",
        "no_image": "not image-dependent",
        "exchange": "order-blind",
        "identical": "invented change",
    }
    assert done.json["trust"]["words"] == "not image-dependent"
    assert set(done.json["progression"]["nodule"]) == {"new", "worse", "stable", "improved", "resolved", "uncertain"}
    assert len(done.json["provenance"]["image_sha256"]) == 2
    with Store(load(data_dir=tmp_path / "data")) as store:
        (turn,) = store.session(done.json["session_id"], store.user("local")).turns
        assert turn.versions[0].checks["exchange"] == done.json["checks"]["exchange"]
    told = run(*question, "--checks").err
    assert "check: order-blind. " in told
    assert "trust: not image-dependent." in told
    drawn = run(*question, "--samples", "--json").json["checks"]["samples"]
    assert drawn["verdict"] == "agree"
    assert len(drawn["details"]) == 10


def test_an_answer_is_drawn_with_a_seed_when_asked_for(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    question = ["ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json"]
    assert run(*question).json["provenance"]["options"] == {"max_tokens": 160, "temperature": 0.0, "seed": 0}
    drawn = run(*question, "--temperature", "0.7", "--seed", "3").json
    assert (drawn["provenance"]["options"]["temperature"], drawn["provenance"]["seed"]) == (0.7, 3)
    assert opened.engine.requests[-1].options.seed == 3
    assert run(*question, "--temperature", "-1").code == 2


def test_model_and_engine_are_handed_on(run: Run, pair: tuple[Path, Path], opened: Opened) -> None:
    run("ask", "--image", pair[0], "--question", "Is there an opacity?", "--model", "bundled", "--engine", "torch")
    assert opened.asked == [("bundled", "torch")]


@pytest.mark.parametrize("ability", ABILITIES)
def test_each_ability_can_be_asked(run: Run, pair: tuple[Path, Path], opened: Opened, ability: str) -> None:
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--ability", ability)
    assert done.code == 0, done.err
    assert opened.engine.requests[0].ability == ability


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--question", QUESTION], "No image was given"),
        (["--image", "{a}"], "No question was given"),
        (["--image", "{a}", "--question", "  "], "No question was given"),
        (["--image", "{a}", "--image", "{b}", "--role", "prior", "--question", QUESTION], "1 roles were given for 2 images"),
        (["--image", "{a}"] * 9 + ["--question", QUESTION], "9 images were given"),
        (["--image", "nowhere.dcm", "--question", QUESTION], "nowhere.dcm"),
        (["--image", "{a}", "--question", QUESTION, "--ability", "forecast"], "forecast"),
        (["--image", "{a}", "--question", QUESTION, "--max-tokens", "0"], "--max-tokens"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_2(
    run: Run, pair: tuple[Path, Path], opened: Opened, arguments: list[str], sentence: str
) -> None:
    done = run("ask", *(argument.format(a=pair[0], b=pair[1]) for argument in arguments))
    assert done.code == 2
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert done.out == ""
    assert opened.engine.requests == []


def test_an_engine_that_dies_leaves_the_words_so_far(run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    opened.engine = type(opened.engine)(["one two three four"], dies_after=2)
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert done.json["answer"].startswith("one two")
    with Store(load(data_dir=tmp_path / "data")) as store:
        reader = store.user("local")
        assert store.session(done.json["session_id"], reader).turns[0].versions[0].state == "incomplete"


def test_an_engine_that_dies_before_a_word_does_not_lose_the_question(
    run: Run, pair: tuple[Path, Path], opened: Opened, tmp_path: Path
) -> None:
    opened.engine = type(opened.engine)(dies_after=0)
    done = run("ask", "--image", pair[0], "--image", pair[1], "--question", QUESTION, "--json")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    with Store(load(data_dir=tmp_path / "data")) as store:
        (turn,) = store.session(done.json["session_id"], store.user("local")).turns
        assert turn.question == QUESTION
        (version,) = turn.versions
        assert (version.text, version.state) == ("", "incomplete")


def test_roles_speak_of_a_relationship() -> None:
    assert related_by(["prior", "current"], "unrelated") == "temporal"
    assert related_by(["time 1", "time 2", "time 3"], "unrelated") == "temporal"
    assert related_by(["left", "right"], "views") == "sides"
    assert related_by(["CC", "MLO"], "views") == "views"
