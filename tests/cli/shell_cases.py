"""What the tests of the command line share."""

from __future__ import annotations

SPACING = (0.2, 0.08, 0.08)
