"""The scorecard as JSON: for programs, and the truth that the other pages show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(scorecard: Mapping[str, Any]) -> str:
    """Indented, with sorted keys: the same scorecard gives the same bytes."""
    return json.dumps(scorecard, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
