"""From a file to an image of a question."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from inference.images import frame_image
from storage import studies


def test_a_frame_becomes_an_image_with_its_role_and_time(tmp_path: Path) -> None:
    Pillow.fromarray(np.full((40, 30), 200, np.uint8)).save(tmp_path / "a.png")
    (study,) = studies.read([tmp_path / "a.png"]).studies
    image = frame_image(study.series[0].frames[0], "prior", "14 days earlier")
    assert (image.role, image.when) == ("prior", "14 days earlier")
    assert image.pixels.shape == (40, 30, 3)
    assert {int(value) for value in image.pixels.ravel()} == {200}
