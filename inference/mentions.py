"""Co-reference: which viewport an answer means by "the first image", "the prior", "time point 3", "left lung" or "region A".

Plain rules over English words; what they cannot place is marked, not guessed. A side is a side of the patient: it lies in every image
that shows both sides, and in the one image of that side where the images are left and right.

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
_NOUN = r"(?:images?|films?|radiographs?|x-?rays?|scans?|stud(?:y|ies)|pictures?|exam(?:ination)?s?|slices?|views?)"
_COUNTED = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{'|'.join(ORDINALS)})"
_NUMBER = rf"(?:\d{{1,2}}|{'|'.join(_NUMBERS)})"
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("mark", r"\b(?i:(?:marked )?(?:region|mark|marker|roi|area|lesion|arrow|box|point|label))\s+(?P<mark>[A-Z])\b"),
    ("ordinal", rf"\b(?:the )?(?P<ordinal>{_COUNTED}|last|latter|former) (?:(?:of the (?:two|three) )?{_NOUN}|one\b)"),
    ("point", rf"\btime ?point (?P<point>{_NUMBER})\b|\btime (?P<time>{_NUMBER})\b"),
    ("number", rf"\b{_NOUN} (?:number |no\. ?)?(?P<number>{_NUMBER})\b"),
    ("sided", rf"\b(?:the )?(?P<sided>left|right)(?:-hand)? (?:{_NOUN}|breast|mammogram)\b"),
    ("later", rf"\b(?:the )?(?P<later>current|present|new(?:er|est)|latest|recent|later|follow-?up)(?: {_NOUN}| one)"),
    ("former", rf"\b(?:the )?(?P<former>prior|previous|earlier|old(?:er|est)|baseline|initial)(?: {_NOUN}| one)?\b"),
    ("now", r"\b(?:the )?(?P<now>current|follow-?up)\b"),
    ("both", rf"\b(?P<both>both|all|either|neither) (?:of the )?(?:{_NOUN})"),
    ("side", r"\b(?P<side>left|right|bilateral(?:ly)?)\b"),
)
_FLAGS = re.IGNORECASE
_COMPILED = tuple((name, re.compile(pattern, 0 if name == "mark" else _FLAGS)) for name, pattern in _PATTERNS)


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
                taken.append(_meant(name, match, scene))
    return tuple(sorted(taken, key=lambda one: one.start))


def _meant(name: str, match: re.Match[str], scene: Scene) -> Mention:
    kind, images, mark, side, reason = _RESOLVERS[name](match, scene)
    return Mention(match.start(), match.end(), match[0], kind, images, mark, side, "" if images else reason)


Meaning = tuple[Kind, tuple[int, ...], str, str, str]


def _ordinal(match: re.Match[str], scene: Scene) -> Meaning:
    word = match["ordinal"].lower()
    count = len(scene.places)
    if word in ("last", "latter"):
        return "image", (count - 1,) if count else (), "", "", "no image is open"
    number = 1 if word == "former" else ORDINALS.index(word) + 1 if word in ORDINALS else int(re.sub(r"\D", "", word))
    return _numbered("image", number, count)


def _number(match: re.Match[str], scene: Scene) -> Meaning:
    return _numbered("image", _value(match["number"]), len(scene.places))


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


def _former(match: re.Match[str], scene: Scene) -> Meaning:
    return _timed(scene, _is_prior, 0, f"no image is the {match['former'].lower()} one")


def _later(match: re.Match[str], scene: Scene) -> Meaning:
    found = next(value for value in match.groupdict().values() if value)
    return _timed(scene, _is_current, -1, f"no image is the {found.lower()} one")


def _sided(match: re.Match[str], scene: Scene) -> Meaning:
    side = match["sided"].lower()
    shown = tuple(n for n, place in enumerate(scene.places) if side in (place.side.lower(), place.role.lower()))
    if not shown and scene.relationship != "sides" and len(scene.places) == 2:
        shown = (0,) if side == "left" else (1,)
    return "image", shown, "", side, f"no image is of the {side} side"


def _side(match: re.Match[str], scene: Scene) -> Meaning:
    word = match["side"].lower()
    side = "both" if word.startswith("bilateral") else word
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


_RESOLVERS: dict[str, Callable[[re.Match[str], Scene], Meaning]] = {
    "mark": _mark,
    "ordinal": _ordinal,
    "point": _point,
    "number": _number,
    "sided": _sided,
    "later": _later,
    "former": _former,
    "now": _later,
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
