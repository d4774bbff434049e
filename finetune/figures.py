"""Which figures each subset of Med-MIM is known by: what is asked, how answers are grouped, and what counts as independent.

A table, so that scoring, chance, the constant answer and the fixed text rule all walk the same definitions. Sources: section 2 and
P4 of the scoring protocol; the tests hold every count against the published files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from finetune import classes
from finetune.classes import Reader
from finetune.medmim import Item
from inference.engine import ABILITIES

PAIR_CLEAN = frozenset(
    {
        "87326952",
        "9b2e37dd",
        "5bede21f",
        "651f2da6",
        "5c69d0a3",
        "83e92925",
        "72ecd80b",
        "cc0ef3a4",
        "38b0d861",
        "bc1d464c",
        "3c921321",
        "ff6fae7f",
        "42baab2e",
        "3d2b1a3f",
        "0526cbb1",
        "138d04d7",
        "2047f9b5",
        "51e772d2",
        "46cd3935",
        "dcd2ffbc",
        "c58aa30f",
        "2469be7b",
        "7d03c261",
        "4da35783",
        "1ab8964f",
        "f4f5b0bd",
        "e8ea6e38",
        "fa36bbf1",
        "f631b21b",
        "1e267be9",
    }
)
"""Beginnings of the keys of MS-CXR-T questions whose pair of films is not in the training file."""
PATIENT_CLEAN = frozenset(
    {
        "87326952",
        "9b2e37dd",
        "5bede21f",
        "5c69d0a3",
        "38b0d861",
        "bc1d464c",
        "3c921321",
        "42baab2e",
        "3d2b1a3f",
        "0526cbb1",
        "138d04d7",
        "51e772d2",
        "dcd2ffbc",
        "4da35783",
        "1ab8964f",
        "f4f5b0bd",
        "e8ea6e38",
        "fa36bbf1",
    }
)
"""The same for questions whose patient is not in the training file."""


@dataclass(frozen=True)
class Figure:
    """One figure. `chosen` says whose answers count; `read` gives the class of an option's text, for groups and constants.

    `group` names the group inside which means are taken before they are averaged; `by_class` counts a text of the gold text's
    class as right, not only the same text; `vote` lets the items of a cluster vote for one class; `letter` compares letters.
    `rule` is the fixed text rule that a model must beat; `chance` is given where items vote, and worked out elsewhere.
    """

    name: str
    chosen: Callable[[Item], bool]
    note: str = ""
    read: Reader | None = None
    group: Callable[[Item], str] = lambda item: ""
    by_class: bool = False
    vote: bool = False
    letter: bool = False
    headline: bool = False
    kind: str = "accuracy"
    rule: Callable[[Item], str] = classes.longest
    rule_name: str = "the longest option"
    chance: float | None = None


def gold_text(item: Item) -> str:
    """Text of the gold option of a closed item."""
    return dict(item.options)[item.letter or ""]


def source(word: str) -> Callable[[Item], bool]:
    """Whether the item's source says `word`."""
    return lambda item: word in item.source


def of_class(read: Reader) -> Callable[[Item], str]:
    """Groups items by the class of their gold text: recall of each class, averaged."""
    return lambda item: read(item, gold_text(item))


def _recall(name: str, word: str, read: Reader, wanted: str, vote: bool) -> Figure:
    def chosen(item: Item) -> bool:
        return word in item.source and read(item, gold_text(item)) == wanted

    return Figure(name, chosen, f"recall of {wanted}", read, by_class=True, vote=vote, kind="recall", chance=0.5 if vote else None)


def clean(item: Item) -> bool:
    """ODIR questions with four options, no two of them the same."""
    return len(item.options) == 4 and len({classes.norm(text) for _, text in item.options}) == 4


def single(item: Item) -> bool:
    """ODIR questions about one of the two images."""
    return item.stem.startswith("What is the diagnosis")


def everything(item: Item) -> bool:
    """Every item."""
    return True


def cell(item: Item) -> str:
    """Co-reference cell: source and number of images; chance differs between cells."""
    kinds = (
        ("EMBED_multichoice_typeA", "EMBED which image"),
        ("EMBED_multichoice_typeC", "EMBED CC view"),
        ("LUMIERE", "LUMIERE sequence"),
    )
    name = next((name for start, name in kinds if item.source.startswith(start)), item.source)
    return f"{name}, {len(item.images)} images"


def _in_cell(name: str) -> Callable[[Item], bool]:
    return lambda item: cell(item) == name


def _images(count: int) -> Callable[[Item], bool]:
    return lambda item: len(item.images) == count


_TUMOUR, _RESECTION, _FORECAST = (classes.reader(rules) for rules in (classes.TUMOUR, classes.RESECTION, classes.FORECAST))
_BIRADS, _POOLED, _FOUR_WAY = (classes.birads(pooling) for pooling in ({}, classes.POOLED, classes.FOUR_WAY))
_CELLS = [f"{name}, {count} images" for name in ("EMBED which image", "EMBED CC view", "LUMIERE sequence") for count in (2, 3)]
_ALL = Figure("all items", everything, "micro accuracy over every source; never compare it between files")
_TWO, _THREE = Figure("2 images", _images(2)), Figure("3 images", _images(3))


def _asks(ability: str) -> Callable[[Item], bool]:
    return lambda item: item.ability == ability


def _strict(item: Item) -> bool:
    return "MS_CXR_T" in item.source and classes.strict_change(item)


def _loose(item: Item) -> bool:
    return "MS_CXR_T" in item.source and not classes.strict_change(item)


TEMPORAL = (
    Figure(
        "LUMIERE pair level",
        source("LUMIERE"),
        "balanced accuracy of progressive and stable disease; slices of a patient's pair of weeks vote, a tie is wrong",
        _TUMOUR,
        of_class(_TUMOUR),
        by_class=True,
        vote=True,
        headline=True,
        chance=0.5,
    ),
    Figure("EMBED forecast", source("EMBED"), "balanced accuracy of stable and worse", _FORECAST, of_class(_FORECAST), headline=True),
    _recall("LUMIERE pair level, stable", "LUMIERE", _TUMOUR, "stable", vote=True),
    _recall("EMBED forecast, stable", "EMBED", _FORECAST, "stable", vote=False),
    Figure("LUMIERE items", source("LUMIERE"), "slice by slice; a constant answer gets 80 %", _TUMOUR),
    _ALL,
)
COMPARISON = (
    Figure(
        "MS-CXR-T strict",
        _strict,
        "recall of improving, stable and worsening, averaged; options are exactly these three",
        classes.read_change,
        of_class(classes.read_change),
        headline=True,
    ),
    Figure("MS-CXR-T strict, items", _strict, "micro accuracy of the same items", classes.read_change),
    Figure("MS-CXR-T other", _loose, "free statements of the report; several may be true"),
    Figure("pair-clean", lambda item: item.key[:8] in PAIR_CLEAN, "MS-CXR-T pairs that the training file does not have"),
    Figure("patient-clean", lambda item: item.key[:8] in PATIENT_CLEAN, "MS-CXR-T patients that the training file does not have"),
    Figure(
        "LUMIERE resection, pair level",
        source("LUMIERE"),
        "three pairs alone: nothing can be ranked by it",
        _RESECTION,
        of_class(_RESECTION),
        by_class=True,
        vote=True,
        chance=0.5,
    ),
    _ALL,
)
REASONING = (
    Figure("BI-RADS 7 classes", everything, "recall of each category, averaged", _BIRADS, of_class(_BIRADS), headline=True),
    Figure("BI-RADS pooled", everything, "highly suggestive (3 items) counted with suspicious", _POOLED, of_class(_POOLED), by_class=True),
    Figure("BI-RADS 4-way", everything, "by what is done next", _FOUR_WAY, of_class(_FOUR_WAY), by_class=True),
    Figure("all items", everything, "micro accuracy", _BIRADS),
)
COREFERENCE = (
    Figure("mean of six cells", everything, "source x number of images", classes.read_place, cell, headline=True),
    *(Figure(name, _in_cell(name), read=classes.read_place) for name in _CELLS),
    Figure("all items", everything, "micro accuracy", classes.read_place),
)
_odir = partial(Figure, rule=classes.repeated, rule_name="the repeated option, else the one of the commonest parts")
ODIR = (
    _odir("text equality", everything, "a third of the gold texts is offered twice and may be named by either letter", headline=True),
    _odir("clean-190", clean, "four options, no text twice", headline=True),
    _odir("single questions", single, "about one of the two eyes"),
    _odir("pair questions", lambda item: not single(item), "about both eyes"),
    _odir("letter only", everything, "legacy: who always finds the right text gets 83 %", letter=True),
)
RAD = (
    Figure("all items", everything, "the longest option alone gets 71 %: read it with length-adversarial", headline=True),
    Figure("length-adversarial", lambda item: classes.longest(item) != item.letter, "gold is not the longest option", headline=True),
    _TWO,
    _THREE,
)
GENERAL = (
    Figure("all items", everything, headline=True),
    *(Figure(ability, _asks(ability)) for ability in ABILITIES),
    _TWO,
    _THREE,
)

FIGURES: dict[str, tuple[Figure, ...]] = {
    "temporal": TEMPORAL,
    "comparison": COMPARISON,
    "reasoning": REASONING,
    "coreference": COREFERENCE,
    "odir": ODIR,
    "rad": RAD,
}
"""Subset -> its figures, headline figures first; whatever else is scored by `GENERAL`."""
MEAN_SKILL = {
    "temporal": "EMBED forecast",
    "comparison": "patient-clean",
    "reasoning": "BI-RADS 7 classes",
    "coreference": "mean of six cells",
    "odir": "clean-190",
    "rad": "length-adversarial",
}
"""Subset -> the figure whose skill enters the mean, where one number is needed."""


def figures(subset: str) -> tuple[Figure, ...]:
    """Figures of a subset; a training file has those of its benchmark file."""
    return FIGURES.get(subset.removeprefix("train_"), GENERAL)
