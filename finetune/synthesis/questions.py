"""Questions and answers about a generated pair, in all four abilities and many wordings, from its truth alone.

Half of the items use the wordings of `inference/prompts.py` exactly, so that what the screen suggests is what was learned;
the rest vary. Lettered questions have Med-MIM's form (``\\nA: worse\\nB: stable``, answer ``B: stable``). Nothing is claimed
that the truth does not hold: on films that may carry disease of their own no finding is called absent, and on unrelated
or single images a question about change is answered "Cannot tell".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from finetune.synthesis import wording
from finetune.synthesis.pairs import Pair
from finetune.synthesis.truth import DEPTHS, DEVICE, Change, Finding, depth
from inference.engine import Ability, Relationship
from inference.prompts import FINDINGS, OVERALL_QUESTION, SINGLE, TEMPLATES, progression_question

OPACITIES = ("consolidation", "diffuse opacity", "pleural effusion", "nodule", "atelectasis")
Random = np.random.Generator
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One question about the images of a pair.

    `images` are indices in the order shown (0 prior, 1 current; `(1, 0)` shows the current first); `roles` and `whens`
    run parallel to it and go into `inference.engine.Image` unchanged; `kind` names the form (`progression`, `overall`,
    `describe`, `which`, `present`, `side`, `letters`, ...) for scoring by form.
    """

    images: tuple[int, ...]
    roles: tuple[str, ...]
    whens: tuple[str, ...]
    question: str
    answer: str
    ability: Ability
    relationship: Relationship
    kind: str = ""


@dataclass(frozen=True)
class _Shown:
    """How one item shows the images of its pair: order, roles, relative times."""

    images: tuple[int, ...]
    roles: tuple[str, ...]
    whens: tuple[str, ...]
    relationship: Relationship

    def name(self, end: int) -> str:
        """`first` or `second`: where the prior (0) or the current (1) stands."""
        return ("first", "second")[self.images.index(end)]

    def item(self, question: str, answer: str, ability: Ability, kind: str) -> Item:
        """An item with these images."""
        return Item(self.images, self.roles, self.whens, question, answer, ability, self.relationship, kind)


def _pick(rng: Random, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def shown(pair: Pair, rng: Random, turned: float = 0.0) -> _Shown:
    """Both images with roles and times as the screen gives them; `turned` is the share shown current first."""
    if pair.kind == "unrelated":
        role = "unrelated" if rng.random() < 0.6 else ""
        return _Shown((0, 1), (role, role), ("", ""), "unrelated")
    order = (1, 0) if rng.random() < turned else (0, 1)
    roles = _pick(rng, [("prior", "current")] * 8 + [("time 1", "time 2"), ("", "")])
    days = wording.interval(pair.interval_days)
    whens = _pick(rng, [("", f"{days} later"), (f"{days} earlier", ""), ("", "")])
    if order == (1, 0) and not roles[0]:
        roles = ("prior", "current")
    return _Shown(order, tuple(roles[i] for i in order), tuple(whens[i] for i in order), "temporal")


def _findings(pair: Pair) -> list[tuple[Finding, Change]]:
    """Every finding of the pair with its change, the greatest change first."""
    both = [(pair.current_truth.get(name) or pair.prior_truth.get(name), change) for name, change in pair.changes.items()]
    known = [(finding, change) for finding, change in both if finding is not None]
    return sorted(known, key=lambda row: (row[0].name == DEVICE, -abs(_difference(pair, row[0].name))))


def _difference(pair: Pair, name: str) -> float:
    return pair.current_truth.severity(name) - pair.prior_truth.severity(name)


def _diseased(rows: list[tuple[Finding, Change]]) -> list[tuple[Finding, Change]]:
    return [row for row in rows if row[0].name != DEVICE]


def _moved(pair: Pair) -> Change | None:
    """How a device that is there at both ends lies now: `worse` deeper, `improved` higher; None without one."""
    if pair.kind == "unrelated" or pair.changes.get(DEVICE) != "stable":
        return None
    difference = _difference(pair, DEVICE)
    return "stable" if abs(difference) < 0.01 else "worse" if difference > 0 else "improved"


def _changed(pair: Pair) -> list[tuple[Finding, Change]]:
    return [(finding, change) for finding, change in _findings(pair) if change != "stable"]


def _complete(pair: Pair) -> bool:
    return all(pair.clean)


def _asked(pair: Pair, rng: Random) -> str | None:
    """A finding to ask about: one that changed in most cases, now and then a stable or an absent one."""
    absent = [name for name in FINDINGS if name not in pair.changes] if _complete(pair) else []
    if absent and (rng.random() < 0.2 or not pair.changes):
        return _pick(rng, absent)
    return _pick(rng, list(pair.changes)) if pair.changes else None


def _progression(pair: Pair, rng: Random) -> list[Item]:
    view = shown(pair, rng, turned=0.1)
    if pair.kind == "unrelated":
        return [view.item(progression_question(_pick(rng, FINDINGS)), "uncertain", "temporal", "progression")]
    name = _asked(pair, rng)
    if name is None:
        return []
    answer: str = pair.changes.get(name, "stable")
    if answer == "stable" and rng.random() < 0.55:
        return []
    if rng.random() < 0.7:
        return [view.item(progression_question(name), answer, "temporal", "progression")]
    question, answer = wording.lettered(rng, _pick(rng, wording.PROGRESSION_ASKS).format(name=name), answer, wording.CHANGES)
    return [view.item(question, answer, "temporal", "letters")]


def _overall(pair: Pair, rng: Random) -> list[Item]:
    view = shown(pair, rng, turned=0.1)
    if pair.kind == "unrelated":
        return [view.item(TEMPLATES["temporal"][1], wording.CANNOT_UNRELATED, "temporal", "cannot")]
    form = rng.random()
    if form < 0.55:
        return [view.item(OVERALL_QUESTION, pair.overall, "temporal", "overall")]
    if form < 0.8:
        asked = TEMPLATES["temporal"][1] if form < 0.7 else _pick(rng, wording.OVERALL_ASKS)
        return [view.item(asked, f"The disease is {pair.overall}.", "temporal", "overall-open")]
    question, answer = wording.lettered(rng, _pick(rng, wording.OVERALL_ASKS), pair.overall, ("worse", "stable", "improved"))
    return [view.item(question, answer, "temporal", "letters")]


def _what_changed(pair: Pair, rng: Random) -> list[Item]:
    view = shown(pair, rng)
    question = TEMPLATES["temporal"][0] if rng.random() < 0.7 else _pick(rng, wording.CHANGE_ASKS)
    if pair.kind == "unrelated":
        return [view.item(question, wording.CANNOT_UNRELATED, "temporal", "cannot")]
    rows, moved = _changed(pair), _moved(pair)
    device = pair.current_truth.get(DEVICE)
    if device and len(rows) < 2 and moved in ("worse", "improved"):
        rows = [*rows, (device, moved)]
    return [view.item(question, wording.report(rows, pair.overall), "temporal", "describe")]


def _progressing(pair: Pair, rng: Random) -> list[Item]:
    name = "pleural effusion" if "pleural effusion" in pair.changes or rng.random() < 0.2 else _asked(pair, rng)
    if name is None or name == DEVICE or (name not in pair.changes and not _complete(pair)):
        return []
    view = shown(pair, rng)
    question = TEMPLATES["temporal"][2].replace("pleural effusion", name)
    if pair.kind == "unrelated":
        return [view.item(question, wording.CANNOT_UNRELATED, "temporal", "cannot")]
    finding = pair.current_truth.get(name) or pair.prior_truth.get(name)
    if finding is None:
        return [view.item(question, f"No, neither image shows {wording.article(name)}.", "temporal", "progressing")]
    change = pair.changes[name]
    return [
        view.item(
            question, f"{'Yes' if change in ('new', 'worse') else 'No'}, {wording.sentence(finding, change)}.", "temporal", "progressing"
        )
    ]


def _different(pair: Pair, rng: Random) -> list[Item]:
    view = shown(pair, rng, turned=0.1)
    question = TEMPLATES["comparison"][0] if rng.random() < 0.7 else _pick(rng, wording.DIFFERENCE_ASKS)
    if pair.kind == "unrelated":
        if not _complete(pair):
            return []
        shows = [wording.listing(truth.findings) or "no disease" for truth in (pair.prior_truth, pair.current_truth)]
        return [view.item(question, f"The first image shows {shows[0]}; the second shows {shows[1]}.", "comparison", "describe")]
    rows = _changed(pair)
    if not rows:
        return [view.item(question, "The disease is the same in both images.", "comparison", "describe")]
    parts = [wording.contrast(finding, change, view.name(1)) for finding, change in rows[:2]]
    return [view.item(question, f"{wording.capital('; '.join(parts))}.", "comparison", "describe")]


def _both(pair: Pair, rng: Random) -> list[Item]:
    if not _complete(pair):
        return []
    shared = [f for f in pair.current_truth.findings if pair.prior_truth.get(f.name)]
    if pair.kind == "unrelated":
        shared = [Finding(f.name, "", "", f.severity) for f in shared]
    answer = f"{wording.capital(wording.listing(tuple(shared)))}." if shared else "None."
    return [shown(pair, rng).item(TEMPLATES["comparison"][1], answer, "comparison", "both")]


def _explains(pair: Pair, rng: Random) -> list[Item]:
    if pair.kind == "unrelated":
        return []
    rows = _diseased(_changed(pair))
    answer = f"{wording.capital(wording.noun(rows[0][0]))}." if rows else "None: the disease is stable."
    return [shown(pair, rng).item(TEMPLATES["reasoning"][1], answer, "reasoning", "explains")]


def _diagnosis(pair: Pair, rng: Random) -> list[Item]:
    if pair.kind == "unrelated" or not _complete(pair):
        return []
    rows = sorted(
        _diseased(_findings(pair)), key=lambda row: -max(pair.prior_truth.severity(row[0].name), pair.current_truth.severity(row[0].name))
    )
    answer = wording.diagnosis(*rows[0]) if rows else "No disease is seen."
    question = TEMPLATES["reasoning"][0]
    if rows and rng.random() < 0.3:
        names = tuple(wording.DIAGNOSES.values())
        question, answer = wording.lettered(rng, question, wording.DIAGNOSES[rows[0][0].name], names, keep=4)
    return [shown(pair, rng).item(question, answer, "reasoning", "diagnosis")]


def _which_more(pair: Pair, rng: Random) -> list[Item]:
    """Which image shows more disease, or more of one finding."""
    if pair.kind == "unrelated" and not _complete(pair):
        return []
    view = shown(pair, rng, turned=0.3)
    if rng.random() < 0.55:
        extents = pair.prior_truth.extent, pair.current_truth.extent
        question = TEMPLATES["coreference"][0] if rng.random() < 0.7 else _pick(rng, wording.MORE_ASKS)
        return _which(view, question, extents[1] - extents[0], 0.08, rng)
    if rng.random() < 0.5:
        return _larger_opacity(pair, view, rng)
    name = _asked(pair, rng) if pair.changes else None
    if name is None or name not in pair.changes:
        return []
    if name == DEVICE:
        only = {"new": 1.0, "resolved": -1.0}.get(pair.changes[name])
        return [] if only is None else _which(view, _pick(rng, wording.DEVICE_ASKS), only, 0.05, rng)
    return _which(view, _pick(rng, wording.LARGER_ASKS).format(name=name), _difference(pair, name), 0.05, rng)


def _larger_opacity(pair: Pair, view: _Shown, rng: Random) -> list[Item]:
    largest = [max((truth.severity(name) for name in OPACITIES), default=0.0) for truth in (pair.prior_truth, pair.current_truth)]
    if not max(largest) or 0.05 <= abs(largest[1] - largest[0]) < 0.15:
        return []
    return _which(view, TEMPLATES["coreference"][1], largest[1] - largest[0], 0.05, rng)


def _which(view: _Shown, question: str, difference: float, dead: float, rng: Random) -> list[Item]:
    if abs(difference) < dead:
        if rng.random() < 0.5:
            return []
        return [view.item(question, "Neither: both images show the same.", "coreference", "which")]
    answer = f"The {view.name(1 if difference > 0 else 0)} image"
    if rng.random() < 0.25:
        question, answer = wording.lettered(rng, question, answer, ("The first image", "The second image", "Neither"))
        return [view.item(question, answer, "coreference", "letters")]
    return [view.item(question, f"{answer}.", "coreference", "which")]


def _one_image(pair: Pair, rng: Random) -> list[Item]:
    """Presence and side of a finding in one named image of the pair, or in the only image."""
    end = 1 if pair.kind == "single" else int(rng.integers(2))
    view = _Shown((1,), ("",), ("",), "temporal") if pair.kind == "single" else shown(pair, rng, turned=0.15)
    made = _looked(pair, view, end, rng)
    device = (pair.prior_truth, pair.current_truth)[end].get(DEVICE)
    if device and pair.clean[end]:
        question, answer, kind = _tip(device, _where(pair, view, end, rng), rng)
        made.append(view.item(question, answer, "coreference" if pair.kind != "single" else "reasoning", kind))
    return made


def _where(pair: Pair, view: _Shown, end: int, rng: Random) -> str:
    """How a question names the image of `end`."""
    if pair.kind == "single":
        return "this image"
    if pair.kind != "unrelated" and view.roles[0] in ("prior", "current") and rng.random() < 0.5:
        return f"the {('prior', 'current')[end]}"
    return f"the {view.name(end)} image"


def _looked(pair: Pair, view: _Shown, end: int, rng: Random) -> list[Item]:
    """Whether findings are in the image of `end`, and on which side one of them is."""
    truth, where = (pair.prior_truth, pair.current_truth)[end], _where(pair, view, end, rng)
    made = _present(truth.findings, pair.clean[end], where, rng)
    sided = [finding for finding in truth.findings if finding.side]
    if sided:
        made.append(_side(_pick(rng, sided), where, rng))
    ability: Ability = "coreference" if pair.kind != "single" else "reasoning"
    return [view.item(question, answer, ability, kind) for question, answer, kind in made]


def _tip(device: Finding, where: str, rng: Random) -> tuple[str, str, str]:
    question, answer = _pick(rng, wording.TIP_ASKS).format(where=where), depth(device)
    if rng.random() < 0.3:
        question, answer = wording.lettered(rng, question, answer, tuple(DEPTHS))
        return question, answer, "letters"
    return question, f"{wording.capital(answer)}.", "position"


def _tip_moved(pair: Pair, rng: Random) -> list[Item]:
    """Whether the tip of a device that is there at both ends lies deeper or higher."""
    moved = _moved(pair)
    if moved is None or not _complete(pair):
        return []
    answer = {"worse": "Yes, it is lower.", "improved": "Yes, it is higher."}.get(moved, "No.")
    return [shown(pair, rng).item(_pick(rng, wording.MOVED_ASKS), answer, "temporal", "moved")]


def _present(findings: tuple[Finding, ...], clean: bool, where: str, rng: Random) -> list[tuple[str, str, str]]:
    names = [finding.name for finding in findings]
    absent = [name for name in FINDINGS if name not in names]
    if not clean:  # only "yes" is known, and "yes" alone would teach the word instead of the look
        return []
    rows = []
    if names:
        rows.append((_pick(rng, wording.PRESENT_ASKS).format(name=wording.article(_pick(rng, names)), where=where), "Yes.", "present"))
    if rng.random() < (0.9 if names else 0.5):
        rows.append((_pick(rng, wording.PRESENT_ASKS).format(name=wording.article(_pick(rng, absent)), where=where), "No.", "present"))
    return rows


def _side(finding: Finding, where: str, rng: Random) -> tuple[str, str, str]:
    question = _pick(rng, wording.SIDE_ASKS).format(name=finding.name, where=where)
    if rng.random() < 0.3:
        question, answer = wording.lettered(rng, question, wording.SIDE_WORDS[finding.side], ("Right", "Left", "Both"))
        return question, answer, "letters"
    return question, f"{wording.SIDE_WORDS[finding.side]}.", "side"


def _single(pair: Pair, rng: Random) -> list[Item]:
    view = _Shown((1,), ("",), ("",), "temporal")
    asked: list[tuple[str, Ability]] = [(question, "temporal") for question in (*TEMPLATES["temporal"], OVERALL_QUESTION)]
    asked += [(question, "comparison") for question in TEMPLATES["comparison"]]
    question, ability = _pick(rng, asked)
    rows = [view.item(question, wording.CANNOT_SINGLE, ability, "cannot")]
    if not pair.clean[1]:
        return rows
    opacity = [f for f in pair.current_truth.findings if f.name in OPACITIES]
    answer = f"Yes, {wording.noun(opacity[0])}." if opacity else "No."
    rows.append(view.item(SINGLE[0], answer, "reasoning", "present"))
    effusion = pair.current_truth.get("pleural effusion")
    rows.append(view.item(SINGLE[1], f"Yes, {wording.SIDE_WORDS[effusion.side].lower()}." if effusion else "No.", "reasoning", "side"))
    rows.append(view.item(_pick(rng, wording.DESCRIBE_ASKS), wording.impression(pair.current_truth.findings), "reasoning", "describe"))
    return rows


Maker = Callable[[Pair, Random], list[Item]]
MAKERS: tuple[Maker, ...] = (
    _progression,
    _overall,
    _what_changed,
    _progressing,
    _different,
    _both,
    _explains,
    _diagnosis,
    _which_more,
    _one_image,
    _tip_moved,
)


def lists(pair: Pair, view: Item, rng: Random, most: int = 4) -> list[Item]:
    """Questions that name several findings at once, about the images as `view` shows them: how each has changed, and where and how
    severe each is in either image.

    A list tells of four findings in the words that a closed question spends on one, so a model learns to look much faster from
    it. About `most` findings are named, those of the pair among them; absent ones only where that is known.
    """
    if pair.kind not in ("pair", "identical") or not pair.changes:
        return []
    shown = _Shown(view.images, view.roles, view.whens, view.relationship)
    names = _named(pair, rng, most) if _complete(pair) else [str(name) for name in rng.permutation(list(pair.changes))]
    rows = [f"{name} {pair.changes.get(name, 'absent')}" for name in names] + [f"overall {pair.overall}"]
    made = [shown.item(f"How have these changed: {', '.join(names)}?", f"{', '.join(rows)}.", "temporal", "list")]
    for end, truth in enumerate((pair.prior_truth, pair.current_truth)):
        if pair.clean[end]:
            names = _named(pair, rng, most)
            asked = f"Where are these in the {shown.name(end)} image: {', '.join(names)}?"
            rows = [f"{name} {wording.placed(truth.get(name))}" for name in names]
            made.append(shown.item(asked, f"{', '.join(rows)}.", "coreference", "list"))
    return [made[int(index)] for index in rng.permutation(len(made))]


def looks(pair: Pair, view: Item, rng: Random, count: int) -> list[Item]:
    """At most `count` questions whether one finding is in one image, and where, about the images as `view` shows them."""
    shown, found = _Shown(view.images, view.roles, view.whens, view.relationship), dict[str, Item]()
    for _ in range(2 * count):
        found.update((item.question, item) for item in _looked(pair, shown, view.images[int(rng.integers(len(view.images)))], rng))
    return [list(found.values())[int(index)] for index in rng.permutation(len(found))[:count]]


def _named(pair: Pair, rng: Random, most: int) -> list[str]:
    absent = [name for name in FINDINGS if name not in pair.changes]
    chosen = [*pair.changes, *rng.permutation(absent)[: max(1, most - len(pair.changes))]]
    return [str(name) for name in rng.permutation(chosen)]


def items(pair: Pair, rng: Random) -> list[Item]:
    """Several items about `pair`, seeded by `rng`: closed and open, balanced over answers.

    A pair with a prior gives up to a dozen items in all four abilities; a single image gives four or five.
    """
    if pair.kind == "single":
        return [*_single(pair, rng), *_one_image(pair, rng)]
    return [item for maker in MAKERS for item in maker(pair, rng)]
