"""The words of generated questions and answers: short, a radiologist's, and few, so that a small model can learn them."""

from __future__ import annotations

import numpy as np

from finetune.synthesis.truth import DEVICE, Change, Finding, Overall, depth

CHANGES: tuple[str, ...] = ("new", "worse", "stable", "improved", "resolved")
CANNOT_UNRELATED = "Cannot tell: the images are of different patients."
CANNOT_SINGLE = "Cannot tell: there is only one image."
SIDE_WORDS = {"right": "Right", "left": "Left", "bilateral": "Both", "": "Neither"}
LARGER: dict[Change, str] = {"new": "new", "worse": "larger", "stable": "unchanged", "improved": "smaller", "resolved": "resolved"}
SWELLING: dict[Change, str] = {**LARGER, "worse": "worse", "improved": "improved"}
PLACED: dict[Change, str] = {**LARGER, "worse": "lower", "improved": "higher", "resolved": "removed"}
DIAGNOSES = {
    "consolidation": "pneumonia",
    "diffuse opacity": "pulmonary oedema or diffuse pneumonia",
    "pleural effusion": "pleural effusion",
    "pneumothorax": "pneumothorax",
    "nodule": "lung nodule",
    "cardiomegaly": "enlarged heart",
    "atelectasis": "atelectasis",
}
PROGRESSION_ASKS = (
    "How has the {name} changed since the prior?",
    "What is the progression of the {name}?",
    "Compared with the prior, the {name} is:",
    "Which word describes the course of the {name} over the interval?",
)
OVERALL_ASKS = (
    "Has the patient's condition worsened, stayed stable or improved?",
    "Compared with the prior, is the disease worse, stable or improved?",
    "How has the extent of disease changed over the interval?",
    "Is there progression of disease since the earlier film?",
)
CHANGE_ASKS = (
    "What has changed in the interval?",
    "Describe the interval change.",
    "Compare the current film with the prior.",
    "Is there any interval change?",
    "What is new since the last study?",
)
DIFFERENCE_ASKS = (
    "How does the second image differ from the first?",
    "Compare the two images.",
    "Which differences are there between the two images?",
)
MORE_ASKS = (
    "In which image is the disease more extensive?",
    "Which of the two images looks worse?",
    "Which film shows the more severe disease?",
)
LARGER_ASKS = ("Which image shows the larger {name}?", "In which image is the {name} more severe?", "Which image shows more {name}?")
PRESENT_ASKS = ("Is there {name} in {where}?", "Does {where} show {name}?", "Can {name} be seen in {where}?")
SIDE_ASKS = (
    "On which side is the {name} in {where}?",
    "Which side shows the {name} in {where}?",
    "Where is the {name} in {where}: right, left or both?",
)
DEVICE_ASKS = ("Which image shows a tube or line?", "In which image is there a tube or line?")
TIP_ASKS = (
    "Where is the tip of the tube or line in {where}: high, in place or low?",
    "How deep is the tip of the tube or line in {where}: high, in place or low?",
)
MOVED_ASKS = ("Has the tip of the tube or line moved?", "Has the tube or line been moved since the prior?")
DESCRIBE_ASKS = ("Describe this image.", "What does this image show?", "Give an impression of this film.")
UNCOUNTED = ("consolidation", "cardiomegaly", "atelectasis", "diffuse opacity")


def interval(days: float) -> str:
    """Days in words as the screen gives them: ``1 day``, ``14 days``."""
    count = round(days)
    return "1 day" if count == 1 else f"{count} days"


def capital(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def article(name: str) -> str:
    """The finding's name with an article where English wants one."""
    return name if name in UNCOUNTED else f"a {name}"


def noun(finding: Finding) -> str:
    """Side and name: ``right consolidation``, ``bilateral pleural effusion``, ``cardiomegaly``."""
    return f"{finding.side} {finding.name}".strip()


def listing(findings: tuple[Finding, ...]) -> str:
    """``right consolidation and cardiomegaly``; empty without findings."""
    names = [noun(finding) for finding in findings]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _course(finding: Finding, change: Change) -> str:
    if finding.name == DEVICE:
        return PLACED[change]
    return (SWELLING if finding.name in ("diffuse opacity", "cardiomegaly", "atelectasis") else LARGER)[change]


def sentence(finding: Finding, change: Change) -> str:
    """``the right consolidation is larger``."""
    return f"the {noun(finding)} is {_course(finding, change)}"


def placed(finding: Finding | None) -> str:
    """Side and severity in a list: ``right mild``, ``both severe``, ``moderate``; a device's depth; ``absent``."""
    if finding is None:
        return "absent"
    if finding.name == DEVICE:
        return depth(finding)
    level = ("mild", "moderate", "severe")[int(np.digitize(finding.severity, (0.35, 0.65)))]
    return f"{'both' if finding.side == 'bilateral' else finding.side} {level}".strip()


def report(rows: list[tuple[Finding, Change]], overall: Overall) -> str:
    """Interval change in one line: at most two findings and the whole: ``The right consolidation is larger; overall worse.``"""
    if not rows:
        return "No change; overall stable."
    return f"{capital('; '.join(sentence(finding, change) for finding, change in rows[:2]))}; overall {overall}."


def contrast(finding: Finding, change: Change, where: str) -> str:
    """What the image in which the current stands (`where`: first or second) shows against the other."""
    words = {"new": f"only the {where} image shows the {noun(finding)}", "resolved": f"the {noun(finding)} is absent in the {where} image"}
    return words.get(change, f"the {noun(finding)} is {_course(finding, change)} in the {where} image")


def diagnosis(finding: Finding, change: Change) -> str:
    """``Pneumonia, worse.``"""
    return f"{capital(DIAGNOSES[finding.name])}, {change}."


def impression(findings: tuple[Finding, ...]) -> str:
    """One image in a line: ``Severe right consolidation and mild cardiomegaly.``"""
    if not findings:
        return "No disease is seen."
    parts = [described(finding) for finding in findings]
    return f"{capital(' and '.join(parts[:2]))}."


def described(finding: Finding) -> str:
    """``severe right consolidation``; ``tube or line with its tip in place``."""
    if finding.name == DEVICE:
        return f"{DEVICE} with its tip {'in place' if depth(finding) == 'in place' else 'too ' + depth(finding)}"
    return f"{grade(finding.severity)} {noun(finding)}"


def grade(severity: float) -> str:
    """Severity in words."""
    return "mild" if severity < 0.4 else "moderate" if severity < 0.7 else "severe"


def lettered(rng: np.random.Generator, question: str, answer: str, choices: tuple[str, ...], keep: int = 6) -> tuple[str, str]:
    """Med-MIM's lettered form with the choices in random order, at most `keep` of them: (question, ``B: stable``)."""
    others = [choice for choice in choices if choice != answer]
    rng.shuffle(others)
    options = [*others[: keep - 1], answer]
    rng.shuffle(options)
    letters = "ABCDEFGH"
    lines = "".join(f"\n{letter}: {option}" for letter, option in zip(letters, options, strict=False))
    return question + lines, f"{letters[options.index(answer)]}: {answer}"
