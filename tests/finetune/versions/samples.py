"""Small files as Med-MIM's: chest pairs of named patients with images of their own, and a benchmark that shares some of them."""

from __future__ import annotations

from pathlib import Path

from tests.finetune.benchmarks import Raw, film, written

TRAIN = "Med_MIM_train_inherent_Comparison.json"
GATE = "Med_MIM_benchmark_Held_in_Comparison.json"
TEXTS = ("The edema is improving.", "The edema is stable.", "The edema is worsening.")


def pair(patient: int, visit: int = 0) -> list[str]:
    """Names of a patient's two images, as MIMIC-CXR names them."""
    return [f"p10/p{10000000 + patient}/s{visit}/{end}.png" for end in ("a", "b")]


def item(number: int, images: list[str], gold: int = 0, stem: str = "How does the edema change?") -> Raw:
    """A closed question of MS-CXR-T's form."""
    options = "\n".join(f"{'ABC'[place]}: {text}" for place, text in enumerate(TEXTS))
    turns = [
        {"role": "user", "content": f"{'<image>' * len(images)}{stem}\n{options}\n"},
        {"role": "assistant", "content": f"{'ABC'[gold]}: {TEXTS[gold]}"},
    ]
    return {"id": f"ms-cxr-t-edema-{number}", "images": images, "conversation": turns, "source": "MS_CXR_T_vqa_edema"}


def films(root: Path, items: list[Raw], start: int = 0) -> None:
    """Every image of the items, each of a grey of its own."""
    names = dict.fromkeys(str(name) for one in items for name in one["images"])  # type: ignore[attr-defined]
    for place, name in enumerate(names, start):
        film(root / name, place % 250, (24 + place // 250, 20))


def files(folder: Path, patients: int = 40) -> tuple[Path, Path, Path]:
    """(training file, benchmark file, image folder): of the benchmark's four items two share pair and patient, one the patient alone."""
    train = [item(number, pair(number), number % 3) for number in range(patients)]
    gate = [item(900, pair(0)), item(901, pair(1)), item(902, pair(2, visit=7)), item(903, pair(500))]
    root = folder / "images"
    films(root, [*train, *gate])
    return written(folder / TRAIN, train), written(folder / GATE, gate), root
