"""The work keys of a shard's parts: what all shards share is gathered once, not for each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from audit import canary_check, facts, sources, workkeys
from audit.canaries import Flock
from audit.config import digest_json
from audit.model import Shard
from audit.screens import Screen
from audit.sources import ColumnMapping, ReadLimits
from audit.workkeys import CONTENT, READING, KeyTemplate, hole

_NAME = "the name"


@dataclass(frozen=True)
class Reading:
    """How shards become documents."""

    columns: ColumnMapping
    limits: ReadLimits

    def digest(self, format: str) -> str:
        """Digest of it for the shards of a format, hex."""
        return digest_json(
            {
                "columns": dataclasses.asdict(self.columns),
                "limits": self.limits.max_document_bytes,
                "format": format,
                "reader": dict(sources.fingerprint(format)),
                "code": workkeys.code_digest("audit.sources"),
            }
        )


class ShardKeys:
    """Gives the work keys of shards, for the facts, the rejects, every screen and the canaries.

    Args:
        screens: Of the run, each after those that it needs.
        reading: How shards become documents.
        key_id: Id of the HMAC key.
        flock: The canaries.
        rejects: Family of the records that are no documents.
    """

    def __init__(
        self, screens: Sequence[Screen], reading: Reading, key_id: str, flock: Flock, rejects: str
    ) -> None:
        self._reading, self._digests = reading, dict[str, str]()
        names = {"content": hole(CONTENT), "reading": hole(READING), "name": hole(_NAME)}
        modules = {facts.FAMILY: "audit.facts", rejects: "audit.model"}
        self._templates: dict[str, KeyTemplate] = {
            family: workkeys.derived_template(family, module, [], names) for family, module in modules.items()
        }
        self._templates |= {screen.name: workkeys.screen_template(screen, key_id) for screen in screens}
        if flock.canaries:
            inputs = [hole(screen.name) for screen in screens]
            parameters = [dataclasses.asdict(screen) for screen in screens]  # type: ignore[call-overload]
            self._templates[canary_check.FAMILY] = workkeys.derived_template(
                canary_check.FAMILY, "audit.canary_check", inputs, [flock.digest, parameters]
            )

    def of(self, shard: Shard, digest: str) -> dict[str, str]:
        """Family -> work key of the parts of a shard with that content."""
        values = {CONTENT: digest, READING: self._read(shard.format), _NAME: shard.name}
        keys: dict[str, str] = {}
        for family, template in self._templates.items():
            keys[family] = values[family] = template.key(values)
        return keys

    def _read(self, format: str) -> str:
        if format not in self._digests:
            self._digests[format] = self._reading.digest(format)
        return self._digests[format]
