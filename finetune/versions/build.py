"""From sources to a version: read, compared with what it will be measured on, looked at, parted by patient, mirrored, written.

version = build(versions, Plan("v1", files=(path,), roots=(images,), gates=(gate,)), say=print)
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from errors import InputError, StudyError
from finetune.versions import checks, drafts, leakage, mirrors, parting, recipes, shelf
from finetune.versions.checks import Room
from finetune.versions.drafts import Draft, Drafted
from finetune.versions.leakage import Gate, Report
from finetune.versions.lines import PREFERRED, Line
from finetune.versions.recipes import Flag
from finetune.versions.shelf import Contents, Version
from finetune.versions.stock import Stock

HELD = 0.1
QUOTA = 200
QUESTIONS = 4
"""Asked of each generated pair."""
BENCHMARKS = "Med_MIM_benchmark_*.json"
LISTED = 1000
"""Left-out lines that a manifest names; all are counted."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a version is to be made of."""

    name: str = ""
    files: tuple[Path, ...] = ()
    """Med-MIM files."""
    replay: tuple[Path, ...] = ()
    """Med-MIM files that keep what was known; never held back."""
    generated: int = 0
    """Pairs of the generator, for the same end."""
    roots: tuple[Path, ...] = ()
    """Folders of the files' images, and of the gates'."""
    gates: tuple[Path, ...] = ()
    """Files that models trained on the version will be measured on: nothing of them may be in it."""
    compared: tuple[Path, ...] = ()
    """Files that are only compared."""
    leave_out_leaked: bool = False
    held: float = HELD
    quota: int = QUOTA
    seed: int = 0
    reviewed: Callable[[Path], Drafted] | None = None
    """Gives what readers corrected and others confirmed; its pictures go into the folder it is given."""
    room: Room | None = None
    """The model that lines must fit."""

    def __post_init__(self) -> None:
        """Refuse a plan without data and shares that are none."""
        if not (self.files or self.replay or self.generated or self.reviewed):
            raise InputError("nothing was given to build from; add --med-mim FILE, or have feedback reviewed first")
        if not 0 <= self.held <= 0.5:
            raise InputError(f"{self.held} of all patients cannot be held back; give a share from 0 to 0.5")


@dataclass
class Tally:
    """What was left out and why, with the first thousand by name."""

    causes: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def add(self, cause: str, line: Line) -> None:
        """Count a line."""
        self.causes[cause] += 1
        if len(self.names) < LISTED:
            self.names.append(f"{cause}: {line.source} {line.item}")


class Refused(InputError):
    """Items of a gate are in the data, or nothing is left of it; `reports` say what it shares with every file it was compared with."""

    def __init__(self, sentence: str, reports: Sequence[Report]) -> None:
        super().__init__(sentence)
        self.reports = tuple(reports)


def build(versions: Path, plan: Plan, say: Say = print) -> Version:
    """Build a version. Raises `InputError` for what was given, of these `Refused` for items of a gate or no data; else `TuneError`."""
    name = shelf.fresh(versions, plan.name)
    versions.mkdir(parents=True, exist_ok=True)
    gates = [leakage.gate(path, plan.roots) for path in plan.gates]
    compared = [leakage.gate(path, plan.roots) for path in beside(plan)]
    with tempfile.TemporaryDirectory(dir=versions, prefix=".films-") as films:
        sources = collected(plan, Path(films))
        out = Tally(Counter(dict(pair for source in sources for pair in source.left_out)))
        found = [draft for source in sources for draft in source.drafts]
        reports = [leakage.compare(leakage.known(found), one) for one in (*gates, *compared)]
        for line in (line for report in reports for line in report.lines):
            say(line)
        lines, said = looked_at(_by_name(plan, found, gates, reports, out), Stock(versions), out)
    lines = _by_sight(plan, lines, gates, reports, out)
    contents = arranged(plan, lines, said, versions / name, out)
    missing = sorted({image for source in sources for image in source.missing})
    for cause, count in sorted(out.causes.items()):
        say(f"left out: {count} {cause}")
    if not contents.train:
        raise Refused(nothing_left(out, missing), reports)
    data = leakage.known((), contents.every)
    facts = {
        "sources": [{"name": source.name, "sha256": source.sha256, "items": len(source.drafts)} for source in sources],
        "gates": [leakage.compare(data, gate).content for gate in gates],
        "compared": [leakage.compare(data, gate).content for gate in compared],
        "left_out": dict(sorted(out.causes.items())),
        "left_out_lines": out.names,
        "missing_images": missing,
        "seed": plan.seed,
        "held_share": plan.held,
        "quota": plan.quota,
        "checked_against": plan.room.form.folder.parent.name if plan.room else "",
    }
    return shelf.write(versions, name, contents, facts)


def beside(plan: Plan) -> tuple[Path, ...]:
    """Files to compare with besides the gates: those given, and the published ones that lie beside a Med-MIM file."""
    found = [path for file in (*plan.files, *plan.replay) for path in sorted(file.parent.glob(BENCHMARKS))]
    gates = {path.resolve() for path in plan.gates}
    given = {path.resolve(): path for path in (*plan.compared, *found)}
    return tuple(path for real, path in given.items() if real not in gates)


def collected(plan: Plan, films: Path) -> list[Drafted]:
    """Every source, readers first, so that their word goes before a file's."""
    return [
        *([plan.reviewed(films)] if plan.reviewed else []),
        *(drafts.medmim_file(path, plan.roots, replay=False) for path in plan.files),
        *(drafts.medmim_file(path, plan.roots, replay=True) for path in plan.replay),
        *([drafts.generated(plan.generated, QUESTIONS, plan.seed, films)] if plan.generated else []),
    ]


def _by_name(plan: Plan, found: Sequence[Draft], gates: Sequence[Gate], reports: Sequence[Report], out: Tally) -> list[Draft]:
    """The drafts that share no patient and no image's name with a gate."""
    leaked = leakage.shared(gates, found)
    _refuse(plan, reports, len(leaked))
    for place in leaked:
        out.add("shares a patient or image with a gate", found[place].line)
    return [draft for place, draft in enumerate(found) if place not in leaked]


def _by_sight(plan: Plan, lines: Sequence[Line], gates: Sequence[Gate], reports: Sequence[Report], out: Tally) -> list[Line]:
    """The lines that show no image of a gate."""
    leaked = leakage.seen(gates, lines)
    _refuse(plan, [leakage.compare(leakage.known((), lines), gate) for gate in gates] if leaked else reports, len(leaked))
    for place in leaked:
        out.add("shows an image of a gate", lines[place])
    return [line for place, line in enumerate(lines) if place not in leaked]


def _refuse(plan: Plan, reports: Sequence[Report], items: int) -> None:
    """Raises `Refused` for leaked items, unless they are to be left out; the gates' reports come first."""
    if not items or plan.leave_out_leaked:
        return
    bad = [report for report in reports[: len(plan.gates)] if not report.clean]
    worst = max((row for report in bad for row in report.rows), key=lambda row: row.pair + row.patient + row.image)
    raise Refused(
        f"{items} items share a patient or an image with {' and '.join(report.file for report in bad)}, which models trained on this "
        f"version would be measured on ({worst.collection}: pair of {worst.pair} of {worst.items} items, patient of {worst.patient} of "
        f"{worst.items}); add --leave-out-leaked, or take that gate away",
        reports,
    )


def looked_at(found: Iterable[Draft], stock: Stock, out: Tally) -> tuple[list[Line], dict[str, str]]:
    """The drafts whose images are there and can be read, as lines, and by a line's key what a model said and a reader corrected."""
    kept: list[Line] = []
    said: dict[str, str] = {}
    for draft in found:
        if draft.missing:
            out.add("image not found", draft.line)
            continue
        try:
            line = stock.line(draft)
        except StudyError:
            out.add("image that cannot be read", draft.line)
            continue
        kept.append(line)
        said |= {line.key: draft.said} if draft.said else {}
    return kept, said


def arranged(plan: Plan, lines: Sequence[Line], said: dict[str, str], folder: Path, out: Tally) -> Contents:
    """Looked at, each once, within the readers' quota, parted by patient; then mirrored, and preferences made of what is trained on."""
    within, over = parting.within_quota(lines, plan.quota)
    out.causes.update({"over a reader's quota": over.total()} if over else {})
    sound = []
    for line in within:
        if wrong := checks.fault(line, folder, plan.room):
            out.add(wrong, line)
        else:
            sound.append(line)
    chosen = [line for line in sound if line.kind == PREFERRED]
    once, gone = checks.single([line for line in sound if line.kind != PREFERRED])
    out.causes.update(gone)
    train, held, neither = parting.parted([*once, *chosen], plan.held)
    for line in neither:
        out.add("of patients trained on and held back", line)
    for line in held:
        if line.kind in ("replay", PREFERRED):
            out.add("of a patient held back", line)
    trained = [line for line in train if line.kind != PREFERRED]
    asked = {line.asked for line in trained}
    turned = [one for line in trained if line.kind != "replay" and (one := mirrors.mirrored(line)) and one.asked not in asked]
    mirrored = {line.asked: line for line in turned if not checks.fault(line, folder, plan.room)}
    made = (line for one in train if one.key in said for line in recipes.preferences(Flag(one, said[one.key], one.codes)))
    preferences = {line.said: line for line in made if not checks.fault(line, folder, plan.room)}
    kept = tuple(line for line in held if line.kind not in ("replay", PREFERRED))
    return Contents((*trained, *mirrored.values()), kept, tuple(preferences.values()))


def nothing_left(out: Tally, missing: Sequence[str]) -> str:
    """Why a version would be empty."""
    if missing and out.causes["image not found"]:
        return (
            f"no item is left: {out.causes['image not found']} lack an image ({len(missing)} images were not found, the first "
            f"{missing[0]}); give the folders that hold them with --image-root"
        )
    why = ", ".join(f"{count} {cause}" for cause, count in out.causes.most_common()) or "the sources are empty"
    return f"no item is left to train on ({why}); give other data"
