"""Sketches that another run left in its folder: what a corpus is compared with, without texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.duplicates.exchange import Result, Task, threads
from audit.errors import ConfigurationError
from audit.storage import packs
from audit.storage.packs import Member
from audit.storage.store import Part, Store

_KEY = "screens.near_duplicates.references"


@dataclass(frozen=True)
class ReferenceSketches:
    """The sketch columns of a reference.

    Attributes:
        name: The run folder, as the configuration names it.
        files: Its parts by name, in shard order: a file, or a member of a pack.
    """

    name: str
    files: tuple[tuple[str, Path | Member], ...]

    @classmethod
    def open(
        cls,
        name: str,
        screen: str,
        parameters: Mapping[str, object],
        measures: Sequence[str],
        resources: Mapping[str, str],
    ) -> ReferenceSketches:
        """Open the folder of a run that sketched with the same parameters.

        Args:
            name: The folder.
            screen: Whose sketches.
            parameters: What they must have been made with.
            measures: Columns that they must hold.
            resources: Versions that they must have been made with.

        Raises:
            ConfigurationError: No run, no sketches in it, or sketches that cannot be compared.
        """
        manifest = _manifest(name)
        used = manifest["configuration"].get("screens", {}).get(screen, {})
        expected = {key: value for key, value in manifest.get("models", {}).items() if key.startswith(screen)}
        theirs = {**used, **{key.removeprefix(f"{screen}."): value for key, value in expected.items()}}
        for parameter, value in {**parameters, **resources}.items():
            if theirs.get(parameter) != value:
                raise _incomparable(
                    name, f"{parameter} is {theirs.get(parameter)!r} there and {value!r} here"
                )
        store = Store(Path(name) / "parts")
        files: dict[str, Path | Member] = {
            path.rpartition("/")[2]: store.folder / path for path in store.members(screen)
        }
        for pack in packs.standing(store.folder, screen):
            files |= {Part(screen, m.shard, m.key).relative.rpartition("/")[2]: m for m in pack.members()}
        if not files:
            raise ConfigurationError(
                f"the reference {name!r} holds no sketches", key=_KEY, remedy="Audit it again"
            )
        wanted = {f"{screen}_{measure}" for measure in measures}
        holding = {file if isinstance(file, Path) else file.pack.path for file in files.values()}
        if any(not wanted <= set(pq.read_schema(path).names) for path in holding):
            raise _incomparable(name, "its sketches are those of another version")
        return cls(name, tuple(sorted(files.items())))

    @property
    def keys(self) -> list[str]:
        """Names of the parts, which hold their work keys."""
        return [f"{self.name}:{file}" for file, _ in self.files]

    @property
    def shards(self) -> Sequence[str]:
        """Shard ids, sorted."""
        return [file.split(".")[0] for file, _ in self.files]

    def split(self) -> Sequence[ReferenceSketches]:
        """The same, a shard each."""
        return [ReferenceSketches(self.name, (file,)) for file in self.files]

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield a result a task, in their order: from threads, since workers need not see the reference."""
        return threads(function, tasks)

    def read(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield (shard, table) in shard order; ``position`` first."""
        wanted = ["position", *columns]
        for shard, (_, file) in zip(self.shards, self.files, strict=True):
            if isinstance(file, Path):
                yield shard, pq.read_table(file, columns=wanted, partitioning=None)
            else:
                yield shard, file.read(wanted)


def _manifest(name: str) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads((Path(name) / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the reference {name!r} is not the folder of a completed run ({type(error).__name__})",
            key=_KEY,
            remedy="Name a folder that `audit run … --out` wrote, from the working directory",
        ) from None
    return loaded


def _incomparable(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the sketches of the reference {name!r} cannot be compared: {why}",
        key=_KEY,
        remedy="Audit both with the same parameters of near_duplicates",
    )
