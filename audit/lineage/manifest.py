"""The manifest: what went into a run, so that its result can be attributed and made again.

It names no host and no user, and carries no time: the same evidence gives the same bytes. When things
happened stands in the journal.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import pyarrow as pa

import audit
from audit.config import digest_json
from audit.errors import ConfigurationError
from audit.identifiers import mask_identifier, mask_identifiers
from audit.storage.durable_files import written_atomically

SCHEMA_VERSION = 1
_INPUTS = '\n  "inputs": '

#: Extras of this distribution that cannot change a result.
_TOOLING = {"dev", "bench", "peers"}

_BUILT = {".pyc", ".pyo", ".nbi", ".nbc"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")

#: Query parameters and configuration keys that grant access. Whole families of a signing scheme go,
#: so that a link signed anew is the same input.
_SECRET_NAME = re.compile(
    r"x-(?:amz|goog|ms|oss|obs|cos)-[\w-]+|awsaccesskeyid|googleaccessid|signature|policy|key-pair-id|sig|"
    r"(?:[\w.-]*[_-])?(?:token|secret|password|passwd|pwd|credentials?)|secret[_-]?\w*|\w*api[_-]?key|"
    r"access[_-]?key(?:[_-]?id)?|account[_-]?key|private[_-]?key|auth|authorization",
    re.IGNORECASE,
)
_QUERY = re.compile(r"([?#])([^?#\s]*)")
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]*)@")

#: Schemes that write ``container@account``; without a colon that is no credential.
_CONTAINER_SCHEMES = {"abfs", "abfss", "wasb", "wasbs"}

REMOVED = "(removed)"

#: A distribution's normalised name, and which of its extras are wanted.
_Requirement: TypeAlias = tuple[str, frozenset[str]]


@dataclass(frozen=True)
class InputRecord:
    """One shard of the corpus, as it was read.

    Attributes:
        shard, name, uri: Id, path below the input root, and address (credentials are removed).
        bytes: Of this shard.
        digest: SHA-256 of its content; None when it could not be read.
        documents, rejected: Records screened and rejected.
        status: As in the ``shards`` table.
    """

    shard: str
    name: str
    uri: str
    bytes: int
    digest: str | None
    documents: int
    rejected: int
    status: str


def build(
    *,
    corpus: str,
    configuration: Mapping[str, Any],
    configuration_digest: str,
    inputs: Sequence[InputRecord],
    packages: Mapping[str, str],
    models: Mapping[str, str],
    seed: int | str,
    hmac_key_id: str | None,
    parts_index: str | None,
    left_out: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe a run.

    Args:
        corpus: Its name.
        configuration: With every default filled in; what grants access is removed from it here.
        configuration_digest: Of all in it that can change a result.
        inputs: The shards, in any order.
        packages: ``package_versions()``.
        models: Name -> SHA-256 of each model and list that was used.
        seed: Of the draws.
        hmac_key_id: Names the key of the hashed personal values; never the key.
        left_out: Files of the inputs that no source reads: ``files``, ``bytes``, ``suffixes``.
        parts_index: SHA-256 of ``parts/index.jsonl``.

    Returns:
        Plain JSON data.
    """
    ordered = sorted(inputs, key=lambda record: (record.name, record.shard))
    digests = [record.digest or f"unread {record.name}" for record in inputs]
    code = code_digest()
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id(configuration_digest, digests, code),
        "corpus": corpus,
        "configuration": _redact(dict(configuration)),
        "configuration_digest": configuration_digest,
        "inputs": _presented(ordered),
        "code": {"version": audit.__version__, "digest": code},
        "packages": dict(sorted(packages.items())),
        "python": {"implementation": platform.python_implementation(), "version": platform.python_version()},
        "platform": {"system": platform.system(), "machine": platform.machine()},
        "models": dict(sorted(models.items())),
        "seed": seed,
        "hmac_key_id": hmac_key_id,
        "parts_index": parts_index,
        "left_out": dict(left_out),
    }


def _presented(records: Sequence[InputRecord]) -> list[dict[str, Any]]:
    uris, names = (present_all([getattr(record, name) for record in records]) for name in ("uri", "name"))
    told = zip(records, uris, names, strict=True)
    return [{**vars(record), "uri": uri, "name": name} for record, uri, name in told]


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """Put the manifest in place in one step, as JSON with sorted keys and an indent of 2."""
    with written_atomically(path) as handle:
        for piece in _pieces(manifest):
            handle.write(piece.encode("ascii"))


def _pieces(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The JSON, its long list of inputs one by one."""
    inputs = manifest.get("inputs", ())
    if not inputs:
        yield _indented(manifest) + "\n"
        return
    head, _, tail = _indented({**manifest, "inputs": []}).partition(f"{_INPUTS}[]")
    yield f"{head}{_INPUTS}["
    between = "\n    "
    for record in inputs:
        yield between + _indented(record).replace("\n", "\n    ")
        between = ",\n    "
    yield f"\n  ]{tail}\n"


def _indented(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False)


def read(path: Path) -> dict[str, Any]:
    """What ``write`` wrote, but for the inputs, of which there may be a hundred thousand."""
    with path.open("rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as content:
        start = content.find(f"{_INPUTS}[\n".encode())
        stop = content.find(b"\n  ]", start)
        if start < 0 or stop < 0:
            text = content[:]
        else:  # no other list ends at this indent before its own end
            text = content[:start] + f"{_INPUTS}[".encode() + content[stop:]
    told: dict[str, Any] = json.loads(text)
    return {name: value for name, value in told.items() if name != "inputs"}


def run_id(configuration_digest: str, input_digests: Sequence[str], code: str) -> str:
    """Return 16 hex digits that the same evidence always gets, whatever the order of the inputs."""
    evidence = {"configuration": configuration_digest, "inputs": sorted(input_digests), "code": code}
    return digest_json(evidence)[:16]


def code_digest(package: Path | None = None) -> str:
    """SHA-256 over a package's files (paths and contents, sorted): sources and the data it ships.

    Args:
        package: The package's folder; this package by default.
    """
    folder = package or Path(audit.__file__).parent
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and _is_source(path.relative_to(folder))
    }
    return digest_json(files)


def _is_source(relative: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
    return not hidden and relative.suffix not in _BUILT


def package_versions(name: str = "corpus-audit") -> dict[str, str]:
    """Installed versions of a distribution's dependencies, and of theirs, by normalised name.

    Optional dependencies count where they are installed, except those of tooling.

    Raises:
        ConfigurationError: The distribution itself is not installed.
    """
    try:
        own = distribution(name)
    except PackageNotFoundError as error:
        raise ConfigurationError(
            f"the distribution {name} is not installed, so its dependencies are unknown",
            remedy="Install it, for example with: pip install -e .",
        ) from error
    optional = frozenset(own.metadata.get_all("Provides-Extra") or ()) - _TOOLING
    found: dict[str, str] = {}
    seen: set[_Requirement] = set()
    waiting = [(_normalise(name), optional)]
    while waiting:
        wanted = waiting.pop()
        installed = None if wanted in seen else _installed(wanted[0])
        seen.add(wanted)
        if installed is not None:
            found[wanted[0]] = installed.version
            waiting += _requirements(installed.requires or (), wanted[1])
    del found[_normalise(name)]
    return dict(sorted(found.items()))


def _installed(name: str) -> Distribution | None:
    """Find a dependency; one that is optional or for another platform may be absent.

    A copy inside another package does not count: it is on the path only once that package was imported, as
    Ray's is on the way to a cluster.
    """
    return next((found for found in distributions(name=name) if not _is_vendored(found)), None)


def _is_vendored(found: Distribution) -> bool:
    return (Path(str(found.locate_file(""))).parent / "__init__.py").exists()


def _requirements(lines: Sequence[str], extras: frozenset[str]) -> list[_Requirement]:
    """Read requirement lines (PEP 508); markers other than ``extra`` show in what is installed."""
    requirements = []
    for line in lines:
        needed = _EXTRA.findall(line.partition(";")[2])
        match = _REQUIREMENT.match(line)
        if match and (not needed or extras.intersection(needed)):
            wanted = frozenset(extra.strip() for extra in (match[2] or "").split(",") if extra.strip())
            requirements.append((_normalise(match[1]), wanted))
    return requirements


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def present_all(names: Sequence[str]) -> list[str]:
    """See ``present``."""
    redacted = pa.array([redact_uri(name) for name in names], pa.string())
    masked: list[str] = mask_identifiers(redacted).to_pylist()
    return masked


def present(name: str) -> str:
    """An address or a name of a file as it may be shown: without access and without personal values."""
    return mask_identifier(redact_uri(name))


def redact_uri(uri: str) -> str:
    """Remove what grants access: ``user:password@`` and signing or token parameters.

    Works on any text that holds addresses, chained ones (``zip://a::https://b``) included; text
    without an address is returned as it is.
    """
    if "://" not in uri:
        return uri
    return _QUERY.sub(_without_secrets, _USER.sub(_without_user, uri))


def _without_secrets(match: re.Match[str]) -> str:
    mark, query = match[1], match[2]
    parameters = re.split("[&;]", query)
    kept = [parameter for parameter in parameters if not _grants_access(parameter)]
    if len(kept) == len(parameters):
        return match[0]
    return mark + "&".join(kept) if kept else ""


def _grants_access(parameter: str) -> bool:
    name, separator, _ = parameter.partition("=")
    return bool(separator and _SECRET_NAME.fullmatch(unquote(name)))


def _without_user(match: re.Match[str]) -> str:
    scheme, user = match[1], match[2]
    if scheme.lower() in _CONTAINER_SCHEMES and ":" not in user:
        return match[0]
    return f"{scheme}://"


def _redact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: REMOVED if isinstance(item, str) and _SECRET_NAME.fullmatch(str(key)) else _redact(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_redact(item) for item in value]
    return redact_uri(value) if isinstance(value, str) else value
