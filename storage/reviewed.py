"""One case as a reviewer sees it, and everything that reviewers let through for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from storage import feedback, history, review, roles, statements
from storage.review_views import Decision, ItemView, ReviewView
from storage.schema import (
    FeedbackRow,
    InstanceRow,
    PatientRow,
    ReviewItemRow,
    ReviewRow,
    SeriesRow,
    StudyRow,
    TurnRow,
    UserRow,
    VersionRow,
)
from storage.views import Ability, AskedMark, Clinical, Relationship, Severity, Slot, User, Verdict


@dataclass(frozen=True)
class ReviewedImage:
    """One image of a reviewed question, in the order the model was shown it.

    `tile_sha256` is of the pixels the model was given, `file_sha256` of the file the frame is in ('' when its study was erased).
    """

    slot: Slot
    tile_sha256: str
    file_sha256: str
    study_uid: str
    series_uid: str
    modality: str
    patient: str


@dataclass(frozen=True)
class Reviewed:
    """One answer with what two people, or an adjudicator, say of it: the only thing a reader's word may train by.

    `marks` and `clinical` went to the model with the question. `answer` is the model's; `progression` and `checks` belong to it.
    The corrected answer, cells, codes and severity are those that stand. `rejected_answer` is the other version's that this one
    was preferred over. Ids are of the store's rows.
    """

    item: int
    feedback: int
    session: int
    turn: int
    version: int
    images: tuple[ReviewedImage, ...]
    question: str
    ability: Ability
    relationship: Relationship
    marks: tuple[AskedMark, ...]
    clinical: Clinical
    answer: str
    model: str
    model_sha256: str
    adapter_sha256: str
    verdict: Verdict
    codes: tuple[str, ...]
    severity: Severity
    corrected_answer: str
    cells: Mapping[str, str]
    mark: AskedMark | None
    preferred_over: int | None
    rejected_answer: str
    reader: int
    reviewers: tuple[int, ...]
    adjudicator: int | None
    created: datetime
    progression: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    checks: Mapping[str, object] = field(default_factory=dict)
    offsets_sha256: str = ""

    @property
    def patients(self) -> tuple[str, ...]:
        """Pseudonyms of the patients its images are of, in order."""
        return tuple(dict.fromkeys(image.patient for image in self.images if image.patient))

    @property
    def patient(self) -> str:
        """The first patient's pseudonym; '' when every study was erased."""
        return next(iter(self.patients), "")

    @property
    def modality(self) -> str:
        """The first image's modality."""
        return next((image.modality for image in self.images if image.modality), "")


def case(session: Session, item_id: int, user: User) -> ItemView:
    """A case of the queue whole. Raises `StoreRefused` without the right to review, `StoreError` for none."""
    roles.require(session, user, "review")
    line = review.one(session, item_id)
    row = session.get_one(ReviewItemRow, item_id)
    said = feedback.of_versions(session, [row.version_id], User(row.reader_id, ""))[row.version_id]
    newest = next(one for one in reversed(said) if one.id == row.feedback_id)
    reviews = review.judged(session, row)
    people = select(UserRow.id, UserRow.name).where(UserRow.id.in_([one.user_id for one in reviews]))
    names = {row.id: row.name for row in session.execute(people)}
    voices = [statements.of_row(newest), *(statements.of_row(one) for one in reviews if one.decision == "judged" and not one.adjudicates)]
    conflicts = [part for place, one in enumerate(voices) for other in voices[:place] for part in statements.conflict(other, one)]
    decided = next((statements.of_row(one) for one in reviews if one.adjudicates and one.decision == "judged"), None)
    other = session.get(VersionRow, newest.preferred_over) if newest.preferred_over else None
    return ItemView(
        item=line,
        turn=history.turn_view(session, row.version_id),
        said=tuple(said),
        reviews=tuple(_review(one, names.get(one.user_id, "")) for one in reviews),
        proposed=decided or (voices[0] if conflicts else statements.together(voices)),
        conflicts=tuple(dict.fromkeys(conflicts)),
        rival=other.text if other is not None else "",
    )


def accepted(session: Session) -> tuple[Reviewed, ...]:
    """Every accepted item, oldest first: six statements, however many there are."""
    items = session.scalars(select(ReviewItemRow).where(ReviewItemRow.accepted).order_by(ReviewItemRow.id)).all()
    if not items:
        return ()
    ids = [item.id for item in items]
    said = _by_id(session, FeedbackRow, [item.feedback_id for item in items])
    versions = _by_id(session, VersionRow, [item.version_id for item in items])
    versions |= _by_id(session, VersionRow, [one.preferred_over for one in said.values() if one.preferred_over])
    turns = _by_id(session, TurnRow, [versions[item.version_id].turn_id for item in items])
    decided: dict[int, list[ReviewRow]] = {}
    for part in _portions(ids):
        query = select(ReviewRow).where(ReviewRow.item_id.in_(part), ReviewRow.decision == "judged").order_by(ReviewRow.id)
        for row in session.scalars(query):
            decided.setdefault(row.item_id, []).append(row)
    files = _files(session, {slot[0] for turn in turns.values() for slot in turn.slots})
    found = []
    for item in items:
        reviews = [row for row in decided.get(item.id, ()) if row.feedback_id == item.feedback_id]
        found.append(_reviewed(item, said[item.feedback_id], versions, turns, reviews, files))
    return tuple(found)


def stamp(session: Session) -> tuple[int, datetime | None]:
    """How many items are accepted and when the last of them changed: equal while `accepted` gives the same."""
    found = session.execute(select(func.count(), func.max(ReviewItemRow.updated)).where(ReviewItemRow.accepted)).one()
    return int(found[0]), found[1]


def _reviewed(
    item: ReviewItemRow,
    said: FeedbackRow,
    versions: Mapping[int, VersionRow],
    turns: Mapping[int, TurnRow],
    reviews: Sequence[ReviewRow],
    files: Mapping[int, Mapping[int, Row[*tuple[Any, ...]]]],
) -> Reviewed:
    version = versions[item.version_id]
    turn = turns[version.turn_id]
    final = next((row for row in reviews if row.adjudicates), None)
    stands = statements.of_row(final) if final else statements.together([statements.of_row(said), *map(statements.of_row, reviews)])
    rejected = versions.get(said.preferred_over) if said.preferred_over else None
    return Reviewed(
        item=item.id,
        feedback=said.id,
        session=turn.session_id,
        turn=turn.id,
        version=version.id,
        images=_images(turn, version, files),
        question=turn.question,
        ability=cast(Ability, turn.ability),
        relationship=cast(Relationship, turn.relationship),
        marks=history.marks_of(turn.marks),
        clinical=Clinical(**turn.clinical),
        answer=version.text,
        model=version.model,
        model_sha256=version.model_digest,
        adapter_sha256=version.adapter_digest,
        verdict=stands.verdict,
        codes=stands.codes,
        severity=stands.severity,
        corrected_answer=stands.corrected_answer,
        cells=stands.cells,
        mark=feedback.mark_of(said.mark),
        preferred_over=said.preferred_over,
        rejected_answer=rejected.text if rejected is not None else "",
        reader=item.reader_id,
        reviewers=tuple(dict.fromkeys(row.user_id for row in reviews if not row.adjudicates)),
        adjudicator=final.user_id if final else None,
        created=item.created,
        progression=version.progression,
        checks=version.checks,
        offsets_sha256=str(version.options.get("offsets", "")),
    )


def _images(turn: TurnRow, version: VersionRow, files: Mapping[int, Mapping[int, Row[*tuple[Any, ...]]]]) -> tuple[ReviewedImage, ...]:
    found = []
    for place, slot in enumerate(Slot(*one) for one in turn.slots):
        tile = version.image_hashes[place] if place < len(version.image_hashes) else ""
        frames = files.get(slot.series_id, {})
        row = frames.get(slot.frame) or next(iter(frames.values()), None)
        if row is None:
            found.append(ReviewedImage(slot, tile, "", "", "", "", ""))
        else:
            sha256 = row.sha256 if slot.frame in frames else ""
            found.append(ReviewedImage(slot, tile, sha256, row.study_uid, row.series_uid, row.modality, row.pseudonym))
    return tuple(found)


def _files(session: Session, series: set[int]) -> dict[int, dict[int, Row[*tuple[Any, ...]]]]:
    """The file of each frame of these series, by series and place in it."""
    columns = (
        InstanceRow.series_id,
        InstanceRow.sha256,
        InstanceRow.frames,
        SeriesRow.uid.label("series_uid"),
        SeriesRow.modality,
        StudyRow.uid.label("study_uid"),
        PatientRow.pseudonym,
    )
    found: dict[int, dict[int, Row[*tuple[Any, ...]]]] = {}
    for part in _portions(sorted(series)):
        query = (
            select(*columns)
            .join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
            .join(StudyRow, StudyRow.id == SeriesRow.study_id)
            .join(PatientRow, PatientRow.id == StudyRow.patient_id)
            .where(InstanceRow.series_id.in_(part))
        )
        for row in session.execute(query):
            for frame in row.frames:
                found.setdefault(row.series_id, {})[frame["place"]] = row
    return found


def _review(row: ReviewRow, name: str) -> ReviewView:
    said = statements.of_row(row)
    return ReviewView(row.id, row.user_id, name, cast(Decision, row.decision), row.adjudicates, row.blind, said, row.created)


def _by_id(session: Session, table: type[Any], ids: Sequence[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for part in _portions(sorted(set(ids))):
        found |= {row.id: row for row in session.scalars(select(table).where(table.id.in_(part)))}
    return found


def _portions(values: Sequence[int], size: int = 500) -> list[Sequence[int]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
