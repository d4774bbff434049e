"""Everything a report is made of, gathered from a case: its images, its whole answers about them, the reader's measurements.

A report is of the images of the newest answered question, or of those that hang when nothing was asked; answers about other images
stay out of it. An answer the reader disagreed with is left out unless they wrote a better one, which then stands in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from errors import InputError, StoreError
from inference import report, trust
from inference.engine import RGB
from inference.report import Report, Shown, Source, Words
from storage.importing import synthetic
from storage.reports import ReportText
from storage.studies import Frame, Series, Study
from storage.views import AskedMark, FeedbackView, SessionView, Slot, TurnView, User, VersionView
from ui import requests, trusting
from ui.context import Context

UNWEIGHED = "Withheld: its checks were not made to the end, so how often such answers are right here is not known."


@dataclass(frozen=True)
class Gathered:
    """A case's report as it stands: the document, the draft it began from, and its images (None: not in the store) with their marks."""

    document: Report
    draft: Words
    saved: ReportText | None
    slots: tuple[Slot, ...]
    frames: tuple[Frame | None, ...]
    marks: tuple[AskedMark, ...] = ()

    @property
    def current(self) -> int:
        """Which image the report's study is of: the current one, else the last."""
        roles = [slot.role for slot in self.slots]
        return roles.index("current") if "current" in roles else len(roles) - 1


def gathered(here: Context, user: User, session: SessionView, at_least: int = 0) -> Gathered:
    """The report of a case, as saved or else as drafted now, without what is right less often than `at_least` of 100, or not weighed.

    Raises `StoreError`, `StudyError`.
    """
    answered = [(turn, version) for turn in session.turns if (version := _chosen(turn)) is not None]
    main = answered[-1][0] if answered else None
    slots = main.slots if main else session.slots
    relationship = main.relationship if main else session.relationship
    items = [_item(here, user, slot) for slot in slots]
    sources = tuple(_source(here, user, turn, version, at_least) for turn, version in answered if _places(turn.slots) == _places(slots))
    marks = here.store.marks(session.id, user)
    series = {slot.series_id: item[1] for slot, item in zip(slots, items, strict=True) if item is not None}
    pairs = trusting.paired(marks, series)
    images = tuple(_shown(slot, item, number, sources) for number, (slot, item) in enumerate(zip(slots, items, strict=True)))
    words = report.draft(images, sources, pairs, relationship, _said(session, slots))
    saved = here.store.report(session.id, user)
    kept = Words(saved.findings, saved.comparison, saved.impression) if saved else words
    document = Report(
        patient=next((item[0].patient_id for item in reversed(items) if item is not None), ""),
        words=kept,
        images=images,
        sources=sources,
        cautions=report.cautions(sources, synthetic=any(synthetic(item[0]) for item in items if item is not None)),
        relationship=relationship,
        edited=kept != words,
        shifted=not here.settings.keep_identity,
        clinical=main.clinical.labelled if main else (),
        made=datetime.now(UTC),
    )
    frames = tuple(
        item[1].frames[slot.frame] if item and slot.frame < len(item[1].frames) else None for slot, item in zip(slots, items, strict=True)
    )
    return Gathered(document, words, saved, slots, frames, main.marks if main else ())


def refusal(found: Gathered) -> str:
    """Why a report can have no DICOM form, '' when it can."""
    if not found.frames or any(frame is None for frame in found.frames):
        return "an image of this report is no longer in the store, and a structured report references every one; export it as text"
    if any(frame is not None and frame.source.kind != "dicom" for frame in found.frames):
        return "a structured report references DICOM images and this case shows others; export it as text or PDF"
    return ""


def pictures(here: Context, user: User, found: Gathered) -> tuple[RGB, ...]:
    """The images of the report as the model was shown them, (H, W, 3) uint8 each, with the marks it was asked with.

    Raises `InputError` when one is no longer in the store.
    """
    if any(frame is None for frame in found.frames):
        raise InputError("an image of this report is no longer in the store, and the PDF shows every one; export it as text")
    marks = [[mark for mark in found.marks if mark.image == number] for number in range(len(found.slots))]
    return tuple(requests.image(here.store, user, slot, on).pixels for slot, on in zip(found.slots, marks, strict=True))


def _chosen(turn: TurnView) -> VersionView | None:
    """The newest whole answer that the reader does not call wrong without a better one."""
    for version in reversed(turn.versions):
        last = _last(version)
        if version.state == "complete" and (last is None or last.verdict != "disagree" or last.corrected_answer):
            return version
    return None


def _said(session: SessionView, slots: tuple[Slot, ...]) -> dict[str, str]:
    """The reader's own cells on every answer about these images, also on one they call wrong or had made again; the last said of each."""
    versions = [one for turn in session.turns if turn.forecast is None and _places(turn.slots) == _places(slots) for one in turn.versions]
    said = sorted((last for one in versions if (last := _last(one))), key=lambda last: last.id)
    return {finding: name for last in said for finding, name in last.cells.items()}


def _last(version: VersionView) -> FeedbackView | None:
    return version.feedback[-1] if version.feedback else None


def _source(here: Context, user: User, turn: TurnView, version: VersionView, at_least: int) -> Source:
    kept = here.store.answer(version.id, user)
    known = here.calibrators.of(here.store, turn.ability, kept, at_least) if at_least else None
    last = _last(version)
    told = version.checks.get("trust")
    state = told if isinstance(told, dict) else {}
    overall = version.checks.get("overall")
    better = last.corrected_answer if last else ""
    withheld = known.answer.withheld.get("", "") if known else ""
    if known and "decided" not in version.checks:
        withheld = UNWEIGHED
    return Source(
        version_id=version.id,
        question=turn.question,
        ability=turn.ability,
        text=better or version.text,
        model=kept.model,
        model_digest=kept.model_digest,
        adapter_digest=kept.adapter_digest,
        engine=kept.engine,
        prompt=kept.prompt,
        options=kept.options,
        seed=kept.seed,
        image_hashes=kept.image_hashes,
        trust=str(state.get("words", "")),
        trust_state=str(state.get("state", "")),
        trust_why=str(state.get("explanation", "")),
        checks={name: one.verdict for name, one in trust.kept(version.checks).items() if one.verdict != "not made"},
        progression={name: shares for name, shares in version.progression.items() if not known or name not in known.findings.withheld},
        overall=overall if isinstance(overall, dict) and not withheld else {},
        cells=last.cells if last else {},
        corrected=bool(better),
        forecast=turn.forecast is not None,
        withheld="" if better else withheld,
        made=kept.created,
    )


def _item(here: Context, user: User, slot: Slot) -> tuple[Study, Series] | None:
    try:
        return here.store.series(slot.series_id, user)
    except StoreError:
        return None


def _shown(slot: Slot, item: tuple[Study, Series] | None, number: int, sources: tuple[Source, ...]) -> Shown:
    hashes = sources[-1].image_hashes if sources else ()
    digest = hashes[number] if number < len(hashes) else ""
    if item is None:
        return Shown("image that is no longer in the store", None, slot.role, slot.when, digest)
    study, series = item
    several = f"image {slot.frame + 1} of {len(series.frames)}" if len(series.frames) > 1 else ""
    said = series.description.removeprefix("SYNTHETIC ") or series.body_part.lower()
    modality = "" if said.upper().split()[:1] == [series.modality] else series.modality  # "CT chest" names it
    words = " ".join(dict.fromkeys(part for part in (modality, said, series.view, several) if part))
    return Shown(words, series.acquired or study.acquired, slot.role, slot.when, digest)


def _places(slots: tuple[Slot, ...]) -> list[tuple[int, int]]:
    return [(slot.series_id, slot.frame) for slot in slots]
