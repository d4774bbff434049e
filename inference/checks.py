"""Trust checks: is an answer drawn from the images, in their order, and from nothing else?

Each check asks again about images or options that were changed on purpose. What an open question about change is checked by is
the closed question that stands for it (`inference.closed`), because only there is it known what must follow. All figures are the
model's own likelihoods, uncalibrated: a verdict speaks of this question and these images alone.

    C0 decided        entropy and margin of the classes                       always
    C1 no_image       the same with grey in place of the images               always
    C2 exchange       the pictures exchanged, of three and more in the reverse order: worse must become improved;
                      of which-questions each moved one place on: the answer must go with its picture
    C3 rotation       the options in another order                            closed questions
    C4 identical      the current picture in every place: nothing may have changed
    C5 paraphrase     the question in other words                             on request
    C6 none_of_these  the model's own choice taken from the options           on request
    C9 samples        several drawn answers: how many meanings?               in the background
       said           the answer's words name the class that was checked   always, costs nothing
       undated        without relative times and age                       on request
       prior_guard    words that compare with nothing, or deny the prior      always, costs nothing

    for item in checked(engine, ask(engine, request, cancel, progression=True), cancel):
        ...                      # Stage, Token, ..., and last the Answer with its `checks`
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Literal

from errors import Cancelled, EngineError
from inference import guard
from inference.answer import Answer
from inference.answered import held
from inference.closed import NONE, Closed, Reading, distinct, of_change, of_question, paraphrased, read, without
from inference.engine import Engine, Request, Stage, Token
from inference.mentions import ORDINALS
from inference.probes import identical, undated, without_images
from inference.reading import Shares, exchanged, shifted, top
from inference.said import meaning
from inference.trust import Check

log = logging.getLogger(__name__)

Name = Literal["decided", "rotation", "no_image", "exchange", "identical", "paraphrase", "none_of_these", "undated", "samples"]
USUAL: tuple[Name, ...] = ("decided", "rotation", "no_image", "exchange", "identical")
ON_REQUEST: tuple[Name, ...] = ("decided", "rotation", "paraphrase", "none_of_these", "undated", "no_image", "exchange", "identical")
"""Every check but the drawn answers, those about the given images first, so that their prefix is read once."""

CLOSE = 0.2
"""A first class ahead of the second by less than this share is too close to call."""
MOVED = 0.05
"""Shares of which less than this moves to other classes without the images do not depend on them; a tie that tips is no proof."""
WORDS_MOVED = 0.05
"""Nats a token by which an open answer must get less likely without the images."""
_BETWEEN = re.compile(rf"\b(?:last|previous|prior|then|between|{'|'.join(ORDINALS[1:])}|time \d)\b", re.IGNORECASE)
"""Words about some time points of a series."""
SAMPLES = 10
SAMPLED_AT = 1.0
SAMPLED_TOKENS = 40


@dataclass(frozen=True)
class Subject:
    """What is checked: the request, the words of its answer, and the closed question that stands for it with its reading."""

    request: Request
    text: str
    closed: Closed | None
    seen: Reading


def checked(
    engine: Engine, items: Iterator[Stage | Token | Answer], cancel: Event, names: Sequence[Name] = USUAL
) -> Iterator[Stage | Token | Answer]:
    """What `ask` yields, with the checks made before a complete `Answer` is handed on; what fails or is stopped keeps those made."""
    for item in items:
        if not isinstance(item, Answer) or item.state != "complete":
            yield item
            continue
        made: dict[str, Check] = {}
        warnings = item.warnings
        known = Reading(item.overall, item.orders) if item.orders else None
        try:
            for found in examined(engine, item.request, item.text, cancel, names, known):
                if isinstance(found, Stage):
                    yield found
                else:
                    made[found[0]] = found[1]
        except Cancelled:
            warnings = (*warnings, "the checks were stopped and are not complete")
        except EngineError as error:
            warnings = (*warnings, f"the checks are not complete: {error}")
        except Exception:
            log.exception("the checks failed")
            warnings = (*warnings, "the checks are not complete: they failed inside the program, and the log has the cause")
        yield replace(item, checks=made, warnings=warnings)


def examined(
    engine: Engine,
    request: Request,
    text: str,
    cancel: Event,
    names: Sequence[Name] = USUAL,
    overall: Reading | None = None,
) -> Iterator[Stage | tuple[str, Check]]:
    """Each check of the answer `text` by name as it is made, stages in between. `overall` is the change as a whole where it is known.

    Raises what the engine raises; checks already made were yielded by then.
    """
    yield "prior_guard", prior_guard(request, text)
    closed = of_question(request, text)
    if closed and engine.card.by_beginning:
        closed = distinct(closed)
    total = len(names)
    yield Stage("checking", 1, total)
    known = overall if closed == of_change(len(request.images)) else None
    seen = known or (read(engine, request, closed, cancel=cancel) if closed else Reading({}))
    subject = Subject(request, text, closed, seen)
    yield "said", _said(subject)
    for number, name in enumerate(names, 1):
        if number > 1:
            yield Stage("checking", number, total)
        yield name, _MAKERS[name](engine, subject, cancel)


def prior_guard(request: Request, text: str) -> Check:
    """Words of the answer that claim a comparison where the images can bear none, or that deny a prior that is there."""
    if guard.comparable(request):
        if request.relationship == "temporal" and (denied := guard.denials(text)):
            told = f"The model was shown {len(request.images)} images, yet the answer says “{denied[0].text}”."
            return Check("guard", "denies an image", told, False, details=tuple(claim.text for claim in denied))
        return _not_made("guard", "There is more than one image, and they are no views of one study, so an answer may compare them.")
    found = guard.claims(text)
    if not found:
        return Check("guard", "no comparison claimed", "No prior is open, and the answer does not claim one.", True)
    said = ", ".join(f"“{claim.text}”" for claim in found[:3])
    told = f"No prior is open, yet the answer compares: {said}."
    return Check("guard", "claims a comparison", told, False, details=tuple(claim.text for claim in found))


def _said(subject: Subject) -> Check:
    """Does the answer say in words what the checks are made of? `agrees`, `says otherwise` or `names none`."""
    if subject.closed is None:
        return _not_made("words", "The question is open, so its own words are what is checked.")
    if len(subject.request.images) > 2 and subject.closed.name not in ("which", "options") and _BETWEEN.search(subject.text):
        return _not_made("words", "The answer speaks of some of the images, and what is checked is the change from the first to the last.")
    name = _name(subject.seen.shares)
    verdict, other = held(subject.request, subject.closed, subject.text, name)
    if verdict == "says otherwise":
        told = f"The answer says {other}; asked for one of {len(subject.closed.classes)} options the model says {name}."
        return _check("words", verdict, told, subject, passed=False)
    if verdict == "names none":
        told = f"The answer's words settle on none of the options; what is checked is {name}, which the model takes when it must choose."
        return _check("words", verdict, told, subject)
    return _check("words", verdict, f"The answer's words go with the option that the model takes, {name}.", subject, passed=True)


def _decided(_engine: Engine, subject: Subject, _cancel: Event) -> Check:
    """C0: entropy (0 sure .. 1 even) and margin of the classes. Verdict `clear` or `close`."""
    if subject.closed is None:
        return _not_made("C0", "The question is open, so there are no classes to weigh.")
    shares = subject.seen.shares
    name, share = max(shares.items(), key=lambda item: item[1])
    entropy = -sum(p * math.log(p) for p in shares.values() if p > 0) / math.log(len(shares))
    margin = share - sorted(shares.values())[-2]
    verdict = "clear" if margin >= CLOSE else "close"
    gap = "well ahead of" if verdict == "clear" else "hardly ahead of"
    told = f"The model says {name}, {gap} its second choice."
    return _check("C0", verdict, told, subject, passed=None, found=shares, figures={"entropy": entropy, "margin": margin})


def _rotation(_engine: Engine, subject: Subject, _cancel: Event) -> Check:
    """C3: the class must not hang on the order in which the options are listed. `agrees` or `option-order decides`."""
    if subject.closed is None:
        return _not_made("C3", "The question is open: it lists no options that could be turned round.")
    tops = [_name(one) for one in subject.seen.orders]
    found = subject.seen.orders[-1]
    if subject.seen.agrees:
        return _check(
            "C3", "agrees", f"With the options in another order the model says {tops[0]} again.", subject, passed=True, found=found
        )
    first, other = (f"says {name}" if (name := top(one)) else "is torn between two options" for one in (subject.seen.orders[0], found))
    told = f"The model {first} with the options in one order and {other} in the other."
    return _check("C3", "option-order decides", told, subject, passed=False, found=found)


def _no_image(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """C1: do the shares move without the images (total variation)? Of an open answer: do its own words get less likely?

    Both are asked with the options as they are listed: the other order would say the same of the images at twice the cost.
    """
    blind = without_images(subject.request)
    if subject.closed is None:
        return _no_image_words(engine, subject, blind, cancel)
    seen, found = subject.seen.orders[0], read(engine, blind, subject.closed, (subject.closed.classes,), cancel).shares
    subject = replace(subject, seen=Reading(seen))
    before, after = _name(seen), _name(found)
    moved = sum(abs(share - found[name]) for name, share in seen.items()) / 2
    figures = {"moved": moved}
    if moved < MOVED:
        leans = f"to {before}" if before == after else f"{before}, then {after}, by next to nothing"
        told = f"With grey in place of the images the model leans as before: {leans}."
        return _check("C1", "not image-dependent", told, subject, blind, passed=False, found=found, figures=figures)
    how = f"{after} instead of {before}" if after != before else f"{before} with another probability"
    told = f"With grey in place of the images the model says {how}."
    return _check("C1", "image-dependent", told, subject, blind, passed=True, found=found, figures=figures)


def _no_image_words(engine: Engine, subject: Subject, blind: Request, cancel: Event) -> Check:
    if not subject.text:
        return _not_made("C1", "The answer has no words that could be weighed without the images.")
    if engine.card.by_beginning:
        return _not_made("C1", "The question is open, and a model server weighs only how an answer begins.")
    scored = [engine.score(request, [subject.text], cancel) for request in (subject.request, blind)]
    with_images, without_them = (scores.logprobs[0] / max(1, scores.tokens[0]) for scores in scored)
    moved = with_images - without_them
    figures = {"moved_nats_per_token": moved}
    if moved < WORDS_MOVED:
        told = "With grey in place of the images the same words are just as likely."
        return _check("C1", "not image-dependent", told, subject, blind, passed=False, figures=figures)
    told = f"With grey in place of the images these words are less likely ({moved:.2f} nats a token)."
    return _check("C1", "image-dependent", told, subject, blind, passed=True, figures=figures)


def _exchange(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """C2: exchanged pictures must turn the answer round. `coherent`, `order-blind` or `unstable`."""
    closed, request = subject.closed, subject.request
    reason = _unpaired(subject)
    if closed is not None and not reason and not closed.inverse:
        reason = "The options say nothing that must turn round with the images."
    if closed is not None and not reason and closed.name == "options" and len(request.images) > 2:
        reason = f"There are {len(request.images)} images, and the options may be about any two of them."
    if reason or closed is None:
        return _not_made("C2", reason)
    which = closed.name == "which"
    exempt = "" if which else guard.no_opposite(request.question)
    if exempt:
        return _not_made("C2", f"The question is about {exempt}, which need not be undone when the images change places.")
    turned = (shifted if which else exchanged)(request)
    found = read(engine, turned, closed, cancel=cancel).shares
    before, after = _name(subject.seen.shares), _name(found)
    due = closed.inverse[before]
    how = "exchanged" if len(request.images) == 2 else "each moved one place on" if which else "in the reverse order"
    if after == before == due:
        told = f"With the images {how} {before} stays {before}, as it should; a model blind to order would say so too."
        return _check("C2", "coherent", told, subject, turned, passed=True, found=found)
    if after == due:
        return _check(
            "C2",
            "coherent",
            f"With the images {how} {before} becomes {after}, as it should.",
            subject,
            turned,
            passed=True,
            found=found,
        )
    if after == before:
        told = f"With the images {how} the model still says {after}: their order is not used."
        return _check("C2", "order-blind", told, subject, turned, passed=False, found=found)
    told = f"With the images {how} {before} becomes {after}, where {due} was due."
    return _check("C2", "unstable", told, subject, turned, passed=False, found=found)


def _identical(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """C4: the same picture in every place holds no change. `no change` or `invented change`."""
    closed = subject.closed
    reason = _unpaired(subject) or ("" if closed is None or closed.still else "No option says that nothing changed.")
    if reason or closed is None:
        return _not_made("C4", reason)
    same = identical(subject.request, closed.mark)
    found = read(engine, same, closed, cancel=cancel).shares
    name, times = _name(found), "twice" if len(same.images) == 2 else f"{len(same.images)} times"
    if name == "uncertain":
        told = f"Shown the same image {times} the model is uncertain: it claims no change, and none is denied."
        return _check("C4", "undecided", told, subject, same, found=found)
    if name == closed.still:
        told = f"Shown the same image {times} the model says {name}, as it should."
        return _check("C4", "no change", told, subject, same, passed=True, found=found)
    told = f"Shown the same image {times} the model says {name}, which no image can bear out."
    return _check("C4", "invented change", told, subject, same, passed=False, found=found)


def _paraphrase(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """C5: the same question in other words. `agrees` or `wording decides`."""
    if subject.closed is None:
        return _not_made("C5", "The question is open, and no other wording of it is known.")
    asked = paraphrased(subject.closed)
    found = read(engine, subject.request, asked, cancel=cancel).shares
    before, after = _name(subject.seen.shares), _name(found)
    question = asked.asked(asked.classes)
    if after == before:
        return _check(
            "C5", "agrees", f"Asked in other words the model says {after} again.", subject, passed=True, found=found, question=question
        )
    told = f"Asked in other words the model says {after} instead of {before}."
    return _check("C5", "wording decides", told, subject, passed=False, found=found, question=question)


def _none_of_these(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """C6: with its own choice taken away a model should say so. `notices` or `takes another`; it judges no state."""
    if subject.closed is None:
        return _not_made("C6", "The question is open: it lists no options to take one from.")
    own = _name(subject.seen.shares)
    asked = without(subject.closed, own)
    found = read(engine, subject.request, asked, cancel=cancel).shares
    question = asked.asked(asked.classes)
    if _name(found) == NONE:
        told = f"With {own} taken from the options the model says {NONE}, as it should."
        return _check("C6", "notices", told, subject, passed=True, found=found, question=question)
    told = f"With {own} taken from the options the model takes {_name(found)} instead."
    return _check("C6", "takes another", told, subject, passed=False, found=found, question=question)


def _undated(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """Was it the images or the dates? `agrees` or `dates decide`; it judges no state."""
    bare = undated(subject.request)
    if subject.closed is None or bare == subject.request:
        why = "The question is open" if subject.closed is None else "The model was told no dates and no age"
        return _not_made("dates", f"{why}, so there is nothing to leave out.")
    found = read(engine, bare, subject.closed, cancel=cancel).shares
    before, after = _name(subject.seen.shares), _name(found)
    if after == before:
        return _check("dates", "agrees", f"Told no dates the model says {after} again.", subject, passed=True, found=found)
    told = f"Told no dates the model says {after} instead of {before}."
    return _check("dates", "dates decide", told, subject, passed=False, found=found)


def _samples(engine: Engine, subject: Subject, cancel: Event) -> Check:
    """C9: entropy over the meanings of drawn answers (semantic entropy, Farquhar 2024; meanings told apart by rules)."""
    options = replace(subject.request.options, temperature=SAMPLED_AT, max_tokens=min(SAMPLED_TOKENS, subject.request.options.max_tokens))
    drawn = []
    for seed in range(SAMPLES):
        request = replace(subject.request, options=replace(options, seed=seed))
        drawn.append("".join(token.text for token in engine.stream(request, cancel)).strip())
    counts = Counter(meaning(text) for text in drawn)
    entropy = -sum(n / SAMPLES * math.log(n / SAMPLES) for n in counts.values()) / math.log(SAMPLES) or 0.0
    own = counts[meaning(subject.text)]
    several = f"{len(counts)} meanings" if len(counts) > 1 else "one meaning"
    told = f"{SAMPLES} drawn answers have {several}; {own} of them mean{'s' * (own == 1)} what this answer says."
    figures = {"semantic_entropy": entropy, "meanings": float(len(counts)), "agreeing": float(own)}
    verdict = "agree" if own > SAMPLES / 2 else "scatter"
    return _check("C9", verdict, told, subject, figures=figures, details=tuple(drawn))


_MAKERS: Mapping[Name, Callable[[Engine, Subject, Event], Check]] = {
    "decided": _decided,
    "rotation": _rotation,
    "no_image": _no_image,
    "exchange": _exchange,
    "identical": _identical,
    "paraphrase": _paraphrase,
    "none_of_these": _none_of_these,
    "undated": _undated,
    "samples": _samples,
}


def _unpaired(subject: Subject) -> str:
    """Why the images cannot be exchanged or doubled, or ``."""
    if subject.closed is None:
        return "The question is open, and nothing is known of what must turn round in its answer."
    return "" if len(subject.request.images) > 1 else "There is one image, and two are needed."


def _not_made(code: str, why: str) -> Check:
    return Check(code, "not made", why)


def _name(shares: Shares) -> str:
    """The likeliest class; of classes that tie, the first one listed."""
    return top(shares) or max(shares, key=lambda name: shares[name])


def _check(
    code: str,
    verdict: str,
    explanation: str,
    subject: Subject,
    probe: Request | None = None,
    *,
    passed: bool | None = None,
    found: Shares | None = None,
    figures: Mapping[str, float] | None = None,
    question: str = "",
    details: tuple[str, ...] = (),
) -> Check:
    closed = subject.closed
    return Check(
        code=code,
        verdict=verdict,
        explanation=explanation,
        passed=passed,
        question=question or (closed.asked(closed.classes) if closed else subject.request.question),
        seen=dict(subject.seen.shares),
        found=dict(found or {}),
        images=tuple(image.sha256 for image in (probe or subject.request).images),
        figures=dict(figures or {}),
        details=details,
    )
