"""How long a request took: the parent's clock and what its child says of its own work, as one `Timings`."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any

from inference.engine import Timings


@dataclass
class Meter:
    """Collects the timings of one request."""

    started: float
    load_s: float = 0.0
    first_token_s: float = 0.0
    tokens: int = 0

    def timings(self, head: dict[str, Any]) -> Timings:
        """All figures, the child's own among them."""
        names = {field.name for field in fields(Timings)}
        own = {name: value for name, value in head.items() if name in names}
        total = time.monotonic() - self.started
        mine = {"load_s": self.load_s, "first_token_s": self.first_token_s, "tokens": self.tokens, "total_s": total}
        return Timings(**(own | mine))
