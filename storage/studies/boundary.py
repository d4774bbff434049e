"""The one border between other people's parsers and us: whatever they throw becomes one `StudyError` sentence.

pydicom alone raises eight different exception types on mutated files; nothing above this module needs to know.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from errors import StudyError, StudyTooLarge, StudyUnreadable

_PARSERS = r"(pydicom|nibabel|PIL|tifffile|imagecodecs|jpeg_ls|openjpeg|rle|dicomanonymizer|storage\.studies)(\..*)?$"

# Parsers log and warn with values from the file; those may be a patient's. What matters becomes a notice of ours.
for _name in ("pydicom", "nibabel.global", "PIL", "tifffile"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


_front: list[object] = []


def quiet() -> None:
    """Silence the parsers' warnings; a decompression bomb stays an error. Cheap and idempotent: the filters are set when not in front."""
    if _front and list(warnings.filters[: len(_front)]) == _front:
        return
    warnings.filterwarnings("ignore", category=Warning, module=_PARSERS)
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    _front[:] = warnings.filters[:2]


@contextmanager
def typed(name: str | Path) -> Iterator[None]:
    """Turn every failure inside into a `StudyError` that carries the file's `name`."""
    quiet()
    try:
        yield
    except StudyError as error:
        if error.path:
            raise
        raise type(error)(error.reason, str(name)) from error
    except MemoryError as error:
        raise StudyTooLarge("needs more memory than there is; open fewer or smaller files", str(name)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise StudyTooLarge("unpacks to more pixels than the limit; raise max_megapixels if it is real", str(name)) from error
    except RecursionError as error:
        raise StudyUnreadable("nests its sequences too deep to be an image", str(name)) from error
    except PermissionError as error:
        raise StudyUnreadable("may not be read by this program; change its permissions", str(name)) from error
    except FileNotFoundError as error:
        raise StudyUnreadable("is not there; check the path", str(name)) from error
    except Exception as error:
        raise StudyUnreadable(f"is damaged or not what it says it is ({type(error).__name__}); export it again", str(name)) from error
