"""Co-reference: which viewport an answer means by "the first image", "the prior", "time point 3", "left lung" or "region A".

Plain rules over English words; what they cannot place is marked, not guessed, and what may mean something else ("prior surgery") is no
mention. A side is a side of the patient: it lies in every image that shows both sides, and in the one image of that side where the
images are left and right.

    mentions("The second image shows more.", scene)[0].images      # (1,)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from inference.engine import Relationship

Kind = Literal["image", "time", "side", "mark"]

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
_SINGLE = r"(?:image|film|radiograph|x-?ray|scan|study|picture|exam(?:ination)?|slice|view)"
_NOUN = rf"(?:{_SINGLE}s?|studies)"
_KIND = r"(?:chest|frontal|lateral|pa|ap|portable|supine|upright|erect|abdominal|pelvic|head|brain|screening|ct|mri?|pet)"
_IMAGE = rf"(?:{_KIND} )*(?:{_NOUN}|ct|mri?|pet|cxr|mammograms?|imaging|visits?)\b"
_COUNTED = rf"(?:\d{{1,2}}(?:st|nd|rd|th)|{'|'.join(ORDINALS)})"
_NUMBER = rf"(?:\d{{1,2}}|{'|'.join(_NUMBERS)})"
_UNIT = r"(?:%|(?:mm|cm|millimet\w+|centimet\w+|percent|times|seconds?|min(?:ute)?s?|h(?:ou)?rs?|days?|weeks?|months?|years?|yrs?)\b)"
_NO_AMOUNT = rf"\b(?![.,/-]\d)(?!(?:(?:-|–| (?:to|or|and) ){_NUMBER})?[ -]?{_UNIT})"
"""After a number: it counts no days or millimetres, and is no part of a date."""
_ONE = rf"one\b(?!-| ?{_UNIT})"
_GOES_ON = (
    r"is|are|was|were|has|have|had|did|does|do|shows?|showed|demonstrate[sd]?|reveal(?:s|ed)|looks?|appears?|and|but|in|on|at|with|without"
    r"|to|by|as|for|there|which|that|it|they|the|this|these|we|when|where|while|because|although|though|then|now|not|no|also|already|compared"
    r"|versus|vs|of|from|dated|taken"
)
_ALONE = rf"\b(?![ -](?!(?:{_GOES_ON})\b)\w)"
"""After "the prior": no noun that it belongs to, as in "prior surgery"."""
_PRIOR = "prior|previous|earlier|old(?:er|est)|baseline|initial"
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("mark", r"\b(?i:(?:marked )?(?:region|mark|marker|roi|area|lesion|arrow|box|point|label))\s+(?P<mark>[A-Z])\b"),
    (
        "ordinal",
        rf"\b(?:the )?(?P<ordinal>{_COUNTED}|last|latter|former) (?:(?:of (?:the|these|those) (?:{_NUMBER} )?)?(?:{_NOUN}|visit)\b|{_ONE})",
    ),
    ("point", rf"\btime ?point (?P<point>{_NUMBER}){_NO_AMOUNT}|\b(?<!that )(?<!this )time (?P<time>{_NUMBER}){_NO_AMOUNT}"),
    ("sided", rf"\b(?:the )?(?P<sided>left|right)(?:-hand)? (?:{_NOUN}|(?P<breast>breast|mammogram))\b"),
    (
        "later",
        rf"\b(?:the )?(?:(?P<later>current|present|follow-?up) (?:{_IMAGE}|{_ONE})"
        rf"|(?P<latest>new(?:er|est)|latest|recent|later) (?:{_NOUN}\b|{_ONE}))",
    ),
    ("former", rf"\b(?:the )?(?P<former>{_PRIOR}) (?:{_IMAGE}|{_ONE})"),
    (
        "number",
        rf"\b(?:{_SINGLE} (?:number |no\. ?)?(?P<number>{_NUMBER})"
        rf"|(?!slice)(?:{_SINGLE}s|studies) (?P<numbers>{_NUMBER}(?:, {_NUMBER})*(?:,? (?:and|&|to) |-|–){_NUMBER}))"
        rf"{_NO_AMOUNT}(?![ -]{_NOUN}\b)",
    ),
    ("former alone", rf"\b(?:the )?(?P<former>{_PRIOR}){_ALONE}"),
    ("now", rf"\b(?:the )?(?P<now>current|follow-?up){_ALONE}"),
    ("both", rf"\b(?P<both>both|all|either|neither) (?:of the )?(?:{_NOUN})"),
    ("side", r"\b(?P<side>left|right|bilateral(?:ly)?)\b"),
)
_LED = re.compile(
    r"(?:^|[.;:!?\n(\[*/|-]|\b(?:from|since|than|to|with|versus|vs\.?|against|on|at|in|between|over|as|both"
    rf"|(?:current|follow-?up|{_PRIOR}) and))[\s*(\[\"'“‘]*$",
    re.IGNORECASE,
)
"""Before "prior" or "current" without a noun and "the": what a noun follows."""
_AGAINST = re.compile(
    r"\b(?:since|than|versus|vs\.?|against|from|with|(?:compar\w+|relative|similar|identical|unchanged|stable) to)"
    r"(?: that| those)?(?: on| in| at)? (?:the )?(?:most )?$",
    re.IGNORECASE,
)
"""Before "the last study": what is compared with it, so that it is none of today."""
_ANY = re.compile(r"\b(?:an?|no|any|further|for|clinical|regular|close|serial|lost to) $", re.IGNORECASE)
_PLANNED = re.compile(
    r"\b(?:recommend\w*|correlat\w+|suggest(?:ed)?|advised?|consider(?:ed)?|should|obtain|warranted|need(?:s|ed)?|required?|scheduled?"
    r"|plan(?:ned)?|routine|helpful|further|short[- ](?:term|interval)"
    rf"|(?:with)?in (?:\d+|{'|'.join(_NUMBERS)}|a few|several)(?: ?(?:-|–|to) ?\d+)?[ -]{_UNIT})\b",
    re.IGNORECASE,
)
"""In a sentence about a follow-up that is still to come."""
_REACH = 300
"""Characters before and behind a mention in which its meaning is looked for."""
_FLAGS = re.IGNORECASE | re.ASCII
"""Without ASCII a pattern takes "ſ" for an s, and no word of a list is found again by what it took."""
_COMPILED = tuple((name, re.compile(pattern, re.ASCII if name == "mark" else _FLAGS)) for name, pattern in _PATTERNS)


@dataclass(frozen=True)
class Place:
    """One viewport of the question: its role and the side it shows (`left`, `right`, ``)."""

    role: str = ""
    side: str = ""


@dataclass(frozen=True)
class Drawn:
    """A mark with its letter and the index of the image it lies on; None when that image is not part of the question."""

    label: str
    image: int | None


@dataclass(frozen=True)
class Scene:
    """What an answer can speak of: the images in declared order, how they relate, and the reader's marks."""

    places: tuple[Place, ...]
    relationship: Relationship = "temporal"
    marks: tuple[Drawn, ...] = ()


@dataclass(frozen=True)
class Mention:
    """Words of an answer (`start` to `end`, in characters) and what they mean: indices of images (from 0), a mark, a side.

    Unresolved when `images` is empty; `reason` then says why.
    """

    start: int
    end: int
    text: str
    kind: Kind
    images: tuple[int, ...] = ()
    mark: str = ""
    side: str = ""
    reason: str = ""

    @property
    def resolved(self) -> bool:
        """Whether it points at a viewport."""
        return bool(self.images)


def mentions(text: str, scene: Scene) -> tuple[Mention, ...]:
    """Every mention in the order of the text; of two that overlap the earlier pattern (the more telling one) stays."""
    taken: list[Mention] = []
    for name, pattern in _COMPILED:
        for match in pattern.finditer(text):
            if all(match.end() <= one.start or match.start() >= one.end for one in taken):
                taken += [one] if (one := _meant(name, match, scene)) else []
    return tuple(sorted(taken, key=lambda one: one.start))


def _meant(name: str, match: re.Match[str], scene: Scene) -> Mention | None:
    meaning = _RESOLVERS[name](match, scene)
    if meaning is None:
        return None
    kind, images, mark, side, reason = meaning
    return Mention(match.start(), match.end(), match[0], kind, images, mark, side, "" if images else reason)


Meaning = tuple[Kind, tuple[int, ...], str, str, str]


def _ordinal(match: re.Match[str], scene: Scene) -> Meaning | None:
    word = match["ordinal"].lower()
    count = len(scene.places)
    if word == "last" and (found := _last(match)) != "image":
        return _before(scene, "last") if found == "prior" else None
    if word in ("last", "latter"):
        return "image", (count - 1,) if count else (), "", "", "no image is open"
    number = 1 if word == "former" else ORDINALS.index(word) + 1 if word in ORDINALS else int(re.sub(r"\D", "", word))
    return _numbered("image", number, count)


def _last(match: re.Match[str]) -> Literal["image", "prior", ""]:
    """Whether "the last ..." is the last of the images or the one before today's; `` when it may be either."""
    against = _AGAINST.search(_before_it(match))
    counted = re.search(rf"\b{_COUNTED} (?:{_NOUN}|one)\b", _sentence(match), _FLAGS)
    if re.search(r"\bof\b", match[0]) or (against and counted):
        return "image"
    if against and (against[0].lower().startswith("since") or not re.search("image|picture|slice|view", match[0], _FLAGS)):
        return "prior"
    return "" if against or re.search("stud|exam", match[0], _FLAGS) else "image"


def _number(match: re.Match[str], scene: Scene) -> Meaning | None:
    count = len(scene.places)
    if match["number"]:
        counted = match["number"].isalpha() and re.search(r"\b(?:the|this|that|each|an?) $", _before_it(match), _FLAGS)
        return None if counted else _numbered("image", _value(match["number"]), count)  # "in this image two nodules are seen"
    told = [_value(word) for word in re.findall(_NUMBER, match["numbers"], _FLAGS)]
    numbers = range(told[-2], told[-1] + 1) if re.search(r"-|–| to ", match["numbers"]) else told
    beyond = [number for number in numbers if not 1 <= number <= count]
    return _numbered("image", beyond[0], count) if beyond else ("image", tuple(number - 1 for number in numbers), "", "", "")


def _point(match: re.Match[str], scene: Scene) -> Meaning:
    number = _value(match["point"] or match["time"])
    named = _with_role(scene, lambda role: role == f"time {number}")
    if named:
        return "time", named, "", "", ""
    if scene.relationship != "temporal":
        return "time", (), "", "", "the images are not of several times"
    order = [*_with_role(scene, _is_prior), *_with_role(scene, _is_current)] if number else []
    if len(order) == len(scene.places) and 1 <= number <= len(order):
        return "time", (order[number - 1],), "", "", ""
    return _numbered("time", number, len(scene.places))


def _former(match: re.Match[str], scene: Scene) -> Meaning | None:
    return _before(scene, match["former"].lower())


def _former_alone(match: re.Match[str], scene: Scene) -> Meaning | None:
    to = re.match(r" to\b", match.string[match.end() : match.end() + 4]) and not re.search(r"\bfrom $", _before_it(match), _FLAGS)
    return _former(match, scene) if _led(match) and (not to or _definite(match)) else None


def _before(scene: Scene, word: str) -> Meaning | None:
    """The image that "the prior" means; of several times only "the initial" and the like name one."""
    if word in ("prior", "previous", "earlier", "older", "last") and len(tuple(_points(scene))) > 2 and not _with_role(scene, _is_prior):
        return None
    return _timed(scene, _is_prior, 0, f"no image is the {word} one")


def _later(match: re.Match[str], scene: Scene) -> Meaning | None:
    """None of a study that today's is compared with, and of a follow-up that is to come."""
    found = next(value for value in match.groupdict().values() if value).lower()
    before = _before_it(match)
    if (_ANY.search(before) and not _definite(match)) or (found in ("latest", "recent") and _AGAINST.search(before)):
        return None
    if found.startswith("follow") and _PLANNED.search(_sentence(match)):
        return None
    return _timed(scene, _is_current, -1, f"no image is the {found} one")


def _now(match: re.Match[str], scene: Scene) -> Meaning | None:
    return _later(match, scene) if _led(match) else None


def _led(match: re.Match[str]) -> bool:
    return _definite(match) or bool(_LED.search(_before_it(match)))


def _definite(match: re.Match[str]) -> bool:
    return match[0].lower().startswith("the ")


def _sentence(match: re.Match[str]) -> str:
    """The sentence a match stands in."""
    ends = r"[.;!?]\s|\n"
    behind = match.string[match.end() : match.end() + _REACH]
    return re.split(ends, _before_it(match))[-1] + match[0] + re.split(ends, behind)[0]


def _before_it(match: re.Match[str]) -> str:
    """What stands before a match, as far as it bears on it."""
    return match.string[max(0, match.start() - _REACH) : match.start()]


def _sided(match: re.Match[str], scene: Scene) -> Meaning:
    side = match["sided"].lower()
    shown = tuple(n for n, place in enumerate(scene.places) if side in (place.side.lower(), place.role.lower()))
    if not shown and match["breast"]:
        return _of_side(scene, side)
    if not shown and scene.relationship != "sides" and len(scene.places) == 2:
        shown = (0,) if side == "left" else (1,)
    return "image", shown, "", side, f"no image is of the {side} side"


def _side(match: re.Match[str], scene: Scene) -> Meaning:
    word = match["side"].lower()
    return _of_side(scene, "both" if word.startswith("bilateral") else word)


def _of_side(scene: Scene, side: str) -> Meaning:
    known = [place.side.lower() or (place.role.lower() if place.role.lower() in ("left", "right") else "") for place in scene.places]
    shown = tuple(n for n, own in enumerate(known) if not own or side in ("both", own))
    return "side", shown, "", side, f"no image shows the {side} side"


def _mark(match: re.Match[str], scene: Scene) -> Meaning:
    letter = match["mark"].upper()
    drawn = [mark for mark in scene.marks if mark.label.upper() == letter]
    if not drawn:
        return "mark", (), letter, "", f"nothing is marked {letter}"
    images = tuple(dict.fromkeys(mark.image for mark in drawn if mark.image is not None))
    return "mark", images, letter, "", f"{letter} is marked on an image that this question did not show"


def _both(match: re.Match[str], scene: Scene) -> Meaning:
    count = len(scene.places)
    if count > 2 and match["both"].lower() in ("both", "either") and not re.search("stud|exam|view", match[0], re.IGNORECASE):
        return "image", (), "", "", f"there are {count} images, not two"
    return "image", tuple(range(count)), "", "", "no image is open"


_RESOLVERS: dict[str, Callable[[re.Match[str], Scene], Meaning | None]] = {
    "mark": _mark,
    "ordinal": _ordinal,
    "point": _point,
    "number": _number,
    "sided": _sided,
    "later": _later,
    "former": _former,
    "former alone": _former_alone,
    "now": _now,
    "both": _both,
    "side": _side,
}


def _numbered(kind: Kind, number: int, count: int) -> Meaning:
    if 1 <= number <= count:
        return kind, (number - 1,), "", "", ""
    return kind, (), "", "", f"there {'is one image' if count == 1 else f'are {count} images'}, none is number {number}"


def _timed(scene: Scene, fits: Callable[[str], bool], place: int, reason: str) -> Meaning:
    """Images by role; where roles are time points the first or last of them."""
    named = _with_role(scene, fits)
    if named:
        return "time", named, "", "", ""
    points = sorted(_points(scene))
    return "time", (points[place][1],) if len(points) > 1 else (), "", "", reason


def _points(scene: Scene) -> Iterator[tuple[int, int]]:
    """(time point, index) of every image whose role is one."""
    for index, place in enumerate(scene.places):
        match = re.fullmatch(r"time (\d+)", place.role.lower())
        if match:
            yield int(match[1]), index


def _with_role(scene: Scene, fits: Callable[[str], bool]) -> tuple[int, ...]:
    return tuple(index for index, place in enumerate(scene.places) if fits(place.role.lower()))


def _is_prior(role: str) -> bool:
    return role in ("prior", "baseline") or role.startswith("prior ")


def _is_current(role: str) -> bool:
    return role in ("current", "follow-up") or role.startswith("current ")


def _value(word: str) -> int:
    return int(word) if word.isdecimal() else _NUMBERS.index(word.lower()) + 1


def unresolved(found: Sequence[Mention]) -> tuple[Mention, ...]:
    """Those that point at nothing."""
    return tuple(one for one in found if not one.resolved)
