"""Presidio's recognisers, imported without the deep-learning libraries that it looks for on the way.

Presidio's package imports PyTorch, transformers and others where they are installed: three seconds of CPU
time and hundreds of megabytes in every worker, of which its recognisers need nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_HEAVY = ("torch", "transformers", "tensorflow", "mxnet", "cupy", "jax", "stanza", "gliner", "langextract")


@contextmanager
def absent(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of packages fail for a while, as if they were not installed; those that are loaded stay."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with absent(_HEAVY):
    from presidio_analyzer import Pattern, PatternRecognizer, predefined_recognizers
    from presidio_analyzer.predefined_recognizers import EmailRecognizer, IbanRecognizer, PhoneRecognizer

__all__ = [
    "EmailRecognizer",
    "IbanRecognizer",
    "Pattern",
    "PatternRecognizer",
    "PhoneRecognizer",
    "absent",
    "predefined_recognizers",
]
