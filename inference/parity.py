"""How often a model's GGUF pair, on a processor, gives the answer that its full weights give, and whether the second image bears on it.

`finetune.parity` measures it. It travels in the model's manifest with the digest of the pair it was measured on, so that no other
weights are said to agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from pydantic import BaseModel, ConfigDict, Field

UNMEASURED = "Agreement with the full model not measured."
Z = 1.959964
"""Standard normal quantile of a 95 % interval."""


class Counted(BaseModel):
    """Of how many questions it was so: the greedy answers were the same, or another second image moved the answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked: int = Field(ge=1)
    equal: int = Field(ge=0)

    @property
    def words(self) -> str:
        """As in "29 of 30"."""
        return f"{self.equal} of {self.asked}"

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share (JASA 22:209, 1927): of all or none too no claim of certainty.

        It takes the questions for independent; several about one pair make it somewhat narrow.
        """
        share, spread = self.equal / self.asked, Z * Z / self.asked
        middle, half = share + spread / 2, sqrt(spread * (share * (1 - share) + spread / 4))
        return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))

    @property
    def bounded(self) -> str:
        """As in "29 of 30 (95 % interval of the share 0.83 to 0.99)"."""
        return f"{self.words} (95 % interval of the share {self.interval[0]:.2f} to {self.interval[1]:.2f})"


class Parity(Counted):
    """The counts together and by ability; `sha256` is the model card's for the GGUF pair.

    `second` is in how many questions exchanging or replacing the second image moved the likelihood of the processor's answer,
    where that was measured.
    """

    sha256: str
    by_ability: Mapping[str, Counted] = Field(default_factory=dict)
    second: Counted | None = None

    @property
    def told(self) -> str:
        """What readers are told: one sentence, and a second one on the second image."""
        parts = ", ".join(f"{ability} {found.words}" for ability, found in self.by_ability.items())
        told = f"Processor answers are the full-precision answers in {self.bounded} held-out questions{f': {parts}' if parts else ''}."
        if self.second is None:
            return told
        return f"{told} Exchanging image 2 with image 1, or replacing it by that, moves the answer's likelihood in {self.second.bounded}."
