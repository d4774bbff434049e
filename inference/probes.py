"""The requests that trust checks put in place of a reader's own: other pictures or fewer words, everything else as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference import pixels
from inference.engine import Request
from inference.reading import in_time, showing

GREY = 128
BLIND_SIDE = 64
"""Side in pixels of the grey picture; one for every question, so that an engine encodes it once."""


def without_images(request: Request) -> Request:
    """The request with one small grey picture in every place; roles, times and all other words stay, those of marks among them."""
    blank = np.full((BLIND_SIDE, BLIND_SIDE), GREY, dtype=np.uint8)
    grey = pixels.image(blank)
    return replace(request, images=tuple(replace(image, pixels=grey.pixels, sha256=grey.sha256) for image in request.images))


def identical(request: Request, mark: str = "") -> Request:
    """The request with the current picture (that of the last time point, when no role says which) in every place.

    Of a question about a mark that another picture bears it is that one, so that what is asked of is there.
    """
    images = request.images
    current = next((image for image in images if image.role.lower() == "current"), images[in_time(images)[-1]])
    bearing = [image for image in (current, *images) if any(one.label == mark for one in image.marks)]
    return replace(request, images=tuple(showing(image, bearing[0] if bearing else current) for image in images))


def undated(request: Request) -> Request:
    """The request without what it tells of time: how long ago each image was made, and the patient's age."""
    clinical = tuple((name, told) for name, told in request.clinical if name != "Age")
    return replace(request, images=tuple(replace(image, when="") for image in request.images), clinical=clinical)
