"""Trust checks tell a model that looks from one that does not, and one that minds the order from one that does not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Event

import pytest

from errors import EngineDied
from inference import checks, pixels, probes, trust
from inference.answer import Answer, as_json, ask, record
from inference.engine import Engine, Mark, Request, Scores, Stage
from inference.gguf import GgufEngine
from inference.prompts import OVERALL, OVERALL_QUESTION
from inference.trust import WORDS, Check, judged
from tests import readers
from tests.fakes import FakeEngine
from tests.inference import tiny

CLASSES = ("worse", "stable", "improved")


def says(name: str, by: float = 3.0) -> Mapping[str, float]:
    return {choice: -1.0 if choice == name else -1.0 - by for choice in CLASSES}


def shown(request: Request) -> list[str]:
    return [image.sha256 for image in request.images]


PAIR = tiny.pair()
PRIOR, CURRENT = shown(PAIR)


def coherent(request: Request) -> Mapping[str, float]:
    """A reader who looks: worse as it is, improved the other way round, stable for anything shown twice."""
    return says({(PRIOR, CURRENT): "worse", (CURRENT, PRIOR): "improved"}.get((shown(request)[0], shown(request)[1]), "stable"))


def order_blind(request: Request) -> Mapping[str, float]:
    """Worse whatever the order, though nothing is said of grey."""
    return says("worse") if PRIOR in shown(request) else says("stable")


def image_blind(_request: Request) -> Mapping[str, float]:
    return says("worse")


def unstable(request: Request) -> Mapping[str, float]:
    return says("worse" if shown(request) == [PRIOR, CURRENT] else "stable", by=0.25)


def first_option(request: Request) -> Mapping[str, float]:
    """Looks, and minds the order of the options more than what it sees."""
    listed = sorted(CLASSES, key=request.question.find)
    return {name: (4.0 if name == listed[0] else 0.0) + coherent(request)[name] for name in CLASSES}


def made(engine: Engine, request: Request = PAIR, cancel: Event | None = None, names: Sequence[checks.Name] = checks.USUAL) -> Answer:
    cancel = cancel or Event()
    *_, answer = checks.checked(engine, ask(engine, request, cancel, progression=True, findings=("nodule",)), cancel, names)
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize(
    ("model", "verdicts", "state"),
    [
        (coherent, ("clear", "agrees", "image-dependent", "coherent", "no change"), "coherent"),
        (order_blind, ("clear", "agrees", "image-dependent", "order-blind", "no change"), "order-blind"),
        (image_blind, ("clear", "agrees", "not image-dependent", "order-blind", "invented change"), "image-blind"),
        (unstable, ("close", "agrees", "image-dependent", "unstable", "no change"), "unstable"),
        (first_option, ("clear", "option-order decides", "image-dependent", "coherent", "invented change"), "unstable"),
    ],
)
def test_models_are_told_apart(model: Callable[[Request], Mapping[str, float]], verdicts: tuple[str, ...], state: str) -> None:
    answer = made(FakeEngine(scores=model))
    found = [answer.checks[name].verdict for name in checks.USUAL]
    assert (answer.trust.state, answer.trust.words) == (state, WORDS[state])  # type: ignore[index]
    assert tuple(found) == verdicts
    assert all(check.explanation.endswith((".", "”.")) for check in answer.checks.values())
    assert answer.trust.explanation


def noisy(engine: FakeEngine, seed: int, by: float = 0.4) -> FakeEngine:
    """The same reader with likelihoods that tremble from prompt to prompt, as a real model's do."""
    steady = engine._scores
    assert callable(steady)

    def scores(request: Request) -> Mapping[str, float]:
        draw = random.Random(f"{seed}{request.question}{''.join(shown(request))}")
        return {name: score + draw.uniform(-by, by) for name, score in steady(request).items()}

    return FakeEngine(engine._answers, scores=scores)


def planted_blind() -> FakeEngine:
    return FakeEngine(scores=lambda _request: {"worse": 0.0, "stable": -3.0, "improved": -4.0})


@pytest.mark.parametrize("roles", [("prior", "current"), ("time 1", "time 2", "time 3")])
@pytest.mark.parametrize(
    ("plant", "state", "by"),
    [(readers.coherent, "coherent", 0.4), (readers.order_blind, "order-blind", 0.4), (planted_blind, "image-blind", 0.05)],
)
def test_planted_engines_are_told_apart_a_hundred_times_of_a_hundred(
    plant: Callable[[], FakeEngine], state: str, by: float, roles: tuple[str, ...]
) -> None:
    """Pairs and series of random brightness, likelihoods that tremble; every one of a hundred must be named for what it is."""
    found = []
    for seed in range(100):
        draw = random.Random(seed)
        low = draw.randint(10, 90)
        levels = [low, low + draw.randint(8, 60)]
        draw.shuffle(levels)
        levels[1:1] = [sum(levels) // 2] * (len(roles) - 2)
        images = [pixels.image(tiny.np.full((8, 8), level, dtype=tiny.np.uint8)) for level in levels]
        request = replace(PAIR, images=tuple(replace(i, role=role) for i, role in zip(images, roles, strict=True)))
        found.append(made(noisy(plant(), seed, by), request).trust.state)
    assert found == [state] * 100


def test_pictures_change_places_while_places_roles_and_times_stay() -> None:
    engine = FakeEngine(scores=coherent)
    made(engine)
    grey, turned, same = (engine.scored[place][0] for place in (-5, -3, -1))
    for request in (grey, turned, same):
        assert [(image.role, image.when) for image in request.images] == [(image.role, image.when) for image in PAIR.images]
    assert {int(value) for image in grey.images for value in image.pixels.ravel()} == {128}
    assert len(set(shown(grey))) == 1
    assert shown(turned) == [CURRENT, PRIOR]
    assert shown(same) == [CURRENT, CURRENT]


def test_evidence_is_with_each_check() -> None:
    """What was asked, of which pictures, and what was said before and after."""
    found = made(FakeEngine(scores=order_blind)).checks["exchange"]
    assert found.images == (CURRENT, PRIOR)
    assert found.question.startswith("Overall, is the disease worse")
    assert found.seen["worse"] == pytest.approx(found.found["worse"])


class Metered:
    """An engine on a real model that writes down how many images each score encoded."""

    def __init__(self, engine: GgufEngine) -> None:
        self._engine = engine
        self.encoded: list[tuple[tuple[str, ...], int]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def score(self, request: Request, choices: Sequence[str], cancel: Event | None = None, *, whole: bool = True) -> Scores:
        scores = self._engine.score(request, choices, cancel, whole=whole)
        self.encoded.append((tuple(shown(request)), self._engine.timings.images_encoded))
        return scores


def test_exchange_and_control_encode_no_image_again(gguf: GgufEngine) -> None:
    """Only the one grey picture is new to the engine, and only the first time."""
    metered = Metered(gguf)
    answer = made(metered, names=checks.ON_REQUEST)  # type: ignore[arg-type]
    assert answer.checks["exchange"].passed is not None
    assert sum(count for hashes, count in metered.encoded if set(hashes) <= {PRIOR, CURRENT}) == 0
    assert sum(count for _, count in metered.encoded) <= 1
    metered.encoded.clear()
    made(metered)  # type: ignore[arg-type]
    assert sum(count for _, count in metered.encoded) == 0


def test_the_current_picture_is_found_by_its_role_not_its_place() -> None:
    backwards = tiny.pair(images=tuple(reversed(PAIR.images)))
    assert shown(probes.identical(backwards)) == [CURRENT, CURRENT]


SERIES = tiny.pair(images=tuple(tiny.picture(seed, f"time {seed}") for seed in (1, 2, 3)))


def test_a_series_is_turned_round_in_time_and_its_last_picture_shown_at_every_time() -> None:
    """The places keep their roles, also where the newest image was put first; asked is of the whole course, not of the prior."""
    newest_first = replace(SERIES, images=tuple(reversed(SERIES.images)))
    for request in (SERIES, newest_first):
        pictures = {image.role: image.sha256 for image in request.images}
        engine = FakeEngine(scores=lambda asked: says("worse" if len(set(shown(asked))) > 1 else "stable"))
        found = made(engine, request).checks
        turned = [pictures[f"time {4 - int(image.role[-1])}"] for image in request.images]
        assert found["exchange"].images == tuple(turned)
        assert found["exchange"].explanation == "With the images in the reverse order the model still says worse: their order is not used."
        assert found["exchange"].question.startswith(
            "Overall, is the disease worse, stable or improved from the first to the last time point?"
        )
        assert not [asked.question for asked, _ in engine.scored if "since the prior" in asked.question], "the bars of the findings neither"
        assert found["identical"].images == (pictures["time 3"],) * 3
        assert found["identical"].explanation == "Shown the same image 3 times the model says stable, as it should."


def test_which_of_three_images_goes_with_its_picture() -> None:
    """Each picture moves one place on, so that none stays: in the reverse order the second did, and who always names it passed."""
    brightest = replace(SERIES, question="Which image shows the larger nodule?", ability="coreference")

    def looks(request: Request) -> Mapping[str, float]:
        names = ("the first image", "the second image", "the third image")
        same = len(set(shown(request))) == 1
        due = "all the same" if same else names[shown(request).index(max(shown(brightest)))]
        return {name: 0.0 if name == due else -5.0 for name in (*names, "all the same")}

    answer = made(FakeEngine(scores=looks), brightest)
    assert (answer.checks["exchange"].verdict, answer.checks["identical"].verdict) == ("coherent", "no change")
    for place in ("first", "second", "third"):
        always = {**dict.fromkeys(looks(brightest), -5.0), f"the {place} image": 0.0}
        stubborn = made(FakeEngine(scores=lambda _request, always=always: always), brightest)
        assert (stubborn.checks["exchange"].verdict, stubborn.checks["identical"].verdict) == ("order-blind", "invented change")
        assert stubborn.checks["exchange"].explanation == (
            f"With the images each moved one place on the model still says the {place} image: their order is not used."
        )


@pytest.mark.parametrize(
    "question", ["Which image is the older one?", "Which film was taken first?", "Which of the two images is more recent?"]
)
def test_which_image_is_older_is_read_from_its_label_and_does_not_move_with_the_picture(question: str) -> None:
    found = made(FakeEngine(scores=lambda _request: {}), tiny.pair(question, ability="coreference"))
    assert found.checks["exchange"].verdict == "not made"


def test_listed_options_about_three_images_are_not_turned_round() -> None:
    """They may be about the last two of them: nothing is due of worse there when all three change places."""
    lettered = replace(SERIES, question="How did it change since the last visit?\nA: worse\nB: stable\nC: improved")
    found = made(FakeEngine(scores=lambda _request: {}), lettered).checks["exchange"]
    assert (found.verdict, found.explanation) == ("not made", "There are 3 images, and the options may be about any two of them.")


def test_a_question_about_a_mark_is_checked_by_that_mark() -> None:
    """It was checked by the disease as a whole, which may go another way; the mark goes with its picture."""
    box = Mark("B", "box", ((0.1, 0.1), (0.3, 0.3)))
    first, second = PAIR.images
    request = replace(PAIR, images=(first, replace(second, marks=(box,))), question="Has region B changed since the prior?")
    engine = FakeEngine(
        scores=lambda _request: {"worse": 0.0, "new": -1.0, "stable": -2.0, "improved": -3.0, "resolved": -4.0, "uncertain": -5.0}
    )
    found = made(engine, request).checks["exchange"]
    assert (
        found.question
        == "How has region B changed since the prior? Answer with one word: new, worse, stable, improved, resolved or uncertain."
    )
    (turned,) = {tuple(image.marks for image in asked.images) for asked, _ in engine.scored if shown(asked) == [CURRENT, PRIOR]}
    assert turned == ((box,), ())
    same = made(engine, replace(request, images=(replace(first, marks=(box,)), second))).checks["identical"]
    assert same.images == (PRIOR, PRIOR), "the picture that bears B, for the other has none"
    marked = replace(request, images=(replace(first, marks=(replace(box, label="A"),)), replace(second, marks=(box,))))
    for question, asked in {
        "Has region C changed since the prior?": "Overall",  # nothing is marked C
        "Has A changed since the prior?": "How has region A",
        "Is the nodule B larger?": "How has region B",
        "Has region A changed as much as region B since the prior?": "Overall",
        "Have regions A and B changed?": "Overall",
    }.items():
        assert made(engine, replace(marked, question=question)).checks["exchange"].question.startswith(asked), question


def test_words_about_the_last_two_of_three_time_points_do_not_contradict_the_whole_course() -> None:
    engine = FakeEngine(["Overall unchanged since the last study."], scores=lambda _request: says("worse"))
    assert made(engine, replace(SERIES, question="What changed?")).checks["said"].verdict == "not made"
    engine = FakeEngine(["Overall unchanged, with both lungs clear."], scores=lambda _request: says("worse"))  # "with" names no time
    assert made(engine, replace(SERIES, question="What changed?")).checks["said"].verdict == "says otherwise"


def test_which_image_shows_a_tube_goes_with_its_picture_though_a_tube_need_not_come_out_again() -> None:
    which = replace(PAIR, question="Which image shows the tube lower?")
    names = ("the first image", "the second image", "both the same")
    found = made(FakeEngine(scores=lambda _request: dict(zip(names, (0.0, -3.0, -4.0), strict=True))), which).checks["exchange"]
    assert found.verdict == "order-blind"


def test_one_image_and_an_open_question_say_why_a_check_is_not_made() -> None:
    alone = made(FakeEngine(["Clear lungs."]), tiny.pair(images=PAIR.images[:1]))
    assert alone.checks["no_image"].verdict == "not image-dependent"
    assert alone.checks["exchange"].verdict == "not made"
    assert alone.trust.state == "image-blind"


def test_a_tie_that_tips_without_the_images_is_no_proof_that_they_were_used() -> None:
    """The bundled model's third cut leaned by three hundredths; its argmax changed and it was called image-dependent."""

    def hardly(request: Request) -> Mapping[str, float]:
        return {"worse": -1.0, "stable": -1.3, "improved": -1.02 if PRIOR in shown(request) else -0.98}

    found = made(FakeEngine(scores=hardly)).checks["no_image"]
    assert found.verdict == "not image-dependent"
    assert found.explanation.endswith("worse, then improved, by next to nothing.")


def test_the_pass_without_images_is_held_against_the_same_order_of_the_options() -> None:
    """A model that takes whatever stands first is not said to have looked because two orders were averaged on one side only."""
    grey = probes.without_images(PAIR).images[0].sha256

    def first(request: Request) -> Mapping[str, float]:
        return {name: 0.0 if request.question.startswith(f"Overall, is the disease {name}") else -6.0 for name in OVERALL}

    engine = FakeEngine(scores=first)
    found = made(engine).checks["no_image"]
    assert (found.verdict, found.seen) == ("not image-dependent", found.found)
    blind = [request.question for request, _ in engine.scored if grey in shown(request)]
    assert blind == [OVERALL_QUESTION]


def test_an_open_answer_depends_on_the_images_when_its_words_get_less_likely_without_them() -> None:
    def looks(request: Request) -> Mapping[str, float]:
        return {"A nodule.": -2.0 if PRIOR in shown(request) else -6.0}

    answer = made(FakeEngine(["A nodule."], scores=looks), tiny.pair("What is it?", ability="reasoning"))
    found = answer.checks["no_image"]
    assert (found.verdict, found.figures["moved_nats_per_token"]) == ("image-dependent", pytest.approx(2.0))
    assert answer.trust.state == "image-based"


@pytest.mark.parametrize(
    "question", ["Has the tube moved since the prior?", "What changed after resection?", "Will it be worse next year?"]
)
def test_devices_surgery_and_forecasts_are_not_exchanged(question: str) -> None:
    """They need not be undone when the images change places, so an exchange would accuse a model that is right."""
    answer = made(FakeEngine(scores=order_blind), tiny.pair(question))
    assert answer.checks["exchange"].verdict == "not made"
    assert answer.trust.state == "image-based"


def test_a_comparison_claimed_of_a_single_image_is_flagged() -> None:
    alone = tiny.pair("Is there an effusion?", images=PAIR.images[:1], ability="reasoning")
    flagged = made(FakeEngine(["The effusion has increased since the prior study."]), alone).checks["prior_guard"]
    assert (flagged.verdict, flagged.passed) == ("claims a comparison", False)
    assert "since the prior study" in flagged.explanation
    assert made(FakeEngine(["A small left effusion."]), alone).checks["prior_guard"].passed is True
    assert made(FakeEngine(["Unchanged."]), PAIR).checks["prior_guard"].verdict == "not made"


def test_an_answer_that_denies_what_it_was_shown_is_flagged() -> None:
    """Three films were shown, and the answer said: Cannot tell: there is only one image."""
    flagged = made(FakeEngine(["Cannot tell: there is only one image."]), PAIR).checks["prior_guard"]
    assert (flagged.verdict, flagged.passed) == ("denies an image", False)
    assert flagged.explanation == "The model was shown 2 images, yet the answer says “there is only one image”."
    for words in (
        "Only one image shows a nodule.",
        "There is only one image on which the nodule is seen.",
        "Only one image is shown to have an effusion.",
        "No prior study was as abnormal as the current one.",
        "It is seen on no previous film.",
        "No prior infarct.",
    ):
        assert made(FakeEngine([words]), PAIR).checks["prior_guard"].verdict == "not made"
    for words in ("There are no prior images.", "No prior study for comparison.", "No previous films are available."):
        assert made(FakeEngine([words]), PAIR).checks["prior_guard"].verdict == "denies an image"
    strangers = replace(PAIR, relationship="unrelated")
    assert made(FakeEngine(["No prior study is available."]), strangers).checks["prior_guard"].verdict == "not made"


def test_an_answer_whose_words_contradict_the_choice_that_was_checked_is_unstable() -> None:
    """Every check passed for what the model says when it must choose, and the page called the other words beside it coherent."""
    answer = made(FakeEngine(["The effusion is smaller; overall improved."], scores=coherent))
    assert (answer.checks["exchange"].verdict, answer.checks["said"].verdict) == ("coherent", "says otherwise")
    assert answer.trust.state == "unstable"
    assert answer.trust.explanation == "The answer says improved; asked for one of 3 options the model says worse."
    assert made(FakeEngine(["A little denser; overall worse."], scores=coherent)).trust.state == "coherent"


def test_a_question_about_one_finding_is_checked_by_that_finding() -> None:
    def grown(request: Request) -> Mapping[str, float]:
        """The nodule grew while the disease as a whole is stable."""
        return coherent(request) if "nodule" in request.question else says("stable")

    found = made(FakeEngine(["The nodule is larger."], scores=grown), tiny.pair("Is the nodule progressing?"), names=checks.ON_REQUEST)
    assert found.checks["exchange"].question.startswith("How has the nodule changed")
    assert found.checks["exchange"].explanation == "With the images exchanged worse becomes improved, as it should."
    assert found.checks["said"].passed
    assert found.trust.state == "coherent"


def test_a_question_that_asks_of_no_change_is_not_judged_by_what_turns_round() -> None:
    """A normal heart stays normal in either order; it was called order-blind."""
    answer = made(FakeEngine(["The heart is normal."], scores=order_blind), tiny.pair("And the heart?"))
    assert {name for name, check in answer.checks.items() if check.verdict != "not made"} == {"no_image"}


def test_uncertain_of_one_picture_twice_is_no_invented_change() -> None:
    def unsure(request: Request) -> Mapping[str, float]:
        return {"uncertain": 0.0} if len(set(shown(request))) == 1 else coherent(request)

    found = made(FakeEngine(scores=unsure), tiny.pair("Is the nodule worse?")).checks["identical"]
    assert (found.verdict, found.passed) == ("undecided", None)


def test_dates_and_age_are_left_out_on_request() -> None:
    def by_date(request: Request) -> Mapping[str, float]:
        return coherent(request) if request.images[0].when else says("stable")

    told = tiny.pair(
        images=(replace(PAIR.images[0], when="2 years earlier"), PAIR.images[1]), clinical=(("Age", "61"), ("Indication", "cough"))
    )
    engine = FakeEngine(scores=by_date)
    found = made(engine, told, names=("undated",))
    assert (found.checks["undated"].verdict, found.checks["undated"].passed) == ("dates decide", False)
    assert found.checks["undated"].explanation == "Told no dates the model says stable instead of worse."
    bare = engine.scored[-1][0]
    assert ([image.when for image in bare.images], bare.clinical) == (["", ""], (("Indication", "cough"),))
    undated = replace(PAIR, images=tuple(replace(image, when="") for image in PAIR.images))
    assert made(FakeEngine(scores=coherent), undated, names=("undated",)).checks["undated"].verdict == "not made"


def test_other_words_and_a_missing_option_are_asked_on_request() -> None:
    def notices(request: Request) -> Mapping[str, float]:
        return {"none of these": 0.0} if "none of these" in request.question else coherent(request)

    found = made(FakeEngine(scores=notices), names=checks.ON_REQUEST).checks
    assert (found["paraphrase"].verdict, found["none_of_these"].verdict) == ("agrees", "notices")
    assert "none of these" in found["none_of_these"].question
    stubborn = made(FakeEngine(scores=image_blind), names=checks.ON_REQUEST).checks
    assert stubborn["none_of_these"].verdict == "takes another"

    def worded(request: Request) -> Mapping[str, float]:
        return says("stable") if request.question.startswith("Compared") else coherent(request)

    answer = made(FakeEngine(scores=worded), names=checks.ON_REQUEST)
    assert answer.checks["paraphrase"].verdict == "wording decides"
    assert answer.trust.state == "unstable"


def test_drawn_answers_are_counted_by_what_they_mean() -> None:
    words = ["It is worse.", *["Worse.", "The opacity has increased."] * 4, "Improved.", "It is stable."]
    engine = FakeEngine(words, scores=coherent)
    found = made(engine, names=("samples",)).checks["samples"]
    assert (found.verdict, found.figures["meanings"], found.figures["agreeing"]) == ("agree", 3.0, 8.0)
    assert 0 < found.figures["semantic_entropy"] < 1
    assert [request.options.seed for request in engine.requests[1:]] == list(range(checks.SAMPLES))
    assert all(request.options.temperature > 0 for request in engine.requests[1:])
    same = made(FakeEngine(["Worse."], scores=coherent), names=("samples",)).checks["samples"]
    assert same.figures["semantic_entropy"] == 0


def test_a_stop_or_a_dying_engine_keeps_the_checks_already_made() -> None:
    cancel = Event()
    engine = FakeEngine(scores=coherent)
    items = []
    for item in checks.checked(engine, ask(engine, PAIR, cancel, progression=True, findings=("nodule",)), cancel):
        items.append(item)
        if item == Stage("checking", 4, 5):
            cancel.set()
    answer = items[-1]
    assert isinstance(answer, Answer)
    assert (answer.state, list(answer.checks)) == ("complete", ["prior_guard", "said", "decided", "rotation", "no_image"])
    assert "checks were stopped" in answer.warnings[-1]
    assert "engine is gone" in made(Dying(scores=coherent)).warnings[-1]


class Dying(FakeEngine):
    """Gone at the first check."""

    def score(self, request: Request, choices: object, cancel: Event | None = None, *, whole: bool = True) -> Scores:
        if PRIOR not in shown(request):
            raise EngineDied("the engine is gone")
        return super().score(request, choices, cancel)  # type: ignore[arg-type]


def test_checks_are_in_the_json_and_in_the_record() -> None:
    answer = made(FakeEngine(scores=order_blind))
    told = json.loads(json.dumps(as_json(answer), allow_nan=False))
    assert told["checks"]["exchange"]["verdict"] == "order-blind"
    assert told["checks"]["exchange"]["check"] == "C2"
    assert told["trust"] == {"state": "order-blind", "words": "order-blind", "explanation": answer.checks["exchange"].explanation}
    kept = record(answer).checks
    assert kept["exchange"] == answer.checks["exchange"].as_json()
    assert kept["trust"] == told["trust"]
    assert trust.kept(json.loads(json.dumps(kept))) == answer.checks
    assert kept["overall"] == answer.overall


def test_stable_both_ways_is_coherent_but_proves_no_sense_of_order() -> None:
    found = made(FakeEngine(scores=lambda _request: says("stable"))).checks["exchange"]
    assert found.verdict == "coherent"
    assert "blind to order" in found.explanation


def test_an_answer_that_ignores_the_images_is_never_called_more_than_that() -> None:
    """Consistency is a trap: such a model passes every other check."""
    passed = Check("C2", "coherent", "x.", True)
    blind = Check("C1", "not image-dependent", "Said just the same.", False)
    everything = {"exchange": passed, "identical": passed, "rotation": passed, "paraphrase": passed}
    assert judged({**everything, "no_image": blind}).state == "image-blind"
    assert judged(everything).state == "unchecked"


def test_checks_that_fail_leave_the_answer_and_those_that_were_made() -> None:
    """On the command line the whole answer was lost with them."""

    def broken(request: Request) -> Mapping[str, float]:
        if all(image.sha256 == request.images[0].sha256 for image in request.images):
            raise KeyError("improved")
        return coherent(request)

    found = made(FakeEngine(["It is worse."], scores=broken))
    assert (found.text, found.state) == ("It is worse.", "complete")
    assert {"decided", "rotation"} <= set(found.checks)
    assert "the checks are not complete: they failed inside the program, and the log has the cause" in found.warnings
