"""A draft report out of what the model said and scored of a case; it adds no word of its own about the images.

Rules, not a model, put it together, so that every sentence can be traced: the findings by class of change where one class is clearly
ahead, the reader's own paired measurements, other questions with their answers, and as impression the newest answer about change.
Whatever the reader makes of it, it is exported as a machine draft with the provenance of every answer behind it.

    text = draft(images, answers, pairs)
    text.findings, text.comparison, text.impression
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from inference.closed import SCORED
from inference.measured import Paired
from inference.reading import Progression, Shares
from storage.horizons import MARK as FORECAST

AHEAD = 0.2
"""A class is stated only when it leads the next one by this share, as in the check of the same name."""
MARK = "Machine draft, not read by a physician"
NOTICE = "Written with a language model that can be wrong. For research and teaching, not a medical device; not for diagnosis or treatment."
_ORDER = (
    ("new", "New"),
    ("worse", "Worse"),
    ("improved", "Improved"),
    ("resolved", "Resolved"),
    ("stable", "Unchanged"),
    ("uncertain", "Cannot be judged"),
)
_VERB = r"(?:is|are|was|were|has|have|had|does|do|did|can(?:not)?|could|will|would|should|may|might)(?:n['’]t|\W+not)?"
_REPLY = re.compile(
    r"^\W*(?:yes\b|(?:no|both|neither|none)\s*(?:[.,;:!–—]|$)|no\s+(?:it|they|there|this|that)\b"
    r"|(?!(?:it|they|there|no|nothing|stable|unchanged)\b)(?:the )?\w+(?:\W+\w+)?\W*$"
    rf"|(?:\w+\s+){{1,4}}{_VERB}\W*$)",
    re.IGNORECASE,
)
"""An answer that says nothing without its question."""


@dataclass(frozen=True)
class Shown:
    """One image of the case in declared order: what it is ("DX chest PA"), its date, role, relative time and pixels' SHA-256."""

    words: str
    date: datetime | None = None
    role: str = ""
    when: str = ""
    sha256: str = ""

    @property
    def named(self) -> str:
        """``DX chest PA of 2024-01-16``."""
        return f"{self.words or 'image'} of {self.date:%Y-%m-%d}" if self.date else f"{self.words or 'image'} without a date"


@dataclass(frozen=True)
class Source:
    """One answer a report rests on, with everything needed to make it again. `text` are the reader's words where `corrected`.

    `checks` is check -> verdict, of those that were made. `withheld` says why a reader who asks for surer answers is not shown it.
    """

    version_id: int
    question: str
    ability: str
    text: str
    model: str = ""
    model_digest: str = ""
    adapter_digest: str = ""
    engine: str = ""
    prompt: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    image_hashes: tuple[str, ...] = ()
    trust: str = ""
    trust_state: str = ""
    trust_why: str = ""
    checks: Mapping[str, str] = field(default_factory=dict)
    progression: Progression = field(default_factory=dict)
    overall: Shares = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)
    corrected: bool = False
    forecast: bool = False
    withheld: str = ""
    made: datetime | None = None


@dataclass(frozen=True)
class Words:
    """The three parts of a report that a reader may change."""

    findings: str = ""
    comparison: str = ""
    impression: str = ""


@dataclass(frozen=True)
class Report:
    """A report as it is exported. `edited`: the reader changed the draft; `cautions` are not the reader's to change."""

    patient: str
    words: Words
    images: tuple[Shown, ...]
    sources: tuple[Source, ...]
    cautions: tuple[str, ...]
    relationship: str = "temporal"
    edited: bool = False
    shifted: bool = True
    clinical: tuple[tuple[str, str], ...] = ()
    made: datetime | None = None

    @property
    def mark(self) -> str:
        """What stands above every export."""
        return f"{MARK}; edited by a reader" if self.edited else MARK


def draft(
    images: Sequence[Shown],
    sources: Sequence[Source],
    pairs: Sequence[Paired] = (),
    relationship: str = "temporal",
    said: Mapping[str, str] | None = None,
) -> Words:
    """Findings, comparison line and impression from the answers, oldest first; a part nothing is known of is empty.

    An answer about what is to come is no finding and stays out of all of them; of one that is withheld the reader's own cells stay, and
    the findings that are not. The reader's cells on any of them, and what they `said` of answers that are not here, stand over the
    classes of the newest that has some.
    """
    sources = [replace(one, text="") if one.withheld else one for one in sources if not one.forecast]
    shown = [one for one in sources if not one.withheld]
    about_change = [one for one in shown if one.ability in SCORED or one.progression]
    main = about_change[-1] if about_change else (shown[-1] if shown else None)
    scored = next((one for one in reversed(sources) if one.progression or one.overall), None)
    cells = {finding: name for one in sources for finding, name in one.cells.items()} | dict(said or {})
    findings = [*_findings(scored.progression if scored else {}, cells), *(measured(pair) for pair in pairs)]
    findings += [_asked(one) for one in sources if one is not main and one.text]
    impression = [_asked(main) if _REPLY.match(main.text) else main.text] if main and main.text else []
    impression += _whole(scored.overall if scored else {}, cells.get("overall", ""))
    return Words("\n".join(findings), comparison(images, relationship), "\n".join(impression))


def comparison(images: Sequence[Shown], relationship: str = "temporal") -> str:
    """The comparison line: with which earlier image the newest one is compared, or that there is none."""
    if not images:
        return ""
    if len(images) == 1 or relationship == "unrelated":
        return f"None. {'; '.join(_first(image.named) for image in images)}."
    if relationship == "temporal":
        current = next((image for image in reversed(images) if image.role == "current"), images[-1])
        return f"{_first(_earlier(current))} compared with {_and([_earlier(image) for image in images if image is not current])}."
    views = [f"{image.named} ({image.role})" if image.role else image.named for image in images]
    return f"{'Views of one study' if relationship == 'views' else 'Left and right'}: {_and(views)}."


def measured(pair: Paired) -> str:
    """A paired measurement of the reader in one line."""
    unit = f" {pair.unit}" if pair.unit else ""
    change = f" ({pair.percent:+.0f} %)" if pair.prior else ""
    return f"Measured by the reader{f', {pair.named}' if pair.named else ''}: {pair.prior:.1f} to {pair.current:.1f}{unit}{change}."


def cautions(sources: Sequence[Source], *, synthetic: bool = False) -> tuple[str, ...]:
    """What a report's readers must know of its answers, whatever its words say."""
    said = ["The images are synthetic."] if synthetic else []
    if not sources:
        said.append("No question of this case has a whole answer, so nothing here comes from a model.")
    for source in sources:
        if source.forecast:
            said.append(f"“{source.question}”: {FORECAST.lower()}; its answer stands in no part of the draft.")
            continue
        if source.withheld:
            said.append(f"“{source.question}”: its answer is left out of what is drafted. {source.withheld}")
            continue
        checked = source.trust_state not in ("", "unchecked")
        words = f"{source.trust}. {source.trust_why}".strip() if checked else "whether it depends on the images was not checked."
        said.append(f"“{source.question}”: {words}")
    if any(source.progression for source in sources):
        said.append("Classes of change are stated where the model's own likelihood leads clearly; they are not calibrated.")
    return tuple(said)


def as_text(report: Report) -> str:
    """The whole report as plain text, provenance at its end."""
    parts = [report.mark.upper(), NOTICE, "", f"Patient: {report.patient or 'not named'}"]
    parts += [f"{name}: {value}" for name, value in report.clinical]
    for name, words in sections(report):
        parts += ["", name.upper(), words or "Nothing is stated."]
    parts += ["", "ABOUT THE ANSWERS", *(f"- {caution}" for caution in report.cautions)]
    for number, rows in enumerate(provenance(report), 1):
        parts += ["", "PROVENANCE" if number == 1 else f"ANSWER {number - 1}", *(f"{name}: {value}" for name, value in rows)]
    return "\n".join(parts) + "\n"


def sections(report: Report) -> tuple[tuple[str, str], ...]:
    """The parts of the report in the order they are printed."""
    words = report.words
    return ("Comparison", words.comparison), ("Findings", words.findings), ("Impression", words.impression)


def provenance(report: Report) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Name and value of everything the report rests on: first the images, then one list for each answer."""
    dates = "shifted by one constant for the patient, intervals are true" if report.shifted else "as in the files"
    images = [(f"Image {number}", _told(image)) for number, image in enumerate(report.images, 1)]
    made = report.made.isoformat(timespec="seconds") if report.made else ""
    return (("Report made", made), ("Dates", dates), *images), *(_of(source) for source in report.sources)


def _of(source: Source) -> tuple[tuple[str, str], ...]:
    options = ", ".join(f"{name} {value}" for name, value in source.options.items())
    rows = (
        ("Question", source.question),
        (_kind(source), source.text),
        ("Model", source.model),
        ("Model SHA-256", source.model_digest),
        ("Adapter SHA-256", source.adapter_digest),
        ("Engine", source.engine),
        ("Options", f"{options}, seed {source.seed}" if options else f"seed {source.seed}"),
        ("Images in order", ", ".join(source.image_hashes)),
        ("Prompt", source.prompt),
        ("Checks", source.trust or "none"),
        ("Each check", ", ".join(f"{name.replace('_', ' ')}: {verdict}" for name, verdict in source.checks.items())),
        ("Cells changed by the reader", ", ".join(f"{finding} {name}" for finding, name in source.cells.items())),
        ("Made", source.made.isoformat(timespec="seconds") if source.made else ""),
    )
    return tuple((name, value) for name, value in rows if value)


def _kind(source: Source) -> str:
    """What the words of an answer are called where it came from is told."""
    told = ((source.corrected, "Corrected by the reader"), (source.forecast, FORECAST), (bool(source.withheld), "Answer, withheld"))
    return next((words for holds, words in told if holds), "Answer")


def _asked(source: Source) -> str:
    return f"Asked “{source.question}”: {source.text}"


def _findings(progression: Mapping[str, Shares], cells: Mapping[str, str]) -> list[str]:
    """Findings by class of change; the reader's cells stand before the model's, and what no class leads is said to be undecided."""
    told: dict[str, list[str]] = {}
    for finding in dict.fromkeys((*progression, *cells)):
        if finding == "overall":
            continue
        name = cells.get(finding) or clear(progression.get(finding, {}))
        told.setdefault(name, []).append(finding)
    lines = [f"{words}: {', '.join(told[name])}." for name, words in _ORDER if name in told]
    return [*lines, *([f"Undecided between classes: {', '.join(told[''])}."] if "" in told else [])]


def _whole(shares: Shares, said: str) -> list[str]:
    """What became of the disease as a whole, as the reader said or else by the model's shares."""
    if not (shares or said):
        return []
    whole = said or clear(shares)
    return [f"As a whole: {whole}." if whole else "As a whole: undecided, no class is clearly ahead."]


def clear(shares: Shares) -> str:
    """The class that leads the next one by `AHEAD`, `` when none does."""
    ranked = sorted(shares.items(), key=lambda one: one[1], reverse=True)
    if not ranked:
        return ""
    behind = ranked[1][1] if len(ranked) > 1 else 0.0
    return ranked[0][0] if ranked[0][1] - behind >= AHEAD else ""


def _told(image: Shown) -> str:
    digest = f"SHA-256 {image.sha256}" if image.sha256 else ""
    return ", ".join(part for part in (image.named, image.role, image.when, digest) if part)


def _earlier(image: Shown) -> str:
    return f"{image.named} ({image.when})" if image.when else image.named


def _and(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1] if words else "") if part)


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
