"""Closed questions: a few classes, asked with the options in more than one order, each class counted with its synonyms.

What a model says of listed options hangs on the order of the list as well as on the images (a third of answers flip, arXiv
2606.26079), so a class's likelihood is averaged over orders. `unchanged` and `no change` mean `stable`: the probability of a
class is the sum over its wordings as whole answers, which exclude each other.

    reading = read(engine, request, OVERALL_CHANGE)
    reading.shares["worse"], reading.orders[1]["worse"], reading.agrees
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event

from errors import EngineError
from inference.engine import Engine, Request, scored
from inference.mentions import ORDINALS
from inference.offsets import plain, weighed
from inference.prompts import OVERALL, PROGRESSION
from inference.reading import INVERSE, Shares, in_time, top
from inference.said import direction, finding_named
from storage import horizons
from storage.horizons import Horizon

SCORED = ("temporal", "comparison")
"""Abilities whose questions are about change, and can be scored finding by finding."""
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "new": ("newly appeared",),
    "worse": ("worsened",),
    "stable": ("unchanged", "no change"),
    "improved": ("better",),
    "resolved": ("gone",),
    "uncertain": ("cannot tell",),
}
"""Other words for a class of change; none stands under two classes."""
NONE = "none of these"
LETTERS = "ABCDEFGH"
_OPTION = re.compile(r"^[ \t]*\(?([A-H])[):.][ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE)
_NINTH = re.compile(r"\s*\(?I[):.]")
_PICTURE = r"(?:image|film|scan|stud(?:y|ie)|picture|radiograph|x-?ray|exam(?:ination)?|time ?point)"
_OF = rf"(?:{_PICTURE}|one(?! of\b)|(?:one )?of (?:the|these|both)(?: \w+)? {_PICTURE}s)"
_THEM = r"(?:one )?of (?:them|these|the two|both)"
_WHICH = re.compile(
    rf"^\s*(?:[io]n |at )?which (?:{_OF}\b|{_THEM} shows?\b|(?:{_THEM} )?(?:is|was) the (?:(?:more|most) )?(?:\w+ )?{_PICTURE}\b)"
    r"(?!.*\b(?:should|indicated|recommend\w*)\b)",
    re.IGNORECASE,
)
_DATED = re.compile(
    rf"^\s*which (?:{_OF} |{_THEM} )?(?:is|was|came|comes) (?:from )?(?:the )?(?:more |most |taken |made |acquired )?"
    r"(?:(?:old|new)(?:er|est)?|earli\w+|later|latest|recent|prior|previous|current|follow\w*|baseline|(?:first|last)(?! to\b))\b",
    re.IGNORECASE,
)
"""Asks which image is the older one: its label says so, whatever picture is shown there."""
_CHANGE = re.compile(
    r"\b(?:chang|differ|same\b|still\b|stable|unchanged|new\b|newly|worse|better|improv|progress|regress|resol|gone\b|increas|decreas|"
    r"enlarg|larger|smaller|bigger|denser|more\b|less\b|gr[eo]w|shr[aiu]nk|develop|appear|disappear|moved|happen|compar|interval|since\b|"
    r"now\b|clear(?:ed|ing)\b|r[au]n\b|course|over time|time points|respon[ds])",
    re.IGNORECASE,
)
"""Words of a question about change; what has none of them is not checked by what must follow of a change."""
_MORE = r"(?:worse|better|larger|smaller|bigger|denser)"
_BARE = (
    r"(?:improve|progress|regress|increase|decrease|resolve|change|grow|shrink|worsen|enlarge|develop|(?:dis)?appear|move|happen|clear|"
    rf"get {_MORE})"
)
_DONE = (
    r"(?:improved|progressed|regressed|increased|decreased|resolved|changed|grown|shrunk|worsened|enlarged|developed|(?:dis)?appeared|moved|"
    rf"happened|cleared|gone|(?:got|become) {_MORE})"
)
_BEING = rf"(?:{_MORE}|worsened|improved|resolved|stable|unchanged|gone)"
_THEN = (
    r"(?=\W*$|\s*,|\s+(?:or|and|now|since|in|on|at|than (?:before|(?:[io]n |at )?(?:the )?(?:prior|previous|first|earlier|last|time)))\b)"
)
_OUTRIGHT = re.compile(
    r"^\s*(?:(?:is|are|was|were)\b.*\b(?:(?:improv|progress|regress|increas|decreas|resolv|worsen|grow|shrink|enlarg)ing\b|"
    rf"there (?:an? |any )?(?:new|(?:\w+ )?changes?|differences?)\b|{_BEING}{_THEN})|"
    rf"(?:has|have|had)\b.*\b{_DONE}\b|(?:did|does|do)\b.*\b{_BARE}\b|how (?:has|have|had|did|much)\b.*\b(?:{_DONE}|{_BARE})\b|"
    r"what (?:has |have |is |are |was |were )?(?:chang\w*|different|happened|new|become)\b)",
    re.IGNORECASE,
)
"""Asks for the change itself; "which" and "where" ask what is meant, although they speak of change."""
_MARKED = re.compile(
    r"\b(?i:region|mark|marker|roi|area|lesion|nodule|mass|opacity|finding|arrow|box|point|label|and|or|than|with|has|is|did|was)s?\s+([A-Z])\b"
)
"""Words before the letter of a mark; a letter counts only where such a mark is drawn."""
_COURSE = (
    ("since the prior", "from the first to the last time point"),
    ("Compared with the prior study", "From the first to the last time point"),
    ("between the prior and the current image", "between the first and the last time point"),
)


@dataclass(frozen=True)
class Closed:
    """A question between `before` and `after`, with the listed options in between.

    `inverse` says what each class becomes when two images change places (empty: nothing is due), `still` is the class that is
    due for one picture shown twice (`` when there is none). `mark` is the letter of the mark it is about. `again` is the same
    question in other words, (before, after). `lettered` lists the options as ``A: worse``, one a line.
    """

    name: str
    classes: tuple[str, ...]
    before: str
    after: str
    again: tuple[str, str] = ("", "")
    inverse: Mapping[str, str] = field(default_factory=dict)
    still: str = ""
    lettered: bool = False
    mark: str = ""

    def asked(self, order: Sequence[str]) -> str:
        """The question with its options in this order."""
        return f"{self.before}{self._listed(order)}{self.after}"

    def wordings(self, name: str, order: Sequence[str]) -> tuple[str, ...]:
        """Whole answers that mean the class `name` when the options stand in this order."""
        if not self.lettered:
            return (name, *SYNONYMS.get(name, ()))
        letter = LETTERS[list(order).index(name)]
        return (f"{letter}: {name}", letter, name)

    def _listed(self, order: Sequence[str]) -> str:
        if self.lettered:
            return "".join(f"\n{letter}: {option}" for letter, option in zip(LETTERS, order, strict=False))
        return " or ".join(part for part in (", ".join(order[:-1]), order[-1]) if part)


@dataclass(frozen=True)
class Reading:
    """A model's answer to a closed question: `shares` is the mean over `orders`, each class -> probability, both sum to 1."""

    shares: Shares
    orders: tuple[Shares, ...] = ()

    @property
    def top(self) -> str:
        """The likeliest class, `` for a tie."""
        return top(self.shares)

    @property
    def agrees(self) -> bool:
        """Whether every order of the options names the same class."""
        return len({top(one) for one in self.orders}) <= 1


OVERALL_CHANGE = Closed(
    "overall",
    OVERALL,
    "Overall, is the disease ",
    " since the prior? Answer with one word.",
    ("Compared with the prior study, has the disease as a whole become worse, stayed the same or improved? Answer with one word: ", "."),
    {name: INVERSE[name] for name in OVERALL},
    "stable",
)


def of_finding(finding: str) -> Closed:
    """How one finding changed; in the given order it is `inference.prompts.progression_question`."""
    return _change(finding, f"the {finding}")


def of_mark(letter: str) -> Closed:
    """How what a mark encloses or points at changed."""
    return replace(_change(f"region {letter}", f"region {letter}"), mark=letter)


def _change(name: str, told: str) -> Closed:
    return Closed(
        name,
        PROGRESSION,
        f"How has {told} changed since the prior? Answer with one word: ",
        ".",
        (f"What became of {told} between the prior and the current image? Answer with one word: ", "."),
        INVERSE,
        "stable",
    )


def _from_first_to_last(closed: Closed) -> Closed:
    """A question of change over three or more time points: from the first to the last of them it is known what must turn with time."""

    def told(text: str) -> str:
        return functools.reduce(lambda words, pair: words.replace(*pair), _COURSE, text)

    again = (told(closed.again[0]), told(closed.again[1]))
    return replace(closed, before=told(closed.before), after=told(closed.after), again=again)


def of_forecast(question: str, horizon: Horizon) -> Closed:
    """What will become of the one finding a question names, else of the disease as a whole; nothing is due when images change places."""
    finding = finding_named(question)
    what, when = f"the {finding}" if finding else "the disease as a whole", horizon.words or "at the next study"
    return Closed(
        "forecast",
        OVERALL,
        f"Compared with the current study, will {what} {when} be ",
        "? Answer with one word.",
        (f"What will have become of {what} {when}? Answer with one word: ", "."),
    )


def of_change(images: int, finding: str = "") -> Closed:
    """How the finding, or the disease as a whole, changed over so many images."""
    return _over(images, of_finding(finding) if finding else OVERALL_CHANGE)


def _over(images: int, change: Closed) -> Closed:
    return _from_first_to_last(change) if images > 2 else change


def about_change(request: Request) -> bool:
    """Whether a question is of change: of the abilities that are about it, or one that asks for it outright in another ability's mode."""
    return request.ability in SCORED or bool(_OUTRIGHT.match(request.question))


def of_question(request: Request, answer: str = "") -> Closed | None:
    """The closed question that a reader's question is, or that stands for it; None for one that is open.

    Listed options (``A: worse``, one a line) and "which image" are closed themselves. For another question about change between images
    over time, if it or its answer speaks of change, stands the change of the one mark or finding it names, else that of the disease as a
    whole, because of these it is known what must turn with the order; of three and more time points from the first to the last.
    """
    listed = options(request.question)
    if listed is not None:
        return listed
    horizon = horizons.asked(request.question)
    if horizon is not None:
        return of_forecast(request.question, horizon)
    if len(request.images) > 1 and _WHICH.match(request.question):
        return _which(request)
    timed = request.relationship == "temporal" and len(request.images) > 1
    if not timed or not about_change(request) or not (_CHANGE.search(request.question) or direction(answer)):
        return None
    return _over(len(request.images), _named(request) or OVERALL_CHANGE)


def _named(request: Request) -> Closed | None:
    """The change of the one mark that the question names, else of the one finding; None where it names none or several."""
    drawn = {mark.label for image in request.images for mark in image.marks}
    marks = drawn & set(_MARKED.findall(request.question))
    if marks:
        return of_mark(marks.pop()) if len(marks) == 1 else None
    finding = finding_named(request.question)
    return of_finding(finding) if finding else None


def options(question: str) -> Closed | None:
    """A question whose last lines list two to eight lettered options, in the order of the alphabet; else None.

    Nine are not cut to eight, and lettered lines between other words and the question ("Marks:", "What changed?") are no options.
    """
    found = [(match[1], match[2]) for match in _OPTION.finditer(question)]
    texts = tuple(text for _, text in found)
    if not 2 <= len(found) <= len(LETTERS) or [letter for letter, _ in found] != list(LETTERS[: len(found)]):
        return None
    if len(set(texts)) < len(texts):
        return None
    first, *_, last = _OPTION.finditer(question)
    before, after = question[: first.start()].rstrip(), question[last.end() :]
    if _NINTH.match(after) or (before and "?" in after and "?" not in before):
        return None
    inverse = _inverse(texts)
    still = next((text for text in texts if plain(text) in ("stable", "unchanged", "no change")), "") if inverse else ""
    again = (f"Choose the option that fits best. {before}", "")
    return Closed("options", texts, before, after, again, inverse, still, lettered=True)


def read(
    engine: Engine, request: Request, closed: Closed, orders: Sequence[Sequence[str]] | None = None, cancel: Event | None = None
) -> Reading:
    """Likelihood of each class, averaged over `orders` of the options (given: as they are, and turned round). Earlier turns are left out.

    An engine that weighs how an answer begins is asked for one wording of each class: synonyms begin alike. Raises what the engine raises.
    """
    given = orders or (closed.classes, closed.classes[::-1])
    most = 1 if engine.card.by_beginning else None
    worded = [{name: closed.wordings(name, order)[:most] for name in order} for order in given]
    asked = [(closed.asked(order), [text for texts in one.values() for text in texts]) for order, one in zip(given, worded, strict=True)]
    scores = scored(engine, replace(request, history=()), asked, cancel)
    found = tuple(_shares(engine, closed, one, totals.logprobs) for one, totals in zip(worded, scores, strict=True))
    names = list(given[0])
    return Reading({name: sum(one[name] for one in found) / len(found) for name in names}, found)


def paraphrased(closed: Closed) -> Closed:
    """The same classes asked for in other words."""
    return replace(closed, before=closed.again[0], after=closed.again[1])


def distinct(closed: Closed) -> Closed:
    """The question with its classes as lettered options where two of them begin alike, which an answer's beginning cannot tell apart."""
    begins = [name.split()[0] for name in closed.classes]
    if closed.lettered or len(set(begins)) == len(begins):
        return closed
    return replace(closed, before=closed.before.rstrip(), after="", again=(closed.again[0].rstrip(), ""), lettered=True)


def without(closed: Closed, name: str) -> Closed:
    """The question without the class `name`, and with `none of these` at the end."""
    return replace(closed, classes=(*(one for one in closed.classes if one != name), NONE), inverse={}, still="")


def _shares(engine: Engine, closed: Closed, worded: Mapping[str, Sequence[str]], logprobs: Sequence[float]) -> dict[str, float]:
    """Probability of each class from the log-probability of each of its wordings in turn."""
    rest = iter(logprobs)
    totals = {name: _sum([next(rest) for _ in texts]) for name, texts in worded.items()}
    whole = _sum(list(totals.values()))
    if not math.isfinite(whole):
        raise EngineError("the model gave no probability to any of the options, so they cannot be weighed; try another model")
    found = {name: math.exp(totals[name] - whole) for name in closed.classes}
    return found if closed.lettered else weighed(found, engine.card.offsets)


def _sum(logprobs: Sequence[float]) -> float:
    """Log of the sum of probabilities."""
    largest = max(logprobs)
    if not math.isfinite(largest):
        return largest
    return largest + math.log(sum(math.exp(one - largest) for one in logprobs))


def _which(request: Request) -> Closed:
    """Which image, by its place: when the pictures move on (`reading.shifted`) the answer goes with its own, unless dates are asked for."""
    question, count = request.question.strip(), len(request.images)
    images = tuple(f"the {ordinal} image" for ordinal in ORDINALS[:count])
    every, same = ("both images", "both the same") if count == 2 else (f"all {count} images", "all the same")
    order = in_time(request.images)
    again = (f"Look at {every}. {question} Say ", ".")
    if _DATED.match(question):
        return Closed("which", (*images, same), f"{question} Answer: ", ".", again)
    inverse = {images[other]: images[place] for place, other in zip(order, (*order[1:], order[0]), strict=True)} | {same: same}
    return Closed("which", (*images, same), f"{question} Answer: ", ".", again, inverse, same)


def _inverse(texts: Sequence[str]) -> Mapping[str, str]:
    """What each option becomes when the images change places; empty unless every option says so by itself."""
    opposites = {**INVERSE, "larger": "smaller", "smaller": "larger", "unchanged": "unchanged", "no change": "no change"}
    by_key = {plain(text): text for text in texts}
    if re.search(r"\d", "".join(texts)):
        return {}  # "improved by 50 %" is undone by no other option's word
    if len(by_key) == len(texts) and set(by_key) <= set(opposites) and all(opposites[key] in by_key for key in by_key):
        return {text: by_key[opposites[key]] for key, text in by_key.items()}
    return {}
