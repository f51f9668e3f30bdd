"""Renderers: a scorecard in, a file's text out. They measure nothing and decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from audit.errors import ConfigurationError
from audit.renderers import html, json, markdown

#: Format -> what renders it; the file is ``scorecard.<format>``.
RENDERERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "html": html.render,
    "json": json.render,
    "md": markdown.render,
}


def render(scorecard: Mapping[str, Any], format: str) -> str:
    """Render a scorecard (``audit.scorecard.build``) in one of ``RENDERERS``.

    Raises:
        ConfigurationError: No such format.
    """
    if format not in RENDERERS:
        raise ConfigurationError(f"no format {format!r}", remedy=f"Choose from {', '.join(RENDERERS)}")
    return RENDERERS[format](scorecard)
