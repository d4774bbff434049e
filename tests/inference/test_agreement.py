"""What the page says of how often a processor answers as the full model."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from inference.parity import Counted


@pytest.mark.parametrize(("equal", "asked"), [(0, 7), (29, 30), (120, 120), (1, 1)])
def test_the_interval_is_wilsons(equal: int, asked: int) -> None:
    """120 of 120 is no proof of always: resampling what never failed gave an interval of 1.00 to 1.00."""
    low, high = binomtest(equal, asked).proportion_ci(method="wilson")
    assert Counted(asked=asked, equal=equal).interval == pytest.approx((low, high), abs=1e-6)
