"""A contact sheet of generated pairs with their truth written above: look before you train.

python -m finetune.synthesis.sheet sheet.png                              # phantom
python -m finetune.synthesis.sheet sheet.png --films DATA/cxr_kermany --cache ~/.cache/interval/films
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from finetune.synthesis import pairs
from finetune.synthesis.films import FilmSource
from finetune.synthesis.phantom import PhantomSource


def caption(pair: pairs.Pair) -> str:
    """``worse: right consolidation 0.20 > 0.74``, or the kind when it is not a pair."""
    rows = []
    for name in pair.changes:
        finding = pair.current_truth.get(name) or pair.prior_truth.get(name)
        side = finding.side if finding else ""
        rows.append(f"{side} {name} {pair.prior_truth.severity(name):.2f} > {pair.current_truth.severity(name):.2f}".strip())
    return f"{pair.overall if pair.kind == 'pair' else pair.kind}: {', '.join(rows) or 'no finding'}"


def sheet(source: pairs.Source, seeds: range, size: int = 256, across: int = 4, strength: float = 1.0) -> Image.Image:
    """Pairs of `seeds`, prior left of current, `across` pairs a row."""
    wide, high = 2 * size + 6, size + 16
    rows = -(-len(seeds) // across)
    canvas = Image.new("L", (across * wide, rows * high))
    pen = ImageDraw.Draw(canvas)
    for place, seed in enumerate(seeds):
        pair = pairs.generate(seed, source, size, strength=strength)
        left, top = place % across * wide, place // across * high
        pen.text((left + 2, top + 2), caption(pair)[: size // 3], fill=255)
        canvas.paste(Image.fromarray(pair.prior), (left, top + 14))
        canvas.paste(Image.fromarray(pair.current), (left + size + 2, top + 14))
    return canvas


def main() -> None:
    """Write the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--films", type=Path, action="append", default=[], help="folder of real films; the phantom without one")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/interval/films"), help="where decoded films are kept")
    parser.add_argument("--first", type=int, default=0, help="seed of the first pair")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--strength", type=float, default=1.0, help="acquisition differences: 0 none, 1 weak to moderate, 2 strong")
    given = parser.parse_args()
    source: pairs.Source = FilmSource(tuple(given.films), given.cache.expanduser()) if given.films else PhantomSource()
    sheet(source, range(given.first, given.first + given.count), strength=given.strength).save(given.out)


if __name__ == "__main__":
    main()
