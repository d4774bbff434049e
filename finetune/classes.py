"""What the words of Med-MIM's options mean: progressive or stable, which image, which BI-RADS category.

The published questions say one thing in many ways ("deteriorating", "advancing disease"). Recall per class, votes of slices and
the constant answer that a model must beat need the meaning, so ordered patterns map each phrase to its class. The tests
hold the counts of the published files against them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from finetune.medmim import Item

Rules = tuple[tuple[str, str], ...]
"""(class, pattern) in the order in which they are tried."""

TUMOUR: Rules = (
    ("stable", r"^stable|^no significant change"),
    ("progressive", r"advanc|deteriorat|progress|worsen"),
)
"""LUMIERE follow-up: progressive against stable disease; "no significant change" says stable."""
RESECTION: Rules = (
    ("partial", r"partial|incomplete"),
    ("complete", r"complete|entire|full|total|wholly"),
)
FORECAST: Rules = (
    ("improved", r"treat|therap|recover|improv|relief|better|care$|with current medical"),
    ("unclear", r"uncertain|review|monitor|evaluat|surveil|investigat|diagnostic assess|vary|fluctuat"),
    ("stable", r"stab[li]|steady|unalter|unchang|maintain|uphold|consisten|continuity|status quo|no (?:significant|change|anticipated)"),
    ("worse", r"declin|deterior|worsen|progress|advanc|escalat|aggravat|adverse|complicat"),
)
"""EMBED, one year ahead."""
CHANGE: Rules = (
    ("improving", r"improv|resol"),
    ("stable", r"stable|unchanged|no (?:significant |relevant )?change"),
    ("worsening", r"worsened|worsening"),
)
"""MS-CXR-T's three classes of progression."""
BIRADS: Rules = (
    ("known malignancy", r"known|biopsy-(?:proven|confirmed)|diagnosed (?:with )?malig|confirmed (?:cancer|malig)"
     r"|(?:cancer|malignancy) (?:clinically )?(?:confirmed|established|verified)"),
    ("probably benign", r"(?:prob|likely|potential).*(?:benign|harmless)|benignity"),
    ("benign", r"benign|harmless|non-malignant"),
    ("negative", r"^no |negative|clear of"),
    ("suspicious", r"suspicious|suspicion|questionable|potentially malignant"),
    ("highly suggestive", r"high|strong|presum|probable|likely|^indications|pointing"),
    ("additional evaluation", r"additional|further|extended"),
)  # fmt: skip
"""BI-RADS categories in words."""
POOLED = {"highly suggestive": "suspicious"}
FOUR_WAY = {"negative": "negative or benign", "benign": "negative or benign", **dict.fromkeys(
    ("suspicious", "highly suggestive", "known malignancy"), "suspicious or worse")}  # fmt: skip
"""The collapse of BI-RADS to what is done next."""
PLACES: Rules = (
    ("last", r"third|last|final|three|3|bottom"),
    ("2", r"second|next|subsequent|middle|two|2|center"),
    ("1", r"first|initial|one|1|top"),
)
NAMED = re.compile(r"\b(first|second|third)\b", re.IGNORECASE)

SAME = re.compile(r"\b(same|share|similar)\b", re.IGNORECASE)
DIFFERENT = re.compile(r"\b(differ|different|differences)\b", re.IGNORECASE)
YES_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
RESULT = re.compile(r"^.*?\bimage (?:is|shows) (?:an? )?", re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=16384)
def norm(text: str) -> str:
    """Lower case, letters and digits only: how two texts are compared."""
    return "".join(character for character in text.lower() if character.isascii() and character.isalnum())


@lru_cache(maxsize=16384)
def first_match(text: str, rules: Rules) -> str:
    """Class of the first rule that a text fits, `` if none."""
    lower = text.lower().strip()
    return next((name for name, pattern in rules if re.search(pattern, lower)), "")


def only_match(text: str, rules: Rules) -> str:
    """Class of the one rule that a text fits, `` if none or several."""
    fits = [name for name, pattern in rules if re.search(pattern, text.lower())]
    return fits[0] if len(fits) == 1 else ""


def place(text: str, images: int) -> str:
    """Number of the image that an option names, from 1; `` if none."""
    named = first_match(text, PLACES)
    return str(images) if named == "last" else named


Reader = Callable[[Item, str], str]
"""From an item and an option's text to its class."""


def reader(rules: Rules) -> Reader:
    """Reads the class by the first rule that fits."""
    return lambda item, text: first_match(text, rules)


def birads(pooling: dict[str, str]) -> Reader:
    """Reads the BI-RADS category, some of them pooled."""

    def read(item: Item, text: str) -> str:
        found = first_match(text, BIRADS)
        return pooling.get(found, found)

    return read


def read_change(item: Item, text: str) -> str:
    """Improving, stable or worsening; `` when a text says none or two of them."""
    return only_match(text, CHANGE)


def read_place(item: Item, text: str) -> str:
    """Which image, by number."""
    return place(text, len(item.images))


def strict_change(item: Item) -> bool:
    """Whether the options are the triplet improving, stable, worsening, each at least once, none of them two, gold among them."""
    if not item.closed:
        return False
    fits = [[name for name, pattern in CHANGE if re.search(pattern, text.lower())] for _, text in item.options]
    gold = fits[[letter for letter, _ in item.options].index(item.letter or "")]
    found = {name for names in fits for name in names}
    return bool(gold) and len(found) == len(CHANGE) and all(len(names) < 2 for names in fits)


# Fixed text rules: what an answerer who never looks gets


def longest(item: Item) -> str:
    """Letter of the longest option, the first of equals."""
    return max(item.options, key=lambda option: len(option[1]))[0]


def repeated(item: Item) -> str:
    """Letter of an option whose text occurs twice; else of the one whose parts occur most often among all options."""
    texts = [norm(text) for _, text in item.options]
    twice = [index for index, text in enumerate(texts) if texts.count(text) > 1]
    if twice:
        return item.options[twice[0]][0]
    parts = [[norm(part) for part in re.split(r"[;,:]", text) if norm(part)] for _, text in item.options]
    common = Counter(part for some in parts for part in some)
    return max(zip(item.options, parts, strict=True), key=lambda pair: sum(common[part] for part in pair[1]))[0][0]


# Labels of open answers


def named_image(item: Item, text: str) -> str:
    """Which image a sentence names first, by number; `` if none."""
    found = NAMED.search(text)
    return str(("first", "second", "third").index(found[1].lower()) + 1) if found else ""


def diagnosis(item: Item, text: str) -> str:
    """The diagnosis in a sentence such as "The diagnostic result for the first image is drusen.", normalised."""
    return norm(RESULT.sub("", text, count=1))


def asks_same(item: Item) -> bool:
    """Whether the question is a yes/no question about two diagnoses being the same or different."""
    return bool(re.match(r"(are|do)\b", item.stem, re.IGNORECASE) and (SAME.search(item.stem) or DIFFERENT.search(item.stem)))


def same_or_different(item: Item, text: str) -> str:
    """`same` or `different` as an answer to the item's question says, `` if it does not.

    Where the question offers both words, the answer's own word counts before its yes or no; else yes and no are read against
    the question's word.
    """
    same, different = SAME.search(item.stem), DIFFERENT.search(item.stem)
    if same and different and (said := _said(text)):
        return said
    answer = YES_NO.match(text)
    if not answer:
        return _said(text)
    asked = same is not None and (different is None or same.start() < different.start())
    return "same" if (answer[1].lower() == "yes") == asked else "different"


def _said(text: str) -> str:
    """The first of the two words that a text uses, as a class."""
    same, different = SAME.search(text), DIFFERENT.search(text)
    if same and (different is None or same.start() < different.start()):
        return "same"
    return "different" if different else ""
