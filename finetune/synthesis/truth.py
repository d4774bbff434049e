"""What is known about a synthetic film: findings with side, zone and severity, and what changed between two of them.

Everything else in this folder turns these values into pixels or into words; nothing here knows either. Sides are the
patient's, so *right* lies on the left of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference.prompts import FINDINGS

Side = Literal["right", "left", "bilateral", ""]
Zone = Literal["upper", "mid", "lower", "whole", ""]
Change = Literal["new", "worse", "stable", "improved", "resolved"]
Overall = Literal["worse", "stable", "improved", "uncertain"]

DEVICE = "tube or line"
DEPTHS: dict[str, float] = {"high": 0.35, "in place": 0.65, "low": 0.95}
"""Severity of a device: how deep its tip lies."""
SIDED: tuple[str, ...] = tuple(name for name in FINDINGS if name not in ("cardiomegaly", DEVICE))
WEIGHTS: dict[str, float] = {"diffuse opacity": 1.5, "nodule": 0.6, "atelectasis": 0.5, "cardiomegaly": 0.5, DEVICE: 0.0}
DEAD_ZONE = 0.05
EXTENT_DEAD_ZONE = 0.08
CLEAR_EXTENT = 0.16
INVERSE: dict[Change, Change] = {"new": "resolved", "worse": "improved", "stable": "stable", "improved": "worse", "resolved": "new"}
INVERSE_OVERALL: dict[Overall, Overall] = {"worse": "improved", "stable": "stable", "improved": "worse", "uncertain": "uncertain"}


@dataclass(frozen=True)
class Finding:
    """One finding on one film. `severity` runs from 0 (absent) to 1, for a device by the depth of its tip (`DEPTHS`); `zone` is
    empty where zones have no meaning."""

    name: str
    side: Side
    zone: Zone
    severity: float

    def __post_init__(self) -> None:
        """Refuse a name or a severity outside the vocabulary."""
        if self.name not in FINDINGS or not 0 <= self.severity <= 1:
            raise ValueError(f"{self.name} at severity {self.severity} is not a finding of {', '.join(FINDINGS)} in 0..1")


@dataclass(frozen=True)
class Truth:
    """All findings of one film, each name at most once; severity 0 is left out."""

    findings: tuple[Finding, ...] = ()

    def get(self, name: str) -> Finding | None:
        """The finding of that name, or None when it is absent."""
        return next((finding for finding in self.findings if finding.name == name), None)

    def severity(self, name: str) -> float:
        """Severity of that finding, 0 when absent."""
        finding = self.get(name)
        return finding.severity if finding else 0.0

    @property
    def extent(self) -> float:
        """Extent of disease as a whole: severities summed, two sides count double, weighted by the area a finding can take."""
        return sum(WEIGHTS.get(f.name, 1.0) * f.severity * (1.5 if f.side == "bilateral" else 1.0) for f in self.findings)


def depth(finding: Finding) -> str:
    """Where a device's tip lies: `high`, `in place` or `low`."""
    return min(DEPTHS, key=lambda word: abs(DEPTHS[word] - finding.severity))


def change(prior: float, current: float, name: str = "") -> Change:
    """Change class of one finding from its severity at both ends; a device is new, stable or resolved, wherever its tip is."""
    if prior <= 0 < current:
        return "new"
    if current <= 0 < prior:
        return "resolved"
    if name == DEVICE or abs(current - prior) < DEAD_ZONE:
        return "stable"
    return "worse" if current > prior else "improved"


def changes(prior: Truth, current: Truth) -> dict[str, Change]:
    """Change class of every finding that is present at either end, in the order of `FINDINGS`."""
    present = {finding.name for finding in (*prior.findings, *current.findings)}
    return {name: change(prior.severity(name), current.severity(name), name) for name in FINDINGS if name in present}


def overall(prior: Truth, current: Truth) -> Overall:
    """Whether the extent of disease as a whole is worse, stable or improved."""
    difference = current.extent - prior.extent
    if abs(difference) < EXTENT_DEAD_ZONE:
        return "stable"
    return "worse" if difference > 0 else "improved"
