"""How often a model's GGUF pair, on a processor, gives the answer that its full weights give: measured by `finetune.parity`.

It travels in the model's manifest with the digest of the pair it was measured on, so that no other weights are said to agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

UNMEASURED = "Agreement with the full model not measured."


class Counted(BaseModel):
    """Of how many questions the greedy answers were the same."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked: int = Field(ge=1)
    equal: int = Field(ge=0)

    @property
    def words(self) -> str:
        """As in "29 of 30"."""
        return f"{self.equal} of {self.asked}"


class Parity(Counted):
    """The counts together and by ability; `sha256` is the model card's for the GGUF pair."""

    sha256: str
    by_ability: Mapping[str, Counted] = Field(default_factory=dict)

    @property
    def told(self) -> str:
        """One sentence for readers."""
        parts = ", ".join(f"{ability} {found.words}" for ability, found in self.by_ability.items())
        return f"Processor answers are the full-precision answers in {self.words} held-out questions{f' ({parts})' if parts else ''}."
