"""Every error Interval raises on purpose, in one place.

An error's text is one sentence a reader can act on: the thing, the cause, the next step. Nothing below
`IntervalError` reaches a user as a traceback, and nothing else is shown to one.

    IntervalError                 exit 1
    ├── InputError                exit 2   what was given cannot be used
    │   ├── SettingsError                  a setting is wrong or unsafe
    │   ├── QuestionError                  no question, no image, too many images
    │   └── StudyError                     carries the file it speaks of
    │       ├── StudyUnreadable            broken, truncated, empty, or not an image
    │       ├── StudyUnsupported           sound, but we have no decoder or it holds no picture
    │       └── StudyTooLarge              over a safety budget, refused before allocation
    ├── EngineError
    │   ├── ModelNotLoaded                 model files missing, damaged, or of another family
    │   ├── ModelChanged                   another adapter was promoted in the middle of a work
    │   ├── ContextFull           exit 2   images and text do not fit the model's context
    │   ├── Cancelled                      the reader stopped it
    │   └── EngineDied                     the engine's process ended; it is started again
    ├── StoreError                         database or content store
    │   ├── StoreConflict                  saved over a version that is not the newest
    │   ├── StoreMissing                   not there, or not this reader's to see
    │   ├── StoreHeld                      somebody else has it in work, or did it already
    │   └── StoreRefused                   the reader's role does not allow it
    └── TuneError                          data set, training, evaluation, export
        └── TuneStopped                    somebody stopped a run; it goes on when it is started again
"""

from __future__ import annotations


class IntervalError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class InputError(IntervalError):
    """What was given cannot be used."""

    exit_code = 2


class SettingsError(InputError):
    """A setting is wrong or unsafe."""


class QuestionError(InputError):
    """The question cannot be asked: no text, no image, or too many images."""


class StudyError(InputError):
    """A file or study cannot be used; `path` names it as the user knows it."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class StudyUnreadable(StudyError):
    """Broken, truncated, empty, or not an image."""


class StudyUnsupported(StudyError):
    """Sound, but it holds no picture or no decoder for it is installed."""


class StudyTooLarge(StudyError):
    """Over a safety budget; refused before anything was allocated."""


class EngineError(IntervalError):
    """A model could not answer."""


class ModelNotLoaded(EngineError):
    """Model files are missing, damaged, or of another family."""


class ModelChanged(EngineError):
    """The engine is no longer the one that a work was begun with; figures of two models are not mixed."""


class ContextFull(EngineError):
    """Images and text do not fit the model's context."""

    exit_code = 2


class Cancelled(EngineError):
    """The reader stopped the answer."""


class EngineDied(EngineError):
    """The engine's process ended in the middle of an answer."""


class StoreError(IntervalError):
    """The database or the content store failed."""


class StoreConflict(StoreError):
    """What was to be saved starts from an older version than the one kept; `version` is the newest."""

    def __init__(self, reason: str, version: int) -> None:
        super().__init__(reason)
        self.version = version


class StoreMissing(StoreError):
    """It is not there, or not this reader's to see; nobody is told which."""


class StoreHeld(StoreError):
    """Somebody else has it in work, has done it already, or one's own time for it ran out."""


class StoreRefused(StoreError):
    """The reader's role does not allow it."""


class TuneError(IntervalError):
    """A data set, a training run, an evaluation or an export failed."""


class TuneStopped(TuneError):
    """A run was stopped by somebody, behind a checkpoint."""
