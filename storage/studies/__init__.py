"""Reading studies: whatever came in becomes `Study > Series > Frame`, with pixels in the modality's units on demand."""

from storage.studies.budget import Budget
from storage.studies.deidentify import Deidentified, Deidentifier, deidentify
from storage.studies.model import FileOutcome, Frame, Reading, Series, Source, Study, Window
from storage.studies.pixels import display, modality, stored, windows
from storage.studies.reader import read
from storage.studies.relations import Relation, relate, relate_many

__all__ = [
    "Budget",
    "Deidentified",
    "Deidentifier",
    "FileOutcome",
    "Frame",
    "Reading",
    "Relation",
    "Series",
    "Source",
    "Study",
    "Window",
    "deidentify",
    "display",
    "modality",
    "read",
    "relate",
    "relate_many",
    "stored",
    "windows",
]
