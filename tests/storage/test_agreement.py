"""Kappa and alpha against worked examples of the literature, and what of the store they are made of."""

from __future__ import annotations

import pytest

from storage import agreement
from storage.feedback import Said
from storage.review_views import Filters, Judgement
from storage.statements import Statement, conflict, together, twice_said
from storage.store import Store
from storage.views import LOCAL
from tests.storage import values
from tests.storage.test_review import person


def test_kappa_of_a_worked_example() -> None:
    """Cohen's 50 proposals: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no give 0.4."""
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert agreement.kappa(pairs) == pytest.approx(0.4)


def test_alpha_of_a_worked_example() -> None:
    """Krippendorff's binary example (Computing Krippendorff's Alpha-Reliability, 2011, A): two observers, ten units, 0.095."""
    first, second = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    ratings = [[bool(one), bool(other)] for one, other in zip(first, second, strict=True)]
    assert agreement.alpha(ratings) == pytest.approx(0.095, abs=5e-4)


def test_alpha_takes_three_raters_and_leaves_out_items_with_one() -> None:
    """Three of three, and two of three: D_o = (0 + 2 * 2 * 1 / 2) / 6, D_e = 2 * 5 * 1 / (6 * 5)."""
    assert agreement.alpha([[True, True, True], [True, True, False], [False]]) == pytest.approx(1 - (2 / 6) / (10 / 30))


@pytest.mark.parametrize("ratings", [[], [[True]], [[True, True]], [[False, False], [False, False]]])
def test_no_figure_where_none_is_defined(ratings: list[list[bool]]) -> None:
    assert agreement.alpha(ratings) is None
    assert agreement.kappa([(one[0], one[1]) for one in ratings if len(one) > 1]) is None


def test_agreement_counts_readers_and_reviewers_code_by_code(store: Store) -> None:
    reader, second = store.user("reader", "Reader"), person(store, "second", "annotator")
    third = person(store, "third", "adjudicator")
    case = store.start_session(reader, "Case", [])
    given = [("change-missed",), ("change-missed",), ("wrong-side",), ()]
    judged = [("change-missed",), ("wrong-side",), ("wrong-side",), ()]
    for number, codes in enumerate(given):
        turn = store.add_turn(case, reader, f"{number}?", "temporal", "temporal")
        store.add_feedback(store.add_version(turn, values.record()), reader, Said("disagree" if codes else "agree", codes=codes))
    items = [one.id for one in store.queue(second, Filters(order="oldest")).items]
    for number, (item, codes) in enumerate(zip(items, judged, strict=True)):
        store.take(item, second)
        statement = Statement("disagree" if codes else "agree", codes)
        store.decide(item, second, Judgement("judged", statement, blind=number < 2))
    store.take(items[1], third)
    store.decide(items[1], third, Judgement("judged", Statement("disagree", ("other",))))

    found = store.agreement(second)

    assert (found.items, found.pairs, found.blind, found.same) == (4, 4, 2, 0.75)
    assert found.readers == ((reader.id, "Reader"), (second.id, "second"))
    missed, side = (next(one for one in found.codes if one.code == code) for code in ("change-missed", "wrong-side"))
    assert (missed.either, missed.both, missed.kappa) == (2, 1, pytest.approx(0.5))
    assert (side.either, side.both, side.kappa) == (2, 1, pytest.approx(0.5))
    assert missed.alpha == pytest.approx(1 - 7 * (2 / 1) / (2 * 3 * 5))
    nobody = next(one for one in found.codes if one.code == "forecast-as-fact")
    assert (nobody.either, nobody.kappa, nobody.alpha) == (0, None, None)
    assert store.agreement(second, (second.id, third.id)).items == 0
    assert store.agreement(store.user(LOCAL), (reader.id, second.id)).items == 4


def test_statements_are_compared_part_by_part() -> None:
    flag = Statement("disagree", ("other", "wrong-side"), "minor", "Larger.", {"effusion": "worse"})
    same = Statement("disagree", ("wrong-side", "other"), "critical", " larger", {"nodule": "new"})
    assert conflict(flag, same) == ()
    assert conflict(flag, Statement("agree", (), "", "Smaller.", {"effusion": "stable"})) == ("codes", "answer", "effusion")
    assert conflict(flag, Statement(comment="Nothing to add.")) == ()
    whole = together([flag, same])
    assert (whole.severity, whole.corrected_answer, whole.cells) == ("critical", "Larger.", {"effusion": "worse", "nodule": "new"})
    assert not twice_said([flag, same]), "each cell was said by one alone"
    assert twice_said([flag, same, Statement("disagree", ("other", "wrong-side"), cells=whole.cells)])
