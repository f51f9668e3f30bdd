"""``audit.duckdb``: small tables, and views over the parts. Rebuilt whole and swapped in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from audit import views
from audit.dimensions import REPORTED
from audit.resolving import RESOLVED
from audit.screens import MeasuringCorpusScreen, Screen, duplicate_screen, is_corpus_wide
from audit.slicing import CELLS
from audit.store import disk_errors

FILE = "audit.duckdb"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_LARGEST_CLUSTERS = 50
_BY = ("all", *REPORTED)
_MOST_ALARMS = 1000
_PARAGRAPHS = "repeated_paragraphs"


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a run's database read-only, its views bound to that folder from any working directory."""
    config = _SETTINGS | {"file_search_path": str(folder.resolve())}
    return duckdb.connect(str(folder / FILE), read_only=True, config=config)


class Builder:
    """A database under construction beside the one that stands."""

    def __init__(self, folder: Path, screens: Sequence[Screen]) -> None:
        self._folder, self._screens = folder, tuple(screens)
        self._scratch = tempfile.TemporaryDirectory(prefix=".database-", dir=folder)
        self._path = Path(self._scratch.name) / FILE
        config = _SETTINGS | {
            "file_search_path": str(folder.resolve()),
            "temp_directory": self._scratch.name,
        }
        self.db = duckdb.connect(str(self._path), config=config)
        self.db.execute((resources.files("audit") / "schema.sql").read_text(encoding="utf-8"))

    def schema(self, table: str) -> pa.Schema:
        """Arrow types of a table's columns."""
        return self.db.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows, matched by column name."""
        self.db.register("incoming", rows)
        self.db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        self.db.unregister("incoming")

    def insert_draws(self, phase: str, draws: pa.Table) -> None:
        """Append draws (stratum, shard, position, draw, inclusion_probability) under their documents' ids."""
        self.db.register("incoming", draws)
        self.db.execute(
            f"""INSERT INTO samples BY NAME
            SELECT documents.doc_id, '{phase}' AS phase, incoming.* FROM incoming
            JOIN documents USING (shard, position) ORDER BY stratum, draw"""
        )
        self.db.unregister("incoming")

    def create_views(self) -> None:
        """Make the views over the parts that stand."""
        for name, (family, _) in views.BASE.items():
            self.db.execute(views.base(name, standing=self.stands(family)))
        self.db.execute(views.RENAME)
        renamed = self.db.execute("SELECT count(*) FROM renamed_documents").fetchone() != (0,)
        located = [s for s in self._screens if not is_corpus_wide(s) and self.stands(s.name)]
        resolved = [(s.name, list(s.resolved)) for s in self._measuring()]
        measured = [(s.name, list(s.measures)) for s in located]
        self.db.execute(views.documents(measured, resolved, renamed=renamed))
        self.db.execute(views.findings([s.name for s in located], renamed=renamed))
        self.db.execute(views.SUBJECTS)
        self.db.execute(views.duplicates(self.duplicate_screen(), renamed=renamed))
        self.db.execute(views.reference_matches(renamed=renamed))

    def count(self) -> None:
        """Fill the additive count tables."""
        if not self.stands(CELLS) or self.db.execute("SELECT count(*) FROM cells").fetchall() == [(0,)]:
            return  # no document, nothing to count
        for dimension in _BY:
            for screen in self._screens:
                if "flagged" in screen.measures:
                    self.db.execute(views.count_flagged(screen.name, dimension))
            if (screen_of_copies := self.duplicate_screen()) is not None:
                self.db.execute(views.count_copies(screen_of_copies, dimension))
            self.db.execute(views.count_findings(dimension))
        self.db.execute(views.largest_clusters(_LARGEST_CLUSTERS))
        self.db.execute(views.CLUSTER_DIFFS)
        for dimension in views.ALARM_DOCUMENTS:
            self.db.execute(views.alarms(dimension, _MOST_ALARMS))
        if any(screen.name == _PARAGRAPHS for screen in self._measuring()):
            for dimension in _BY:
                self.db.execute(views.count_paragraphs(_PARAGRAPHS, dimension))

    def insert_paragraphs(self, examples: Sequence[Mapping[str, Any]]) -> None:
        """Append the most repeated paragraphs (hash, documents, bytes, shard, position)."""
        for row in examples:
            self.db.execute(
                """INSERT INTO repeated_paragraphs
                SELECT $hash, $documents, $bytes, doc_id FROM documents
                WHERE shard = $shard AND position = $position""",
                dict(row),
            )

    def duplicate_screen(self) -> str | None:
        """The screen whose clusters are the run's."""
        return duplicate_screen(self._screens)

    def _measuring(self) -> list[MeasuringCorpusScreen]:
        """Corpus-wide screens whose measurements stand."""
        return [
            screen
            for screen in self._screens
            if isinstance(screen, MeasuringCorpusScreen) and self.stands(f"{screen.name}{RESOLVED}")
        ]

    def publish(self) -> None:
        """Close and swap in, in one step."""
        with disk_errors():
            self.db.execute("CHECKPOINT")
            self.db.close()
            with self._path.open("rb") as handle:
                os.fsync(handle.fileno())
            self._path.replace(self._folder / FILE)

    def close(self) -> None:
        """Drop what was not published."""
        self.db.close()
        self._scratch.cleanup()

    def stands(self, family: str) -> bool:
        """Whether the family has a part."""
        return any((self._folder / "parts" / family).glob("*.parquet"))


@contextmanager
def building(folder: Path, screens: Sequence[Screen]) -> Iterator[Builder]:
    """A builder that is cleaned up whatever happens."""
    builder = Builder(folder, screens)
    try:
        yield builder
    finally:
        builder.close()
