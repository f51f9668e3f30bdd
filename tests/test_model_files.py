"""Files of models: their place, their digest, the packages that read them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from audit import model_files
from audit.errors import ConfigurationError

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_a_digest_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(CONTENT)
    assert model_files.check_sha256(path, DIGEST.upper(), key="x.sha256") == DIGEST
    path.write_bytes(CONTENT + b"more")
    assert model_files.sha256_of(path) != DIGEST
    with pytest.raises(ConfigurationError, match="not loaded"):
        model_files.check_sha256(path, DIGEST, key="x.sha256")


@pytest.mark.parametrize("expected", ["", "abc", "g" * 64])
def test_a_digest_is_required(tmp_path: Path, expected: str) -> None:
    with pytest.raises(ConfigurationError, match="SHA-256 is required"):
        model_files.check_sha256(tmp_path / "none", expected, key="x.sha256")
    with pytest.raises(ConfigurationError, match="no file"):
        model_files.check_sha256(tmp_path / "none", DIGEST, key="x.sha256")


def test_a_missing_package_names_its_extra() -> None:
    assert set(model_files.versions(("numpy",), extra="x", key="y")) == {"numpy"}
    with pytest.raises(ConfigurationError, match=r"corpus-audit\[detoxify\]"):
        model_files.versions(("no-such-package",), extra="detoxify", key="probes.detoxify")
