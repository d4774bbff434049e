"""How fast the generator makes pairs: training reads them as they are made, so it must not wait for them."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from finetune.synthesis import pairs
from finetune.synthesis.phantom import PhantomSource
from tests.bench.figures import Figure

SIZE = 224
PAIRS = 200
PATIENTS = 12
PROCESSES = 2


def made(first: int, count: int) -> tuple[float, float, float]:
    """Processor seconds of one process for `count` pairs from seed `first`, patients rendered before, and the clock at both ends."""
    source = PhantomSource(patients=PATIENTS)
    for index in range(source.count):
        source.scene(index)
    started, used = time.time(), time.process_time()
    for seed in range(first, first + count):
        pairs.generate(seed, source, SIZE)
    return time.process_time() - used, started, time.time()


def pace() -> list[Figure]:
    """Processor time a pair, and the clock's time for a hundred pairs, one process a core."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(made, [0, PAIRS], [PAIRS, PAIRS]))
    each = 1000 * sum(used for used, _, _ in runs) / (PROCESSES * PAIRS)
    hundred = sum(100 / (PAIRS / (ended - started)) for _, started, ended in runs) / PROCESSES**2
    how = f"phantom patients, {SIZE} px, two films, {PROCESSES} processes, {PAIRS} pairs each"
    return [
        Figure("a generated pair, processor time", each, "ms", 20.0, how),
        Figure("a hundred generated pairs, by the clock", hundred, "s", 1.0, how),
    ]
