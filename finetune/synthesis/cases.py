"""The four demo cases as values: who, when, what is true at each date, what to ask. `demo.py` turns them into DICOM."""

from __future__ import annotations

from dataclasses import dataclass, field

from finetune.synthesis.acquire import Acquisition
from finetune.synthesis.thorax import Nodule
from finetune.synthesis.truth import Finding, Truth
from inference.engine import Ability


@dataclass(frozen=True)
class Visit:
    """One study: its date (YYYYMMDD) and time, truth, and how it was acquired."""

    date: str
    time: str
    truth: Truth
    look: Acquisition = field(default_factory=Acquisition)
    nodule: Nodule | None = None
    spacing: float = 0.0
    thickness: float = 0.0
    shift: float = 0.0


@dataclass(frozen=True)
class Case:
    """One demo case. `phantom` seeds the anatomy, `painting` the look of its findings."""

    name: str
    title: str
    teaching: str
    patient: str
    sex: str
    birth_year: int
    age: int
    modality: str
    description: str
    phantom: int
    painting: int
    ability: Ability
    question: str
    visits: tuple[Visit, ...]


def _look(seed: int, **changes: float | tuple[float, float]) -> Acquisition:
    return Acquisition(noise=0.0018, blur=0.0, seed=seed, **changes)  # type: ignore[arg-type]


_EFFUSION_HEART = ("pleural effusion", "left", "lower"), ("cardiomegaly", "", "")

CASES: tuple[Case, ...] = (
    Case(
        name="pneumonia-worse",
        title="Pneumonia, six days apart",
        teaching="The right mid zone consolidation grows and a right pleural effusion is new: after one finding, look for a second.",
        patient="SYN-0001",
        sex="M",
        birth_year=1961,
        age=63,
        modality="DX",
        description="SYNTHETIC chest radiograph",
        phantom=33,
        painting=41,
        ability="temporal",
        question="What changed since the prior?",
        visits=(
            Visit("20240304", "091500", Truth((Finding("consolidation", "right", "mid", 0.22),)), _look(1, rotation=-0.8, zoom=1.03)),
            Visit(
                "20240310",
                "084000",
                Truth((Finding("consolidation", "right", "mid", 0.72), Finding("pleural effusion", "right", "lower", 0.34))),
                _look(2, rotation=0.9, zoom=1.0, gamma=1.06, shift=(0.006, 0.01)),
            ),
        ),
    ),
    Case(
        name="effusion-improved",
        title="Left effusion after drainage",
        teaching="The left pleural effusion is smaller while the enlarged heart is unchanged: improvement in one finding, not in all.",
        patient="SYN-0002",
        sex="F",
        birth_year=1949,
        age=75,
        modality="DX",
        description="SYNTHETIC chest radiograph",
        phantom=14,
        painting=52,
        ability="comparison",
        question="What is different between the first and the second image?",
        visits=(
            Visit(
                "20240512",
                "101000",
                Truth(tuple(Finding(*row, severity) for row, severity in zip(_EFFUSION_HEART, (0.78, 0.45), strict=True))),  # type: ignore[arg-type]
                _look(3, rotation=0.6, zoom=1.02),
            ),
            Visit(
                "20240524",
                "113000",
                Truth(tuple(Finding(*row, severity) for row, severity in zip(_EFFUSION_HEART, (0.22, 0.45), strict=True))),  # type: ignore[arg-type]
                _look(4, rotation=-1.1, zoom=1.04, gamma=0.95),
            ),
        ),
    ),
    Case(
        name="ct-nodule-growth",
        title="Right upper lobe nodule on CT, six months apart",
        teaching="The nodule grows from 12 to 19 mm; the slices differ in thickness and position, so find the same anatomical level first.",
        patient="SYN-0003",
        sex="F",
        birth_year=1957,
        age=67,
        modality="CT",
        description="SYNTHETIC CT chest with contrast",
        phantom=5,
        painting=0,
        ability="coreference",
        question="Which image shows the larger opacity?",
        visits=(
            Visit(
                "20240115",
                "140000",
                Truth((Finding("nodule", "right", "upper", 0.30),)),
                nodule=Nodule((-78.0, -4.0, -85.0), 12.0),
                spacing=10.0,
                thickness=8.0,
            ),
            Visit(
                "20240715",
                "143000",
                Truth((Finding("nodule", "right", "upper", 0.60),)),
                nodule=Nodule((-78.0, -4.0, -85.0), 19.0),
                spacing=9.5,
                thickness=5.0,
                shift=3.5,
            ),
        ),
    ),
    Case(
        name="oedema-course",
        title="Pulmonary oedema over nine days",
        teaching="Worse on the third day with new bilateral effusions, better on the ninth: the course needs all three films.",
        patient="SYN-0004",
        sex="M",
        birth_year=1953,
        age=71,
        modality="CR",
        description="SYNTHETIC chest radiograph",
        phantom=51,
        painting=71,
        ability="temporal",
        question="Is the disease worse, stable or improved since the prior study?",
        visits=(
            Visit("20240902", "073000", Truth((Finding("diffuse opacity", "bilateral", "", 0.25),)), _look(5, zoom=1.02)),
            Visit(
                "20240905",
                "070500",
                Truth((Finding("diffuse opacity", "bilateral", "", 0.85), Finding("pleural effusion", "bilateral", "lower", 0.25))),
                _look(6, rotation=1.2, zoom=1.05, gamma=0.96, marks=(("SUPINE", 0.74, 0.09, 0.028),)),  # type: ignore[arg-type]
            ),
            Visit("20240911", "080000", Truth((Finding("diffuse opacity", "bilateral", "", 0.32),)), _look(7, rotation=-0.7, zoom=1.0)),
        ),
    ),
)
