from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audit.errors import ConfigurationError
from audit.hmac_key import ENVIRONMENT_VARIABLE, HmacKey, default_path, load_or_create


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "configuration" / "corpus-audit"


def test_first_use_makes_a_private_key_and_later_uses_read_it(folder: Path) -> None:
    key = load_or_create(folder / "hmac.key")
    assert len(key.key) == 32
    assert stat.S_IMODE((folder / "hmac.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert load_or_create(folder / "hmac.key") == key
    assert [p.name for p in folder.iterdir()] == ["hmac.key"]


def test_drivers_that_start_at_once_agree(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_create(folder / "hmac.key").key, range(32)))
    assert len(keys) == 1


def test_the_key_shows_neither_in_repr_nor_in_its_id() -> None:
    key = HmacKey.of(bytes(range(32)))
    assert "key=" not in repr(key)
    assert bytes.fromhex(key.key_id) not in key.key
    assert key.key_id != HmacKey.of(bytes(32)).key_id
    assert key.key_id == HmacKey.of(bytes(range(32))).key_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_open_to_others_is_refused_with_a_remedy(folder: Path, mode: int) -> None:
    load_or_create(folder / "hmac.key")
    (folder / "hmac.key").chmod(mode)
    with pytest.raises(ConfigurationError, match=r"open to other users.*chmod 600"):
        load_or_create(folder / "hmac.key")


def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    load_or_create(folder / "hmac.key")
    folder.chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        load_or_create(folder / "hmac.key")


@pytest.mark.parametrize("content", [b"", b"abcd", b"zz" * 32, b"00" * 31, b"00" * 33, b"\xff" * 64])
def test_anything_but_a_key_is_refused_and_not_quoted(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "hmac.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not 64 hex digits"):
        load_or_create(path)


def test_a_key_inside_the_run_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="inside the run folder"):
        load_or_create(tmp_path / "run" / "keys" / "hmac.key", outside=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_path_that_is_a_folder_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    with pytest.raises(ConfigurationError, match="not a file"):
        load_or_create(folder)


def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "corpus-audit" / "hmac.key"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".config" / "corpus-audit" / "hmac.key"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "mine"))
    assert default_path() == tmp_path / "mine"
