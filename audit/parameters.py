"""From the parameters of a configuration to a member of a family: a screen or a probe."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from audit.errors import ConfigurationError


def build_member(
    family: str, known: Mapping[str, type[Any]], name: str, parameters: Mapping[str, Any]
) -> Any:
    """A member with these parameters and defaults for the others.

    Args:
        family: ``screens`` or ``probes``: the section of the configuration.
        known: The family's members by name.
        name: Of the member.
        parameters: By name; those of nested settings as mappings.

    Raises:
        ConfigurationError: Unknown member or parameter, or a value of the wrong type.
    """
    if name not in known:
        raise ConfigurationError(
            f"unknown {family.removesuffix('s')} {name!r}",
            key=f"{family}.{name}",
            remedy=nearest(name, known, f"Known {family}"),
        )
    _refuse_unknown(known[name], parameters, f"{family}.{name}")
    try:
        return TypeAdapter(known[name]).validate_python(dict(parameters))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            first["msg"], key=f"{family}.{name}.{place}".rstrip("."), remedy=f"See `audit screens {name}`"
        ) from None


def _refuse_unknown(cls: type[Any], parameters: Mapping[str, Any], key: str) -> None:
    """Refuse a parameter that the class, or a setting nested in it, does not have."""
    fields = [field.name for field in dataclasses.fields(cls)]
    hints = get_type_hints(cls)
    for name, value in parameters.items():
        if name not in fields:
            raise ConfigurationError(
                f"unknown parameter {name!r}",
                key=f"{key}.{name}",
                remedy=nearest(name, fields, "Known parameters"),
            )
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            _refuse_unknown(hints[name], value, f"{key}.{name}")


def nearest(word: str, known: Sequence[str] | Mapping[str, object], label: str) -> str:
    """The known word that was probably meant, and all of them."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    listing = f"{label}: {', '.join(sorted(known))}"
    return f"Did you mean {close[0]!r}? {listing}" if close else listing
