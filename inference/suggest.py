"""Questions that fit what is loaded: templates with places for findings, marks and numbers, filled by what hangs.

A template is a plain question that may name `{finding}` (one that this kind of image can show), `{mark}` (a lettered mark on it) and
`{images}` (how many hang). One whose places cannot be filled is not offered. A reader's own templates take the place of those here.

    suggestions(TEMPLATES["temporal"], Loaded(2, "temporal", findings=("pleural effusion",), marks=("A",)))
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from inference import prompts
from inference.engine import Ability, Relationship

PLACES = ("finding", "mark", "images")
_PLACE = re.compile(r"\{(\w*)\}")

TEMPLATES: Mapping[Ability, tuple[str, ...]] = {
    "temporal": (
        "What changed since the prior?",
        "Has {mark} changed since the prior?",
        "Is the disease worse, stable or improved since the prior study?",
        "Is the {finding} progressing from the prior to the current study?",
        "How did the disease run over the {images} time points?",
    ),
    "comparison": (
        "What is different between the first and the second image?",
        "What is different at {mark}?",
        "Which findings are present in both images?",
        "Is there a {finding} in only one of the images?",
    ),
    "reasoning": (
        "What is the most likely diagnosis, taking all images together?",
        "What is the most likely nature of {mark}?",
        "Which finding explains the difference between the images?",
        "Do the images together show a {finding}?",
    ),
    "coreference": (
        "Which image shows more disease?",
        "On which image does {mark} lie, and what is there?",
        "Which image shows the larger {finding}?",
    ),
}
"""What is offered to a reader who has written none for this ability; the most telling first."""

FINDINGS: Mapping[str, tuple[str, ...]] = {
    "chest radiograph": ("pleural effusion", *(one for one in prompts.FINDINGS if one != "pleural effusion")),
    "chest CT": ("nodule", *(one for one in prompts.FINDINGS if one != "nodule")),
    "mammogram": ("mass", "calcification", "architectural distortion", "asymmetry", "skin thickening"),
    "brain": ("enhancing lesion", "white matter lesion", "haemorrhage", "oedema", "midline shift", "hydrocephalus"),
    "abdomen": ("liver lesion", "fluid collection", "enlarged lymph node", "hydronephrosis", "bowel dilatation"),
    "bone": ("fracture", "joint effusion", "bone lesion", "joint space narrowing", "hardware"),
}
"""What the named kind of image is looked at for, likeliest first; the first one is what suggestions name."""
_BODY: tuple[tuple[str, str], ...] = (
    ("brain", "BRAIN|SKULL|NEURO|(?:INTRA)?CRANI"),
    ("abdomen", "ABD(?!UC)|LIVER|PELVI|KIDNEY|PANCREA"),
    ("bone", "KNEE|HANDS?(?![A-Z])|WRIST|ANKLE|FOOT(?![A-Z])|ELBOW|SHOULDER|HIPS?(?![A-Z])|FEMUR|[CTL]?SPINE|EXTREMIT"),
    ("chest", "CHEST|THORA|LUNG"),
    ("brain", r"HEAD(?:NECK)?(?![A-Z])(?![\W_]+(?:OF|FIRST|UP)(?![A-Z]))"),
)
"""What words begin with that name a part of the body. A bare head comes last: of a bed, of a femur or with arms above it, it is none."""
_RADIOGRAPHS = ("CR", "DX", "RF", "XA")


@dataclass(frozen=True)
class Loaded:
    """What hangs: how many images, how they relate, findings they can show (likeliest first), letters of the marks on them."""

    images: int
    relationship: Relationship = "temporal"
    findings: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


def kind(modality: str, body_part: str, description: str = "") -> str:
    """A key of `FINDINGS` for a series, `` when none fits. The description tells only where the body part, a joined code, does not."""
    if modality == "MG":
        return "mammogram"
    part = _part(body_part) or _part(description, "(?<![A-Z])")
    if part == "chest":
        return "chest radiograph" if modality in _RADIOGRAPHS else "chest CT" if modality == "CT" else ""
    return part


def _part(said: str, start: str = "") -> str:
    return next((name for name, words in _BODY if re.search(f"{start}(?:{words})", said.upper())), "")


def scope(kinds: Sequence[str]) -> tuple[str, ...]:
    """Findings whose progression is asked of images of these kinds; of an unknown kind those of a chest radiograph."""
    named = next((FINDINGS[one] for one in kinds if one in FINDINGS), prompts.FINDINGS)
    return prompts.FINDINGS if set(named) == set(prompts.FINDINGS) else named


def suggestions(templates: Sequence[str], loaded: Loaded) -> tuple[str, ...]:
    """The templates filled, each as often as there are marks to speak of, in their order and without doubles."""
    return tuple(dict.fromkeys(text for template in templates for text in _filled(template, loaded)))


def offered(ability: Ability, loaded: Loaded) -> tuple[str, ...]:
    """The program's own templates that fit: of one image nothing is compared, and without time points nothing changed."""
    if loaded.images < 2:
        return (*_marked(loaded), *prompts.SINGLE)
    timed = loaded.relationship == "temporal"
    return TEMPLATES["comparison" if ability == "temporal" and not timed else ability]


def unknown(template: str) -> tuple[str, ...]:
    """Names in braces that are no place of a template."""
    return tuple(name for name in _PLACE.findall(template) if name not in PLACES)


def _marked(loaded: Loaded) -> tuple[str, ...]:
    return ("What is at {mark}?",) if loaded.marks else ()


def _filled(template: str, loaded: Loaded) -> Iterator[str]:
    if "{images}" in template and loaded.images < 3:
        return
    if "{finding}" in template and not loaded.findings:
        return
    told = template.replace("{images}", str(loaded.images)).replace("{finding}", loaded.findings[0] if loaded.findings else "")
    for mark in loaded.marks if "{mark}" in template else ("",):
        yield _article(told.replace("{mark}", f"region {mark}"))


def _article(text: str) -> str:
    """`a enhancing lesion` as it is said."""
    return re.sub(r"\ba(?= [aeio])", "an", text)
