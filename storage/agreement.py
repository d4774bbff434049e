"""How far readers and reviewers agree, error code by error code.

Whoever spoke of an item is a rater: its reader, then each reviewer in turn; the adjudicator, who has seen them all, is none. Cohen's
kappa takes every pair of raters of an item, the earlier as first; Krippendorff's alpha (nominal data, K. Krippendorff, Content
Analysis, 2004, chapter 11) takes any number of raters an item. Both are undefined where nobody, or everybody, gave a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import roles, statements
from storage.feedback import CODES
from storage.review_views import Agreement, CodeAgreement
from storage.schema import FeedbackRow, ReviewItemRow, ReviewRow, UserRow
from storage.views import User

Ratings = Sequence[Sequence[bool]]
"""Of each item, what each of its raters said in turn."""


def measured(session: Session, user: User, readers: tuple[int, int] | None = None) -> Agreement:
    """Agreement over every item that a reader and a reviewer judged; `readers` narrows it to two people.

    Raises `StoreRefused` without the right to review.
    """
    roles.require(session, user, "review")
    said: dict[int, list[tuple[int, frozenset[str]]]] = {}
    first = select(ReviewItemRow.id, ReviewItemRow.reader_id, FeedbackRow.verdict, FeedbackRow.codes)
    for row in session.execute(first.join(FeedbackRow, FeedbackRow.id == ReviewItemRow.feedback_id)):
        if row.verdict or row.codes:
            said[row.id] = [(row.reader_id, frozenset(row.codes))]
    later = (
        select(ReviewRow)
        .join(ReviewItemRow, ReviewItemRow.id == ReviewRow.item_id)
        .where(ReviewRow.feedback_id == ReviewItemRow.feedback_id, ReviewRow.decision == "judged", ReviewRow.adjudicates.is_(False))
    )
    blind = 0
    for review in session.scalars(later.order_by(ReviewRow.id)):
        if statements.of_row(review).judged and review.item_id in said:
            said[review.item_id].append((review.user_id, frozenset(review.codes)))
            blind += review.blind
    if readers:
        said = {item: [one for one in raters if one[0] in readers] for item, raters in said.items()}
    rated = [raters for raters in said.values() if len(raters) > 1]
    pairs = [(one[1], other[1]) for raters in rated for one, other in combinations(raters, 2)]
    everybody = {person for raters in rated for person, _ in raters}
    names = session.execute(select(UserRow.id, UserRow.name).where(UserRow.id.in_(everybody)).order_by(UserRow.id))
    return Agreement(
        items=len(rated),
        pairs=len(pairs),
        blind=blind,
        same=sum(one == other for one, other in pairs) / len(pairs) if pairs else None,
        codes=tuple(_code(code, [[code in codes for _, codes in raters] for raters in rated]) for code in CODES),
        readers=tuple((row.id, row.name) for row in names),
    )


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of two raters over yes and no; None where it is not defined."""
    from sklearn.metrics import cohen_kappa_score

    if len({answer for pair in pairs for answer in pair}) < 2:
        return None
    return float(cohen_kappa_score([one for one, _ in pairs], [other for _, other in pairs], labels=[False, True]))


def alpha(ratings: Ratings) -> float | None:
    """Krippendorff's alpha for nominal data: 1 - observed / expected disagreement; items with one rater do not count.

    Each ordered pair of ratings of an item weighs 1 / (its raters - 1). None where it is not defined.
    """
    counted = [[sum(item), len(item) - sum(item)] for item in ratings if len(item) > 1]
    values = [sum(item[place] for item in counted) for place in (0, 1)]
    total = sum(values)
    expected = 2 * values[0] * values[1]
    if expected == 0:
        return None
    observed = sum(2 * yes * no / (yes + no - 1) for yes, no in counted)
    return 1 - (total - 1) * observed / expected


def _code(code: str, ratings: Ratings) -> CodeAgreement:
    pairs = [pair for item in ratings for pair in combinations(item, 2)]
    return CodeAgreement(
        code=code,
        items=len(ratings),
        either=sum(map(any, ratings)),
        both=sum(map(all, ratings)),
        kappa=kappa(pairs),
        alpha=alpha(ratings),
    )
