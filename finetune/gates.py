"""May a trained adapter answer? Gates G0 to G8 against what is live, as one score sheet; G9 is a person's signature (`registry`).

Both models answer the same cases, in the engine that will serve them; the sheet holds every figure with its interval, what it is held
to, the items behind it, and what became of each flag. A gate that fails stops the promotion.

    sheet = gate(settings, "mine")
    sheet["passed"], sheet["html"]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from errors import InputError
from finetune import crew, files, runs
from finetune.crew import Crew
from finetune.gating import asking, cases, hygiene, page, rules
from finetune.gating.cases import Case
from finetune.gating.rules import Both, Gate
from finetune.versions import leakage, shelf
from inference import manifest, promoted, select
from inference.adapter import FILES, GGUF
from inference.engine import Wearer
from inference.select import open_engine
from settings import Settings

HTML = "gates.html"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How much is asked: held-out pairs, single images, items that both engines answer."""

    pairs: int = 60
    anchors: int = 30
    parity: int = 100


def gate(
    settings: Settings,
    run: str,
    sizes: Sizes = Sizes(),
    say: Say = print,
    benchmarks: Sequence[str] = (),
    roots: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure a finished run against what is live for its base, and write `gates.json` and `gates.html` into its folder.

    `benchmarks` are Med-MIM files that are asked too, their images below `roots`. Raises `InputError`, `TuneError`, `ModelNotLoaded`.
    """
    adapter, view = runs.adapter(settings, run), runs.view(settings, run)
    base, version = str(view.order["base"]), shelf.read(settings.versions_dir, str(view.order["version"]))
    entry = promoted.live(settings.adapters_dir, base)
    incumbent = settings.adapters_dir / entry.adapter if entry else None
    every, fixed = _cases(settings, base, version, sizes)
    asked = [leakage.gate(Path(name), [Path(root) for root in roots]) for name in benchmarks]
    clean = hygiene.gates(version, every, _earlier(settings, str(view.order.get("start", ""))), asked)
    say(f"{len(every)} cases, asked of the candidate and of {entry.adapter if entry else f'{base} alone'}")
    with crew.opened(settings, f"{base}+none") as some:
        both = Both(every, _asked(settings, some, incumbent, every, say), _asked(settings, some, adapter, every, say))
        extra = _benchmarks(settings, some, incumbent, adapter, asked, say)
        engine = some.card.engine
    replayed = rules.replayed(both)
    found = [
        *clean, rules.target(both), rules.regressions(replayed, fixed), *rules.abilities(both), *extra,
        rules.gain(both), *rules.order(both), *rules.calibration(both), *rules.form(both), rules.forgetting(both),
        _parity(settings, base, adapter, both, engine, sizes.parity, say),
        Gate("G9", "sign-off", "a person decides, with a name and a reason", None, "signed when it is promoted", required=False),
    ]  # fmt: skip
    place = runs.folder(settings, run)
    sheet = {
        "run": run,
        "base": base,
        "version": version.name,
        "version_sha256": version.sha256,
        "incumbent": entry.adapter if entry else "",
        "adapter_sha256": manifest.read(adapter).files[FILES[1]],
        "engine": engine,
        "made": runs.now(),
        "passed": all(one.passed if one.required else one.passed is not False for one in found),
        "cases": {group: len(both.group(group)) for group in (cases.TARGET, cases.FLAG, cases.ABILITY, cases.ANCHOR)},
        "gates": [asdict(one) for one in found],
        "replayed": replayed,
        "html": str(place / HTML),
    }
    files.write_text(place / HTML, page.html(files.plain(sheet)))
    files.write_json(place / runs.GATES, sheet)
    return files.plain(sheet)  # type: ignore[no-any-return]


def _cases(settings: Settings, base: str, version: shelf.Version, sizes: Sizes) -> tuple[tuple[Case, ...], frozenset[int]]:
    """Every case, and the flags that earlier adapters had fixed: those are asked for ever, whichever version they were in."""
    tile = select.resolve(settings, base).manifest.tile
    found = {case.key: case for case in cases.of_version(version)}
    fixed: set[int] = set()
    for entry in promoted.history(settings.adapters_dir):
        if entry.base != base or entry.action != "promote":
            continue
        sheet = files.read_json(settings.adapters_dir / entry.adapter / runs.GATES, "take the adapter from a backup")
        fixed |= {row["feedback"] for row in sheet["replayed"] if row["state"] in ("fixed", "still right")}
        there = {case.item for case in found.values()}
        older = cases.of_version(shelf.read(settings.versions_dir, entry.version))
        found |= {case.key: case for case in older if case.item and int(case.item) in fixed and case.item not in there}
    made = [*found.values(), *cases.of_generator(sizes.pairs, tile), *cases.anchors(sizes.anchors, tile)]
    return tuple(made), frozenset(fixed)


def _earlier(settings: Settings, start: str) -> list[shelf.Version]:
    """Versions of the adapters that a run went on from: what they were made of was learned too."""
    found: list[shelf.Version] = []
    while start:
        entry = next(one for one in promoted.history(settings.adapters_dir) if (one.adapter, one.action) == (start, "promote"))
        found.append(shelf.read(settings.versions_dir, entry.version))
        made = files.read_json(settings.adapters_dir / start / "manifest.json", "take the adapter from a backup")
        start = str(made.get("start", {}).get("name", ""))
    return found


def _asked(settings: Settings, some: Crew, adapter: Path | None, every: Sequence[Case], say: Say) -> dict[str, asking.Said]:
    _wear(some, adapter)
    return asking.ask(some, every, settings.data_dir / "measured" / f"gates-{some.card.sha256[:12]}.jsonl", say)


def _wear(some: Crew, adapter: Path | None) -> None:
    for engine in some.engines:
        if not isinstance(engine, Wearer):
            raise InputError("this engine wears no adapters, so a run cannot be measured on it; use gguf or torch")
        engine.wear(adapter)


def _parity(settings: Settings, base: str, adapter: Path, both: Both, engine: str, count: int, say: Say) -> Gate:
    """G8, where two engines can run the adapter."""
    what = "share of likeliest answers that both engines share, adapter on"
    if engine != "gguf" or not (adapter / GGUF).is_file():
        return Gate("G8", "engines agree", what, None, f"only {engine} runs this model here", required=False)
    some = (both.group(cases.TARGET) + both.group(cases.ABILITY))[:count]
    say(f"{len(some)} cases through transformers")
    peft = open_engine(settings, f"{base}+{adapter}@torch").engine
    try:
        return rules.parity(some, both.after, {case.key: asking.shares(peft, case.request, case.choices) for case in some})
    finally:
        peft.close()


def _benchmarks(
    settings: Settings, some: Crew, incumbent: Path | None, adapter: Path, given: Sequence[leakage.Gate], say: Say
) -> list[Gate]:
    """G2 and G3 on Med-MIM files, figure by figure."""
    from finetune import protocol
    from finetune.evaluate import evaluate
    from finetune.readings import readings

    found: list[Gate] = []
    for one in given:
        file, told = one.file, []
        for worn in (incumbent, adapter):
            _wear(some, worn)
            say(f"{one.name}: {some.card.name}")
            told.append(readings(evaluate(some, file, settings.data_dir / "evaluations" / "gates", ("real", "blind"))))
        items = list(file.items)
        for kind, title in (("real", "no loss"), ("blind", "image gain")):
            pairs = [told[number]["real", "likelihood"] for number in (0, 1)]
            if kind == "real":
                measured = protocol.gain(items, pairs[1], pairs[0])
                found += [_of_measure(f"{title}: {one.name}", one.value, one.low, one.units, one.items) for one in measured if one.headline]
                continue
            gains = [protocol.gain(items, one["real", "likelihood"], one["blind", "likelihood"]) for one in told]
            for was, now in zip(*gains, strict=True):
                if now.headline:
                    what = "score with the images less that without"
                    fell = now.value - was.value
                    reason = f"{100 * fell:+.1f} points, allowed {-100 * rules.GAIN:+.1f} points"
                    found.append(
                        Gate("G3", f"{title}: {now.name}", what, fell >= -rules.GAIN, reason, was.value, now.value, fell, bound=-rules.GAIN,
                             units=now.units, cases=now.items)
                    )  # fmt: skip
    return found


def _of_measure(name: str, value: float, low: float, units: int, count: int) -> Gate:
    bound = rules.CLOSE if units >= rules.MANY else rules.WIDE
    reason = f"{100 * value:+.1f} points, lower bound {100 * low:+.1f} points, allowed {-100 * bound:+.1f} points"
    return Gate(
        "G2", name, "score on a Med-MIM file", low > -bound, reason, difference=value, low=low, bound=-bound, units=units, cases=count
    )
