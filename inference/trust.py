"""What the trust checks found: one `Check` each, and together one of four states in words. No percentage is a state.

    not image-dependent   the answer stays as it is without the images: it was not read from them
    order-blind           exchanging prior and current does not turn the answer round: their order was not used
    unstable              an irrelevant change (order of options, other words, the same picture twice) changes the answer, or its words
                          say something else than what was checked
    image-based           none of these was found; with `order-coherent` when the exchange was made and answered as it must be

Consistency alone is no sign of trust: models that ignore the images are the most consistent of all (arXiv 2603.20985), so an
answer that does not depend on the images is never called anything better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["coherent", "image-based", "order-blind", "image-blind", "unstable", "unchecked"]

WORDS: Mapping[State, str] = {
    "coherent": "image-based and order-coherent",
    "image-based": "image-based, order not tested",
    "order-blind": "order-blind",
    "image-blind": "not image-dependent",
    "unstable": "unstable",
    "unchecked": "not checked",
}
_SHOWN: tuple[tuple[State, tuple[str, ...]], ...] = (
    ("image-blind", ("no_image",)),
    ("order-blind", ("exchange",)),
    ("unstable", ("said", "exchange", "identical", "rotation", "paraphrase")),
)


@dataclass(frozen=True)
class Check:
    """One check. `passed` is None for one that could not be made or judges nothing (`verdict` and `explanation` say why).

    `question` is what was asked, `seen` the answer's own classes and `found` those under the check, each class ->
    probability; `images` are the hashes of the pictures that were shown, in order; `figures` are its own numbers.
    """

    code: str
    verdict: str
    explanation: str
    passed: bool | None = None
    question: str = ""
    seen: Mapping[str, float] = field(default_factory=dict)
    found: Mapping[str, float] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """As printed, stored and sent."""
        return {
            "check": self.code,
            "verdict": self.verdict,
            "passed": self.passed,
            "explanation": self.explanation,
            "question": self.question,
            "seen": dict(self.seen),
            "found": dict(self.found),
            "images": list(self.images),
            "figures": dict(self.figures),
            "details": list(self.details),
        }


def kept(stored: Mapping[str, object]) -> dict[str, Check]:
    """The checks among what a store keeps with an answer, by name; what has not their form is left out."""
    found: dict[str, Check] = {}
    for name, value in stored.items():
        if not (isinstance(value, Mapping) and {"check", "verdict", "explanation", "passed"} <= value.keys()):
            continue
        passed = value["passed"] if isinstance(value["passed"], bool) else None
        found[name] = Check(
            code=str(value["check"]),
            verdict=str(value["verdict"]),
            explanation=str(value["explanation"]),
            passed=passed,
            question=str(value.get("question", "")),
            seen=value.get("seen") or {},
            found=value.get("found") or {},
            images=tuple(value.get("images") or ()),
            figures=value.get("figures") or {},
            details=tuple(value.get("details") or ()),
        )
    return found


@dataclass(frozen=True)
class Trust:
    """The state that all checks together come to, in words, and the sentence of the check that decided it."""

    state: State
    words: str
    explanation: str

    def as_json(self) -> dict[str, object]:
        """As printed, stored and sent."""
        return {"state": self.state, "words": self.words, "explanation": self.explanation}


def judged(checks: Mapping[str, Check]) -> Trust:
    """The state of the checks that were made, worst first; `unchecked` while the one without images is missing."""
    for state, names in _SHOWN:
        for name in names:
            check = checks.get(name)
            if check is None or check.passed is not False:
                continue
            if state == "order-blind" and check.verdict != "order-blind":
                continue
            return Trust(state, WORDS[state], check.explanation)
    blind, turned = checks.get("no_image"), checks.get("exchange")
    if blind is None or blind.passed is None:
        return Trust("unchecked", WORDS["unchecked"], "Whether the answer depends on the images was not asked.")
    if turned is not None and turned.passed:
        return Trust("coherent", WORDS["coherent"], f"{blind.explanation} {turned.explanation}")
    return Trust("image-based", WORDS["image-based"], blind.explanation)
