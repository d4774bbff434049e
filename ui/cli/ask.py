"""`ask`: one question about one to eight images, answered on the terminal and kept as a session.

The images are imported first, so that what the model reads is what the store keeps and the session can be opened again.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from errors import EngineDied, QuestionError
from inference.engine import Ability, Engine, Image, Options, Relationship, Request, Stage, Token
from settings import Settings
from ui.cli.common import DataDir, Json, Output, begin
from ui.cli.studies import nothing_usable

if TYPE_CHECKING:
    from inference.answer import Answer
    from storage.store import Store
    from storage.studies import Relation, Series, Study
    from storage.views import AskedMark, ImportReport, Slot, User
    from ui.wire_trust import CalibrationOut

USUAL_ABILITY: dict[Relationship, Ability] = {
    "temporal": "temporal",
    "views": "reasoning",
    "sides": "comparison",
    "unrelated": "comparison",
}
TITLE_LENGTH = 80
STRANGERS = (
    "The images name different patients: an answer that compares them says nothing about either; check that they are the right ones."
)


@dataclass(frozen=True)
class Taken:
    """The image taken from one path: its study, series and frame, the series' id in the store, and what to know about it."""

    study: Study
    series: Series
    series_id: int
    frame: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Asking:
    """What was typed: one path for each image, a role for each or none, the question, what is told beside it, and what to check."""

    paths: Sequence[Path]
    roles: Sequence[str]
    question: str
    ability: Ability | None
    checks: bool = False
    samples: bool = False
    clinical: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[str] = ()
    options: Options = field(default_factory=Options)
    at_least: int = 0


def ask(
    context: typer.Context,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="A file, or a folder with one series or study; once per image.")
    ] = None,
    question: Annotated[str, typer.Option(metavar="TEXT", help="What to ask.")] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE", help="prior, current, 'time 1', CC, left ...; once per image, in order. Default: by date."),
    ] = None,
    mark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MARK", help="Drawn into an image and told, lettered A, B ...: 2:box:120,80:260,210; point, arrow, box or free."
        ),
    ] = None,
    ability: Annotated[Ability | None, typer.Option(help="What is asked of the images.", show_default="by how they relate")] = None,
    model: Annotated[str | None, typer.Option(help="Model that answers, name or path; @gguf or @torch forces the engine.")] = None,
    engine: Annotated[Literal["auto", "gguf", "torch", "remote"] | None, typer.Option(help="What runs the model.")] = None,
    checks: Annotated[
        bool,
        typer.Option("--checks", help="Also ask without the images, with them exchanged, of one image twice, and in other words; slower."),
    ] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="With --checks: also draw ten answers and count what they mean; ten times as slow.")
    ] = False,
    indication: Annotated[str, typer.Option(metavar="TEXT", help="Told to the model: why the study was made.")] = "",
    technique: Annotated[str, typer.Option(metavar="TEXT", help="Told to the model: protocol, contrast, projection.")] = "",
    prior_report: Annotated[str, typer.Option(metavar="TEXT", help="Told to the model: the report of the prior study.")] = "",
    age: Annotated[str, typer.Option(metavar="TEXT", help="Told to the model: the patient's age.")] = "",
    max_tokens: Annotated[int | None, typer.Option(min=1, max=4096, help="Longest answer in tokens.", show_default="160")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="Above 0 the words are drawn instead of the likeliest taken.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of what is drawn; the same seed draws the same words.")] = 0,
    withhold_below: Annotated[
        int, typer.Option(min=0, max=99, help="Say with --json what is right less often than this of 100, as reviewed here; 0: nothing.")
    ] = 0,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Answer one question about images and keep it as a session."""
    settings, out = begin(context, data_dir, as_json, max_answer_tokens=max_tokens)
    paths, roles = list(image or ()), list(role or ())
    check_given(paths, roles, question, settings)
    from inference.select import open_engine

    told = {"indication": indication, "technique": technique, "prior_report": prior_report, "age": age}
    told = {name: text.strip() for name, text in told.items()}
    options = Options(settings.max_answer_tokens, temperature, seed)
    asking = Asking(paths, roles, question, ability, checks or samples, samples, told, list(mark or ()), options, withhold_below)
    selection = open_engine(settings, model, engine)
    try:
        answer, session, number, right = answered(settings, selection.engine, asking, out)
    finally:
        selection.engine.close()
    from inference.answer import as_json as shaped
    from storage import horizons

    out.say("")
    if horizons.asked(question) is not None:
        out.note(f"{horizons.MARK}: no image shows it yet.")
    for check in answer.checks.values():
        if check.verdict != "not made":
            out.note(f"check: {check.verdict}. {check.explanation}")
    if answer.checks:
        out.note(f"trust: {answer.trust.words}.")
    for warning in answer.warnings:
        out.note(f"note: {warning}")
    for why in dict.fromkeys([*right.answer.withheld.values(), *right.findings.withheld.values()]):
        out.note(why)
    if withhold_below and right.answer.why:
        out.note(f"Nothing is withheld: {right.answer.why}")
    tokens = answer.timings.tokens
    out.note(f"{selection.reason} {tokens} token{'s' * (tokens != 1)} in {answer.timings.total_s:.1f} s; session {session}.")
    withheld = {"answer": right.answer.withheld.get("", ""), "findings": right.findings.withheld, "inactive": right.answer.why}
    out.result({**shaped(answer, session), "answer_id": number, "abstained": bool(withheld["answer"]), "withheld": withheld})
    if answer.state == "incomplete":
        raise EngineDied(answer.error or "The answer is incomplete: the engine ended in the middle of it; ask again.")
    if answer.state == "stopped":
        raise KeyboardInterrupt


def check_given(paths: Sequence[Path], roles: Sequence[str], question: str, settings: Settings) -> None:
    """Refuse before anything is loaded. Raises `QuestionError`."""
    if not paths:
        raise QuestionError("No image was given: add --image FILE, twice to compare a prior with a current study.")
    if len(paths) > settings.max_images:
        raise QuestionError(f"{len(paths)} images were given and at most {settings.max_images} can be asked about: leave some out.")
    if not question.strip():
        raise QuestionError('No question was given: add --question "What changed since the prior?".')
    if roles and len(roles) != len(paths):
        raise QuestionError(f"{len(roles)} roles were given for {len(paths)} images: give one --role for each --image, or none.")


def answered(settings: Settings, engine: Engine, asking: Asking, out: Output) -> tuple[Answer, int, int, CalibrationOut]:
    """Import the images, keep the question, ask, keep the answer.

    The answer, the session's id, the answer's own, and how often such answers were right, as far as reviewers of this site said.
    """
    from inference import burned
    from inference.answer import ask as stream
    from inference.answer import record, validate
    from inference.checks import ON_REQUEST, checked
    from inference.suggest import kind, scope
    from storage.importing import synthetic
    from storage.store import Store
    from storage.studies import relate_many
    from storage.views import LOCAL, Clinical
    from ui.calibrating import Calibrators
    from ui.cli import marks

    clinical = Clinical(**asking.clinical)
    with Store(settings) as store:
        reader = store.user(LOCAL)
        taken = [take(store, reader, path) for path in asking.paths]
        relation = relate_many([(one.study, one.series) for one in taken])
        relation = told_apart(relation, asking.roles)
        drawn = marks.marks(asking.marks, [one.series.frames[one.frame] for one in taken])
        request, slots = asked(taken, relation, asking, drawn)
        request = replace(request, clinical=clinical.labelled)
        validate(request, engine.card.max_images)
        warnings = (*remarked(taken), *relation.warnings)
        warnings += burned.told(request.images, [synthetic(one.study) for one in taken])
        session = store.start_session(reader, request.question[:TITLE_LENGTH], slots, request.relationship)
        if relation.blocking:
            store.audit(reader, "mismatch", "session", session)
            out.note(f"warning: {STRANGERS}")
        turn = store.add_turn(session, reader, request.question, request.ability, request.relationship, drawn, clinical)
        with stopping() as cancel:
            findings = scope([kind(one.series.modality, one.series.body_part, one.series.description) for one in taken])
            items = stream(engine, request, cancel, progression=len(taken) > 1, findings=findings, warnings=warnings)
            names = (*ON_REQUEST, "samples") if asking.samples else ON_REQUEST
            answer = shown(checked(engine, items, cancel, names) if asking.checks else items, out)
        kept = record(answer)
        number = store.add_version(turn, kept)
        right = Calibrators().of(store, request.ability, kept, asking.at_least)
    return answer, session, number, right


def take(store: Store, reader: User, path: Path) -> Taken:
    """The image a path stands for: of several series the one with most frames, of a volume its middle frame.

    Raises `StudyUnreadable` when nothing at the path can be used.
    """
    report = store.import_paths([path], reader, shared=True)
    hashes = {file.sha256 for file in report.files if file.outcome in ("imported", "duplicate")}
    found: list[Taken] = []
    for series_id in series_ids(store, reader, report):
        study, series = store.series(series_id, reader)
        frames = [index for index, frame in enumerate(series.frames) if frame.source.sha256 in hashes]
        if frames:
            found.append(Taken(study, series, series_id, frames[len(frames) // 2], ()))
    if not found:
        raise nothing_usable([file.reason for file in report.files if file.reason], [path])
    best = max(found, key=lambda one: len(one.series.frames))
    return Taken(best.study, best.series, best.series_id, best.frame, remarks(path, report, len(found), best))


def series_ids(store: Store, reader: User, report: ImportReport) -> Iterator[int]:
    """Ids of the series that belong to the imported studies."""
    for patient in store.patients(reader):
        for study in patient.studies:
            if study.id in report.study_ids:
                yield from (series.id for series in study.series)


def remarks(path: Path, report: ImportReport, series: int, best: Taken) -> tuple[str, ...]:
    """What a reader should know about how a path became one image."""
    said = [f"{file.path}: {file.reason}" for file in report.files if file.outcome == "refused"]
    if series > 1:
        name = best.series.description or best.series.modality
        said.append(f"{path.name} holds {series} series and {name} was taken: give the folder of one series to choose another")
    if len(best.series.frames) > 1:
        said.append(f"{path.name}: frame {best.frame + 1} of {len(best.series.frames)} was shown to the model")
    said += [*best.series.warnings, *best.series.frames[best.frame].warnings]
    return tuple(said)


def remarked(taken: Sequence[Taken]) -> tuple[str, ...]:
    """What should be known about the images, each remark once with the numbers of the images it is true of."""
    said: dict[str, list[str]] = {}
    for number, one in enumerate(taken, 1):
        for text in dict.fromkeys(one.warnings):
            said.setdefault(text, []).append(str(number))
    if len(taken) == 1:
        return tuple(said)
    return tuple(f"image{'s' * (len(numbers) > 1)} {', '.join(numbers)}: {text}" for text, numbers in said.items())


def told_apart(relation: Relation, roles: Sequence[str]) -> Relation:
    """The relation with what a person who asks all the same must be told: two patients, or roles against the dates.

    Roles that contradict the dates are kept and the relative times are dropped, so that no prior is said to be the later one.
    """
    warnings, whens = relation.warnings, relation.whens
    if relation.blocking:
        warnings = (STRANGERS, *warnings[1:])  # in place of the same in other words
    places = [place(role) for role in roles]
    known = [found for found in places if found is not None]
    if any(whens) and len(known) == len(whens) and sorted(range(len(known)), key=known.__getitem__) != list(relation.order):
        warnings = (*warnings, "The roles given contradict the dates of the images: the roles were kept and the dates left out.")
        whens = ("",) * len(whens)
    return replace(relation, warnings=warnings, whens=whens)


def place(role: str) -> int | None:
    """Where a role stands in time: prior 0, current 1, `time 3` 3; None when it says nothing of time."""
    words = role.lower().split()
    if len(words) == 2 and words[0] == "time" and words[1].isdecimal():
        return int(words[1])
    return {"prior": 0, "current": 1}.get(role.lower())


def asked(taken: Sequence[Taken], relation: Relation, asking: Asking, drawn: Sequence[AskedMark]) -> tuple[Request, tuple[Slot, ...]]:
    """The request, and the session's slots in the same order. Given roles win over guessed ones."""
    from inference.images import frame_image
    from storage.views import Slot

    named = list(asking.roles or relation.roles)
    relationship = related_by(asking.roles, relation.relationship) if asking.roles else relation.relationship
    images: list[Image] = []
    slots: list[Slot] = []
    for number, (one, name, when) in enumerate(zip(taken, named, relation.whens, strict=True)):
        mine = [mark for mark in drawn if mark.image == number]
        images.append(frame_image(one.series.frames[one.frame], name, when, marks=mine))
        slots.append(Slot(one.series_id, one.frame, name, when))
    request = Request(
        images=tuple(images),
        question=asking.question.strip(),
        ability=asking.ability or USUAL_ABILITY[relationship],
        relationship=relationship,
        options=asking.options,
    )
    return request, tuple(slots)


def related_by(roles: Sequence[str], guessed: Relationship) -> Relationship:
    """The relationship that roles typed by a person speak of; `guessed` when they leave it open."""
    lower = [role.lower() for role in roles]
    if any(role in ("prior", "current") or role.startswith("time") for role in lower):
        return "temporal"
    if set(lower) <= {"left", "right"}:
        return "sides"
    return guessed


def shown(items: Iterator[Stage | Token | Answer], out: Output) -> Answer:
    """Print stages and tokens as they come; the answer at the end."""
    for item in items:
        if isinstance(item, Token):
            out.say(item.text, end="")
        elif isinstance(item, Stage):
            if sys.stderr.isatty():
                out.note(f"... {item.text}")
        else:
            return item
    raise EngineDied("The engine ended without an answer; ask again.")


@contextmanager
def stopping() -> Iterator[Event]:
    """An event that the first Ctrl-C sets, so that what was said so far is kept; a second one ends at once."""
    cancel = Event()

    def stop(_number: int, _frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)
