"""The secret under which personal values are hashed: made once per user, kept outside every run.

Only the driver reads or makes it; workers get it in memory. Whoever holds the key can test whether a
guessed value is in a run, so the file belongs to its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from audit.errors import ConfigurationError

KEY_BYTES = 32
ENVIRONMENT_VARIABLE = "AUDIT_HMAC_KEY_FILE"


@dataclass(frozen=True)
class HmacKey:
    """A key and its public name.

    Attributes:
        key: 32 random bytes; hidden from ``repr``.
        key_id: 16 hex digits of a digest of the key. The key has 256 random bits, so its digest tells
            nothing of it; two runs share an id exactly when their value hashes can be joined.
    """

    key: bytes = field(repr=False)
    key_id: str

    @classmethod
    def of(cls, key: bytes) -> HmacKey:
        """Name a key."""
        return cls(key, hashlib.sha256(b"corpus-audit hmac key id\0" + key).hexdigest()[:16])


def default_path() -> Path:
    """Return ``$AUDIT_HMAC_KEY_FILE``, or ``corpus-audit/hmac.key`` in the user's configuration folder."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named).expanduser()
    configured = os.environ.get("XDG_CONFIG_HOME")
    base = Path(configured) if configured else Path.home() / ".config"
    return base / "corpus-audit" / "hmac.key"


def load_or_create(path: Path | None = None, *, outside: Path | None = None) -> HmacKey:
    """Read the key, or make it on first use: mode 600, in a folder of mode 700.

    Two drivers that start at once agree on one key: it appears whole or not at all, and the first wins.

    Args:
        path: Key file; ``default_path()`` when None.
        outside: A run folder that must not hold the key: whoever gets the run must not get the key.

    Raises:
        ConfigurationError: The file or its folder is open to others, is not a key, cannot be read or
            made, or lies in ``outside``.
    """
    path = path or default_path()
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise _error(path, "the HMAC key lies inside the run folder", "Move it out of the run")
    try:
        if not path.exists():
            _create(path)
        _check_permissions(path)
        content = path.read_bytes()
    except OSError as error:
        remedy = f"Make the folder writable, or name another file in ${ENVIRONMENT_VARIABLE}"
        raise _error(path, f"the HMAC key cannot be read or made ({error.strerror})", remedy) from error
    return HmacKey.of(_decode(path, content))


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".hmac-")  # mode 600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, never replaces another driver's key
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()


def _check_permissions(path: Path) -> None:
    if not path.is_file():
        raise _error(path, "the HMAC key is not a file", f"Name a file in ${ENVIRONMENT_VARIABLE}")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise _error(path, "the HMAC key is open to other users", f"Run: chmod 600 {path}")
    if stat.S_IMODE(path.parent.stat().st_mode) & 0o022:
        raise _error(path, "the HMAC key's folder can be written by others", f"Run: chmod 700 {path.parent}")


def _decode(path: Path, content: bytes) -> bytes:
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        remedy = "Restore it from a backup, or move it away to have a new one made (hashes then differ)"
        raise _error(path, f"the HMAC key is not {2 * KEY_BYTES} hex digits", remedy)
    return key


def _error(path: Path, message: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, file=str(path), remedy=remedy)
