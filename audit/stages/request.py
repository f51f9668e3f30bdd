"""What is to be audited, and the files that the request names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from audit import canaries, domains, identifiers, sources
from audit.canaries import Flock
from audit.config import AuditConfig
from audit.domains import Classification
from audit.errors import ConfigurationError
from audit.inputs import resolved
from audit.model import Shard
from audit.run import Run
from audit.sources import InputPlan


@dataclass(frozen=True)
class Request:
    """What to audit: a configuration, where it stands, and inputs that override its own."""

    config: AuditConfig
    base: Path
    inputs: tuple[str, ...] = ()

    def addresses(self) -> tuple[tuple[str, ...], Path]:
        """Return the inputs, and where relative ones start."""
        if self.inputs:
            return self.inputs, Path.cwd()
        return self.config.corpus.inputs, self.base

    def known_answers(self) -> Path | None:
        """Where the items with known answers lie, if there are any."""
        name = self.config.sampling.known_answers
        return None if name is None else self.base / name

    def classification(self) -> Classification | None:
        """The user's classification of hosts and addresses, if there is one."""
        name = self.config.sampling.domains
        return None if name is None else domains.load(self.base / name)

    def canaries(self) -> Flock:
        """The packaged canaries, and the user's."""
        name = self.config.canaries
        screens = [screen.name for screen in self.config.build_screens()]
        mine = () if name is None else canaries.load(self.base / name, screens)
        return Flock((*canaries.packaged(), *mine))


def plan(request: Request) -> InputPlan:
    """The shards of the corpus, in a stable order that no setting of the engine changes."""
    config, (inputs, base) = request.config, request.addresses()
    if not inputs:
        raise ConfigurationError(
            "there is nothing to read",
            key="corpus.inputs",
            remedy="List files there, or name them after the configuration",
        )
    return sources.inspect_inputs(
        inputs, format=config.corpus.format, shard_bytes=config.run.shard_bytes, base=base
    )


def refuse_own_files(shards: Sequence[Shard], request: Request, run: Run) -> None:
    """Refuse to take the run's own files for documents, now or when the run is resumed.

    Raises:
        ConfigurationError: The run folder lies inside the corpus.
    """
    inputs, base = request.addresses()
    if run.remote is None:
        folder = run.folder.resolve()
        above = any("://" not in address and _holds(base / address, folder) for address in inputs)
        files = [shard.uri for shard in shards if "://" not in shard.uri]
        inside = any(resolved(file).startswith(f"{folder}/") for file in files)
    else:
        address = f"{run.remote.address}/"
        above = any(address.startswith(f"{each.rstrip('/')}/") for each in inputs)
        inside = any(shard.uri.startswith(address) for shard in shards)
    if above or inside:
        raise ConfigurationError(
            "the run folder lies inside the corpus, so its files would be read as documents",
            key="--out",
            remedy="Choose a folder outside the inputs, or name the inputs by a glob",
        )


def _holds(path: Path, folder: Path) -> bool:
    return path.is_dir() and folder.is_relative_to(path.resolve())


def left_out(planned: InputPlan, request: Request) -> dict[str, Any]:
    """Files in the inputs' folders that no source reads, but for hidden ones and those to be ignored.

    Objects that came while the corpus was read are among them: the next run takes them in.
    """
    corpus = request.config.corpus
    late = sources.arrivals(request.addresses()[0], planned, format=corpus.format)
    patterns = (".*", "_*", *corpus.ignore)
    sizes = {**{path: _size(planned, path) for path in planned.skipped}, **late}
    left = {
        path: size
        for path, size in sizes.items()
        if not any(fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)
    }
    suffixes = Counter(
        identifiers.mask_identifier("".join(PurePosixPath(path).suffixes[-2:])) for path in left
    )
    return {"files": len(left), "bytes": sum(left.values()), "suffixes": dict(sorted(suffixes.items()))}


def _size(planned: InputPlan, path: str) -> int:
    """Bytes of what was skipped; a folder counts by none."""
    if path in planned.skipped_bytes:
        return planned.skipped_bytes[path]
    return Path(path).stat().st_size if Path(path).is_file() else 0
