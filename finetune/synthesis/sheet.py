"""Contact sheets with their truth written above: generated pairs, findings by severity, acquisitions. Look before you train.

python -m finetune.synthesis.sheet pairs docs/model/contact-pairs.png
python -m finetune.synthesis.sheet findings docs/model/contact-findings.png
python -m finetune.synthesis.sheet acquisition docs/model/contact-acquisition.png
python -m finetune.synthesis.sheet pairs sheet.png --films DATA/cxr_kermany --cache ~/.cache/interval/films

Without `--films` the patients are phantoms. Sheets of real films are for the one who trains: they are never published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from finetune.synthesis import acquire, paint, pairs, wording
from finetune.synthesis.films import FilmSource
from finetune.synthesis.phantom import PhantomSource
from finetune.synthesis.scene import Scene
from finetune.synthesis.truth import DEPTHS, DEVICE, SIDED, Finding
from inference.prompts import FINDINGS

SEVERITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
GREYS = 48
DEVICE_LOOKS = (1, 12, 3, 7)
"""Seeds of the devices on the sheet of findings: of each kind one."""
Tile = tuple[str, Image.Image]


def caption(pair: pairs.Pair) -> str:
    """``worse: right consolidation 0.20 > 0.74``, or the kind when it is not a pair; of two patients what each film shows."""
    if pair.kind == "unrelated":
        shows = [wording.listing(truth.findings) or "no finding" for truth in (pair.prior_truth, pair.current_truth)]
        return f"unrelated: {' | '.join(shows)}"
    rows = []
    for name in pair.changes:
        finding = pair.current_truth.get(name) or pair.prior_truth.get(name)
        side = finding.side if finding else ""
        rows.append(f"{side} {name} {pair.prior_truth.severity(name):.2f} > {pair.current_truth.severity(name):.2f}".strip())
    return f"{pair.overall if pair.kind == 'pair' else pair.kind}: {', '.join(rows) or 'no finding'}"


def tiled(tiles: Sequence[Tile], across: int, gap: int = 6, lines: int = 1) -> Image.Image:
    """Captioned pictures of one size, `across` a row, captions wrapped to at most `lines`."""
    width, height = tiles[0][1].size
    wide, high = width + gap, height + 4 + 12 * lines
    canvas = Image.new("L", (across * wide, -(-len(tiles) // across) * high))
    pen = ImageDraw.Draw(canvas)
    for place, (text, picture) in enumerate(tiles):
        left, top = place % across * wide, place // across * high
        pen.text((left + 2, top + 2), "\n".join(_wrapped(pen, text, width - 4)[:lines]), fill=255, spacing=1)
        canvas.paste(picture, (left, top + 2 + 12 * lines))
    return canvas


def _wrapped(pen: ImageDraw.ImageDraw, text: str, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def sheet(source: pairs.Source, seeds: range, size: int = 256, across: int = 4, strength: float = 1.0) -> Image.Image:
    """Pairs of `seeds`, prior left of current, `across` pairs a row."""
    tiles = []
    for seed in seeds:
        pair = pairs.generate(seed, source, size, strength=strength)
        both = Image.new("L", (2 * size + 2, size))
        both.paste(Image.fromarray(pair.prior), (0, 0))
        both.paste(Image.fromarray(pair.current), (size + 2, 0))
        tiles.append((caption(pair), both))
    return tiled(tiles, across, gap=4, lines=2)


def _shown(scene: Scene, finding: Finding, size: int, look: int = 3) -> Image.Image:
    film = paint.paint(paint.canvas(scene, (look,)), (finding,))
    return Image.fromarray(acquire.expose(film, acquire.Acquisition(), size))


def findings_sheet(scene: Scene, size: int = 144) -> Image.Image:
    """One patient with each finding in turn, a row each, severity rising to the right; then devices, each at its three depths."""
    tiles = []
    for name in FINDINGS:
        for severity in SEVERITIES if name != DEVICE else ():
            finding = Finding(name, "right" if name in SIDED else "", "mid", severity)
            tiles.append((f"{name} {severity:.1f}", _shown(scene, finding, size)))
    for look in DEVICE_LOOKS:
        for word, depth in DEPTHS.items():
            tiles.append((f"{DEVICE} {word}", _shown(scene, Finding(DEVICE, "", "", depth), size, look)))
    return tiled(tiles, len(SEVERITIES))


def acquisition_sheet(scene: Scene, size: int = 144, across: int = 6) -> Image.Image:
    """One film without disease, acquired `across` times at each strength, a row each."""
    tiles = []
    for strength in STRENGTHS:
        for seed in range(across):
            look = acquire.draw(np.random.default_rng([seed, 0x5EE]), strength)
            tiles.append((f"strength {strength:g}", Image.fromarray(acquire.expose(scene.film, look, size))))
    return tiled(tiles, across)


def write(picture: Image.Image, path: Path) -> None:
    """Save as PNG in `GREYS` greys, which noise leaves small enough to keep beside the text. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    step = 255 / (GREYS - 1)
    table = [round(round(value / step) * step) for value in range(256)]
    picture.point(table).save(path, optimize=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pairs", "findings", "acquisition"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--films", type=Path, action="append", default=[], help="folder of real films; the phantom without one")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/interval/films"), help="where decoded films are kept")
    parser.add_argument("--first", type=int, default=0, help="seed of the first pair, number of the film")
    parser.add_argument("--count", type=int, default=18, help="pairs")
    parser.add_argument("--size", type=int, default=144, help="side of a film in pixels")
    parser.add_argument("--strength", type=float, default=1.0, help="acquisition differences: 0 none, 1 weak to moderate, 2 strong")
    return parser.parse_args()


def main() -> None:
    """Write the sheet that the command line asks for."""
    given = _arguments()
    source: pairs.Source = FilmSource(tuple(given.films), given.cache.expanduser()) if given.films else PhantomSource()
    if given.what == "pairs":
        picture = sheet(source, range(given.first, given.first + given.count), given.size, 3, given.strength)
    else:
        make = findings_sheet if given.what == "findings" else acquisition_sheet
        picture = make(source.scene(given.first), given.size)
    write(picture, given.out)


if __name__ == "__main__":
    main()
