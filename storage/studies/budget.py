"""What one upload may cost. Every number a file claims is checked here before anything is allocated for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from errors import StudyTooLarge, StudyUnreadable
from settings import Settings

_MEGA = 1024 * 1024


@dataclass(frozen=True)
class Budget:
    """Limits of one upload.

    `bytes` is the largest single file; `inflated` the most bytes an archive may unpack to or a deflated file
    inflate to; `pixels` the most samples one file may claim (rows x columns x frames x samples); `entries` the
    most files; `elements` the most data elements in one file; `depth` the deepest nesting of sequences;
    `seconds` the longest one file may take to parse.
    """

    bytes: int = 1024 * _MEGA
    inflated: int = 2048 * _MEGA
    pixels: int = 1024 * 1_000_000
    entries: int = 20_000
    elements: int = 100_000
    depth: int = 64
    seconds: float = 60.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Budget:
        """The limits a site has set."""
        return cls(
            bytes=settings.max_file_mb * _MEGA,
            inflated=settings.max_upload_mb * _MEGA,
            pixels=settings.max_megapixels * 1_000_000,
            entries=settings.max_archive_entries,
        )

    def check_bytes(self, size: int) -> None:
        """Raise `StudyTooLarge` when one file of `size` bytes is over the limit."""
        if size > self.bytes:
            raise StudyTooLarge(f"is {size / _MEGA:,.0f} MB, over the limit of {self.bytes // _MEGA:,} MB for one file; raise max_file_mb")

    def check_pixels(self, rows: int, columns: int, frames: int = 1, samples: int = 1) -> None:
        """Raise `StudyUnreadable` for a dimension below 1, `StudyTooLarge` for a product over the limit (exact integers)."""
        if min(rows, columns, frames, samples) < 1:
            raise StudyUnreadable(f"claims {columns} x {rows} pixels in {frames} frames, which is no image")
        if rows * columns * frames * samples > self.pixels:
            raise StudyTooLarge(
                f"claims {columns} x {rows} pixels x {frames} frames x {samples} samples, over the limit of "
                f"{self.pixels // 1_000_000:,} megapixels; raise max_megapixels if it is real"
            )


@dataclass
class Clock:
    """Time left for one file."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Raise `StudyTooLarge` when the file has taken longer than its budget."""
        if time.monotonic() - self.started > self.seconds:
            raise StudyTooLarge(f"took longer than {self.seconds:.0f} seconds to read and was given up")
