"""From files to the images of a question."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from errors import QuestionError, StudyError
from inference.images import load_images
from settings import Settings


def png(path: Path, level: int) -> Path:
    Pillow.fromarray(np.full((40, 30), level, np.uint8)).save(path)
    return path


def test_two_pictures_become_two_images_in_the_order_given(settings: Settings, tmp_path: Path) -> None:
    paths = [png(tmp_path / "b.png", 200), png(tmp_path / "a.png", 10)]
    loaded = load_images(paths, settings, ("prior", "current"))
    assert [(image.role, int(image.pixels.mean())) for image in loaded.images] == [("prior", 200), ("current", 10)]
    assert loaded.relationship == "temporal"
    assert loaded.images[0].pixels.shape == (40, 30, 3)


def test_what_cannot_be_loaded_names_the_file(settings: Settings, tmp_path: Path) -> None:
    good, empty = png(tmp_path / "good.png", 9), tmp_path / "empty.dcm"
    empty.write_bytes(b"")
    with pytest.raises(StudyError, match=r"empty\.dcm"):
        load_images([good, empty], settings)
    with pytest.raises(StudyError, match="no-such"):
        load_images([tmp_path / "no-such-folder"], settings)


@pytest.mark.parametrize(
    ("count", "roles", "said"),
    [(0, (), "no image was given"), (9, (), "9 images were given and at most 8"), (2, ("prior",), "1 roles were given for 2 images")],
)
def test_a_wrong_number_of_images_or_roles_is_refused(
    settings: Settings, tmp_path: Path, count: int, roles: tuple[str, ...], said: str
) -> None:
    with pytest.raises(QuestionError, match=said):
        load_images([tmp_path / "x.png"] * count, settings, roles)
