"""Answers that are scored side by side: which tokens one batch reads, and whose log-probabilities are wanted behind each.

tree = Branches()
tree.add([*question, *answer], start=len(question), most=512)
tree.cells(start=120)       # what llama.cpp reads behind the 120 positions that all have in common
"""

from __future__ import annotations

from collections.abc import Sequence

from errors import ContextFull
from inference.llama import BRANCHES, Cell


class Branches:
    """Prompts' ends with answers behind them that are read in one batch, as a tree: what they begin with alike is read once.

    An answer whose last token alone is its own (an option's letter) needs no branch of its own, since its last token is never read.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.due: dict[int, list[tuple[int, int]]] = {}  # place in the batch -> (answer, its token that follows there)
        self.count = self.branches = 0
        self._depths: list[int] = []
        self._sequences: list[list[int]] = []
        self._child: dict[tuple[int, int], int] = {}  # (parent or -1, token) -> place in the batch

    def takes(self, ids: Sequence[int], most: int) -> bool:
        """Whether the tree has room for one more; `most` is what a batch holds."""
        own = len(ids) - 1 - len(self._known(ids))
        return not own or (self.branches < BRANCHES - 1 and len(self.tokens) + own <= most)

    def add(self, ids: Sequence[int], start: int, most: int) -> None:
        """Take in `ids`, of which those from `start` on are the answer. Raises `ContextFull` when one batch cannot hold them."""
        if len(ids) - 1 > most:
            raise ContextFull(f"a choice of {len(ids) - start} tokens is longer than the {most} that can be scored; shorten it")
        path = self._known(ids)
        if len(path) < len(ids) - 1:
            self.branches += 1
            for depth in range(len(path), len(ids) - 1):
                self._child[path[-1] if path else -1, ids[depth]] = len(self.tokens)
                path.append(len(self.tokens))
                self.tokens.append(ids[depth])
                self._depths.append(depth)
                self._sequences.append([])
            for place in path:
                self._sequences[place].append(self.branches)
        for depth in range(start, len(ids)):
            self.due.setdefault(path[depth - 1], []).append((self.count, ids[depth]))
        self.count += 1

    def _known(self, ids: Sequence[int]) -> list[int]:
        """Places of the tokens before the last that are in the tree already."""
        path: list[int] = []
        for token in ids[:-1]:
            place = self._child.get((path[-1] if path else -1, token))
            if place is None:
                break
            path.append(place)
        return path

    def cells(self, start: int) -> list[Cell]:
        """What to read, at position `start` behind what all have in common."""
        rows = enumerate(zip(self.tokens, self._depths, self._sequences, strict=True))
        return [Cell(token, start + depth, tuple(sequences), place in self.due) for place, (token, depth, sequences) in rows]
