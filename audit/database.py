"""``audit.duckdb``: small tables, and views over the parts. Rebuilt whole and swapped in."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import duckdb
import pyarrow as pa

from audit import sampled_rows, views
from audit.dimensions import dimensions
from audit.resolving import RESOLVED
from audit.screens import MeasuringCorpusScreen, Screen, duplicate_screen, is_corpus_wide
from audit.slicing import SLICES
from audit.storage.packs import LISTS
from audit.storage.store import disk_errors
from audit.totals import FAMILY as TOTALS
from audit.workers.memory import MIB, database_bytes, reading_bytes

FILE = "audit.duckdb"
AGGREGATES = "aggregates"
#: Families whose parts differ in their columns.
_MIXED = (AGGREGATES, LISTS)
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_MOST_THREADS = 4
RENAMED = "renamed_documents"
#: Tables that follow from the parts alone: counted once by the pass, and taken over by every evaluation.
COUNTED = (
    RENAMED,
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


def connect(folder: Path, memory: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open a run's database read-only, its views bound to that folder from any working directory.

    What a query holds beyond its memory goes to files beside the database, until it is closed.

    Args:
        folder: Of the run.
        memory: What ``run.memory`` says, in bytes.
    """
    limits = _limits(reading_bytes(memory))
    config = _SETTINGS | limits | {"file_search_path": str(folder.resolve())}
    return duckdb.connect(str(folder / FILE), read_only=True, config=config)


@contextmanager
def workbench(scratch: Path, memory: int | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own with the tables of the schema, empty; gone when the context ends.

    Args:
        scratch: A folder; takes what the memory cannot hold.
        memory: What ``run.memory`` says, in bytes.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with disk_errors(), tempfile.TemporaryDirectory(prefix="counts-", dir=scratch) as folder:
        config = _SETTINGS | _limits(database_bytes(memory)) | {"temp_directory": folder}
        with duckdb.connect(config=config) as db:
            db.execute(_schema())
            yield db


def insert(db: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Append rows to a table, matched by column name."""
    db.register("incoming", rows)
    db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
    db.unregister("incoming")


def _schema() -> str:
    return (resources.files("audit") / "schema.sql").read_text(encoding="utf-8")


def _limits(memory: int) -> dict[str, str | bool | int | float | list[str]]:
    """Settings that bound what DuckDB holds: each of its threads takes a share of its own."""
    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    return {"memory_limit": f"{memory // MIB}MiB", "threads": threads}


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
        memory: What ``run.memory`` says, in bytes.
    """

    def __init__(
        self,
        folder: Path,
        screens: Sequence[Screen],
        files: Mapping[str, Sequence[str]],
        memory: int | None = None,
    ) -> None:
        self._folder, self._screens, self._files = folder, tuple(screens), files
        self._scratch = tempfile.TemporaryDirectory(prefix=".database-", dir=folder)
        self._path = Path(self._scratch.name) / FILE
        limits = _limits(database_bytes(memory)) | {"temp_directory": self._scratch.name}
        config = _SETTINGS | limits | {"file_search_path": str(folder.resolve())}
        self.db = duckdb.connect(str(self._path), config=config)
        self.db.execute(_schema())
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
        insert(self.db, table, rows)

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
    folder: Path, screens: Sequence[Screen], files: Mapping[str, Sequence[str]], memory: int | None = None
) -> Iterator[Builder]:
    """A builder that is cleaned up whatever happens."""
    builder = Builder(folder, screens, files, memory)
    try:
        yield builder
    finally:
        builder.close()
