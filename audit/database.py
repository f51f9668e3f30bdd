"""``audit.duckdb``: small tables, and views over the parts. Rebuilt whole and swapped in."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from audit import sampled_rows, views
from audit.dimensions import REPORTED, dimensions
from audit.packs import LISTS
from audit.resolving import RESOLVED
from audit.screens import MeasuringCorpusScreen, Screen, duplicate_screen, is_corpus_wide
from audit.slicing import SLICES
from audit.store import disk_errors
from audit.totals import FAMILY as TOTALS

FILE = "audit.duckdb"
AGGREGATES = "aggregates"
#: Families whose parts differ in their columns.
_MIXED = (AGGREGATES, LISTS)
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_LARGEST_CLUSTERS = 50
_BY = ("all", *REPORTED)
_MOST_ALARMS = 1000
_CLUSTER_MEMBERS = 3
_PREVIEWS = 3
#: Tables that follow from the parts alone: counted once by the pass, and taken over by every evaluation.
COUNTED = (
    "renamed_documents",
    "evaluations",
    "part_sizes",
    "slice_counts",
    "finding_counts",
    "reject_counts",
    "cluster_counts",
    "cluster_members",
    "cluster_diffs",
    "duplicate_alarms",
    "paragraph_counts",
    "repeated_paragraphs",
    "canary_counts",
    "previews",
)
#: A table that follows from the parts and from what was judged when the pass ended.
JUDGED = "judged_documents"
_PARAGRAPHS = "repeated_paragraphs"


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a run's database read-only, its views bound to that folder from any working directory."""
    config = _SETTINGS | {"file_search_path": str(folder.resolve())}
    return duckdb.connect(str(folder / FILE), read_only=True, config=config)


def families(db: duckdb.DuckDBPyConnection, names: Collection[str] | None) -> set[str]:
    """Families of parts that views read, directly or through other views.

    Args:
        db: A run's database.
        names: Tables and views; None: all.
    """
    views_of_parts = re.compile(r'parts\."?([\w.]+)"?')
    sources = dict(
        db.execute(
            "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
        ).fetchall()
    )
    waiting = set(sources if names is None else names) & set(sources)
    seen: set[str] = set()
    while waiting:
        seen |= waiting
        used = {
            word for name in waiting for word in re.findall(r"\w+", views_of_parts.sub(" ", sources[name]))
        }
        waiting = (used & set(sources)) - seen
    return {family for name in seen for family in views_of_parts.findall(sources[name])}


class Builder:
    """A database under construction beside the one that stands.

    Args:
        folder: Of the run.
        screens: Of the run.
        files: Family -> paths of its files, relative to the run.
    """

    def __init__(self, folder: Path, screens: Sequence[Screen], files: Mapping[str, Sequence[str]]) -> None:
        self._folder, self._screens, self._files = folder, tuple(screens), files
        self._scratch = tempfile.TemporaryDirectory(prefix=".database-", dir=folder)
        self._path = Path(self._scratch.name) / FILE
        config = _SETTINGS | {
            "file_search_path": str(folder.resolve()),
            "temp_directory": self._scratch.name,
        }
        self.db = duckdb.connect(str(self._path), config=config)
        self.db.execute((resources.files("audit") / "schema.sql").read_text(encoding="utf-8"))
        hidden = {screen.name for screen in screens if is_corpus_wide(screen)}.union(_MIXED)
        for family, paths in sorted(files.items()):
            if family not in hidden:  # sketches are in no view
                self.db.execute(views.bind(family, paths))
        self.db.execute(views.cell_counts(standing=self.stands(TOTALS)))

    def schema(self, table: str) -> pa.Schema:
        """Arrow types of a table's columns."""
        return self.db.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows, matched by column name."""
        self.db.register("incoming", rows)
        self.db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        self.db.unregister("incoming")

    def insert_sampled(self, rows: pa.Table) -> None:
        """Add documents of a sample (``audit.sampled_rows``) that another sample has not brought."""
        self.db.register("incoming", rows)
        self.db.execute(
            """INSERT INTO sampled_documents BY NAME
            SELECT incoming.* REPLACE (
                coalesce(renamed.doc_id, incoming.doc_id) AS doc_id,
                lower(hex(incoming.text_digest)) AS text_digest)
            FROM incoming LEFT JOIN renamed_documents AS renamed USING (shard, position)
            ANTI JOIN sampled_documents USING (shard, position) ORDER BY shard, position"""
        )
        self.db.unregister("incoming")

    def insert_draws(self, phase: str, draws: pa.Table) -> None:
        """Append draws (stratum, shard, position, draw, inclusion_probability) under their documents' ids."""
        self.db.register("incoming", draws)
        self.db.execute(
            f"""INSERT INTO samples BY NAME
            SELECT sampled_documents.doc_id, '{phase}' AS phase, incoming.* FROM incoming
            JOIN sampled_documents USING (shard, position) ORDER BY stratum, draw"""
        )
        self.db.unregister("incoming")

    def take_over(self, table: str, path: str) -> None:
        """Fill a table from a file below the run."""
        self.db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM read_parquet(?)", [path])

    def create_views(self) -> None:
        """Make the views over the parts that stand; ``renamed_documents`` must be filled."""
        for name, (family, _) in views.BASE.items():
            self.db.execute(views.base(name, standing=self.stands(family)))
        self._create_sampled()
        renamed = self.db.execute("SELECT count(*) FROM renamed_documents").fetchone() != (0,)
        located = [s for s in self._screens if not is_corpus_wide(s) and self.stands(s.name)]
        resolved = [(s.name, list(s.resolved)) for s in self._measuring()]
        measured = [(s.name, list(s.measures)) for s in located]
        self.db.execute(views.documents(measured, resolved, renamed=renamed))
        self.db.execute(views.findings([s.name for s in located], renamed=renamed))
        self.db.execute(views.SUBJECTS)
        self.db.execute(views.duplicates(self.duplicate_screen(), renamed=renamed))
        self.db.execute(views.reference_matches(renamed=renamed))

    def _create_sampled(self) -> None:
        """The table of what is known of sampled documents; its columns follow from the screens."""
        columns = {"doc_id": "VARCHAR", "shard": "VARCHAR", "position": "BIGINT", "url": "VARCHAR"}
        columns |= {"text_digest": "VARCHAR", "n_tokens": "BIGINT"}
        if self.stands(SLICES):
            sliced = self.db.execute(f"DESCRIBE {views.parts(SLICES)}").fetchall()
            columns |= {name: "VARCHAR" for name, *_ in sliced if name not in columns}
        else:
            columns |= dict.fromkeys(dimensions(self._screens), "VARCHAR")
        for name, kept in sampled_rows.detecting(self._screens).items():
            if self.stands(name):
                described = self.db.execute(f"DESCRIBE {views.parts(name)}").fetchall()
                columns |= {column: kind for column, kind, *_ in described if column in kept}
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self.db.execute(f"CREATE TABLE sampled_documents ({listed})")

    def count(self) -> None:
        """Fill the tables of ``COUNTED`` that are counted over the views."""
        self.db.execute(views.COUNT_REJECTS)
        self.db.execute(views.COUNT_CANARIES)
        if self.db.execute("SELECT count(*) FROM cell_counts").fetchall() == [(0,)]:
            return  # no document, nothing more to count
        for dimension in _BY:
            for screen in self._screens:
                if "flagged" in screen.measures:
                    self.db.execute(views.count_flagged(screen.name, dimension))
            if (screen_of_copies := self.duplicate_screen()) is not None:
                self.db.execute(views.count_copies(screen_of_copies, dimension))
            self.db.execute(views.count_findings(dimension))
        self.db.execute(views.largest_clusters(_LARGEST_CLUSTERS))
        self.db.execute(views.CLUSTER_MEMBERS.format(count=_CLUSTER_MEMBERS))
        self.db.execute(views.CLUSTER_DIFFS)
        self.db.execute(views.PREVIEWS.format(count=_PREVIEWS))
        for dimension in views.ALARM_DOCUMENTS:
            self.db.execute(views.alarms(dimension, _MOST_ALARMS))
        if any(screen.name == _PARAGRAPHS for screen in self._measuring()):
            for dimension in _BY:
                self.db.execute(views.count_paragraphs(_PARAGRAPHS, dimension))

    def find_judged(self, judged: pa.Table) -> None:
        """Fill ``judged_documents`` with those of ``judged`` (doc_id, text_digest) that the corpus holds."""
        self.db.register("judged", judged)
        self.db.execute(views.JUDGED)
        self.db.unregister("judged")

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
        return bool(self._files.get(family))


@contextmanager
def building(
    folder: Path, screens: Sequence[Screen], files: Mapping[str, Sequence[str]]
) -> Iterator[Builder]:
    """A builder that is cleaned up whatever happens."""
    builder = Builder(folder, screens, files)
    try:
        yield builder
    finally:
        builder.close()
