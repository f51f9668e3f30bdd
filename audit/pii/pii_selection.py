"""Which recognisers a configuration switches on, and how grave each kind is under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.errors import ConfigurationError
from audit.pii import pii_profiles
from audit.pii.pii_grading import roles_digest
from audit.pii.pii_kinds import Trigger, kind_of
from audit.pii.pii_profiles import LoadedProfile
from audit.pii.pii_recognisers import BUILT_IN, Recogniser, RecogniserFile, built_in
from audit.pii.presidio import Recogniser as PresidioRecogniser
from audit.pii.presidio import recognisers

#: Countries whose identifiers Presidio knows and whose main language it registers them under.
LANGUAGE_COUNTRIES: Mapping[str, tuple[str, ...]] = {
    "de": ("de",),
    "en": ("us", "uk", "ca"),
    "es": ("es",),
    "fi": ("fi",),
    "it": ("it",),
    "ko": ("kr",),
    "pl": ("pl",),
    "sv": ("se",),
    "th": ("th",),
    "tr": ("tr",),
}
#: Where disguised values are looked for.
_DISGUISED = (Trigger.EMAIL, Trigger.NUMBER, Trigger.PHONE)


@dataclass(frozen=True)
class Selection:
    """What is searched for.

    Attributes:
        presidio: Presidio's recognisers.
        patterns: Recognisers that are data: built in, and the user's own.
        profile: Kinds and severities.
        custom: The user's file, when there is one.
    """

    presidio: tuple[PresidioRecogniser, ...]
    patterns: tuple[Recogniser, ...]
    profile: LoadedProfile
    custom: RecogniserFile | None

    def disguised(self) -> tuple[PresidioRecogniser, ...]:
        """Recognisers that also read what is undone of disguises."""
        return tuple(r for r in self.presidio if kind_of(r.supported_entities[0]).trigger in _DISGUISED)

    def severity(self, kind: str, own: str | None) -> str:
        """Usual severity of a kind: the profile's, else the recogniser's own, else the kind's."""
        return self.profile.profile.severity(kind) or own or kind_of(kind).severity

    def digests(self) -> dict[str, str]:
        """Digests of the files that decide what is found."""
        found = {f"recognisers {name}": built_in(name).digest for name in BUILT_IN}
        found["role addresses"] = roles_digest()
        found[f"profile {self.profile.name}"] = self.profile.digest
        return found if self.custom is None else {**found, "custom recognisers": self.custom.digest}


def select(
    countries: Sequence[str],
    languages: Sequence[str],
    entities: Sequence[str],
    phone_regions: Sequence[str],
    profile: str,
    custom: RecogniserFile | None,
) -> Selection:
    """Build what a configuration switches on.

    Args:
        countries, phone_regions: See ``audit.pii.presidio.recognisers``.
        languages: Codes of ``LANGUAGE_COUNTRIES``; their countries are added.
        entities: Kinds to search for instead of the profile's, Presidio's and ours.
        profile: Name of a profile.
        custom: The user's recognisers; on whatever the profile or ``entities`` say.

    Raises:
        ConfigurationError: An unknown name, or a profile together with entities.
    """
    loaded = pii_profiles.load(profile)
    if entities and profile != "default":
        raise ConfigurationError(
            "entities and a profile exclude one another", key="screens.pii.entities", remedy="Leave one out"
        )
    own = [each for name in BUILT_IN for each in built_in(name).recognisers]
    nations = (*countries, *_countries(languages))
    mine = custom.recognisers if custom else ()
    if entities:
        ours = {each.kind for each in own}
        wanted = [name for name in entities if name not in ours or name == "CRYPTO"]
        chosen = recognisers(nations, wanted, phone_regions) if wanted else _checked(nations, phone_regions)
        patterns = [each for each in own if each.kind in entities]
    else:
        chosen = _of_profile(loaded, nations, phone_regions)
        patterns = [each for each in own if loaded.profile.holds(each.kind)]
    return Selection(tuple(chosen), (*patterns, *mine), loaded, custom)


def _checked(countries: Sequence[str], phone_regions: Sequence[str]) -> list[PresidioRecogniser]:
    recognisers(countries, (), phone_regions)
    return []


def _of_profile(
    loaded: LoadedProfile, countries: Sequence[str], phone_regions: Sequence[str]
) -> list[PresidioRecogniser]:
    profile = loaded.profile
    usual = recognisers(countries, (), phone_regions)
    chosen = [each for each in usual if profile.holds(each.supported_entities[0])]
    return [*chosen, *(recognisers(countries, profile.searched, phone_regions) if profile.searched else ())]


def _countries(languages: Sequence[str]) -> list[str]:
    for language in languages:
        if language not in LANGUAGE_COUNTRIES:
            remedy = f"Known are {', '.join(LANGUAGE_COUNTRIES)}"
            raise ConfigurationError(
                f"unknown language {language!r}", key="screens.pii.languages", remedy=remedy
            )
    return [country for language in languages for country in LANGUAGE_COUNTRIES[language]]
