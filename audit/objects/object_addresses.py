"""Addresses of objects: ``s3://bucket/key``, ``gs://bucket/key``, ``az://container/key``, taken literally."""

from __future__ import annotations

import re

from audit.errors import ConfigurationError

SCHEMES = ("s3", "gs", "az")

_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)})://([^/]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"\?[\w.\-%]+=")


def is_object_address(text: str) -> bool:
    """Whether a text is an address of an object store (``s3://``, ``gs://``, ``az://``)."""
    return _ADDRESS.match(text) is not None


def split_address(address: str) -> tuple[str, str, str]:
    """Scheme, bucket (or container) and key; the key has no ``/`` at its ends and may be empty.

    Raises:
        ConfigurationError: It is no such address, or it carries credentials or a signature.
    """
    found = _ADDRESS.fullmatch(address)
    bare = address.partition("://")[0]
    if found is None:
        raise ConfigurationError("this is no address of an object store", remedy="Write s3://bucket/prefix")
    bucket, key = found[2], found[3]
    if "@" in bucket or _QUERY.search(address):
        raise ConfigurationError(
            f"an address of {bare}:// carries credentials, a signature or another query",
            remedy="Write scheme://bucket/key alone; credentials belong in the environment",
        )
    if not bucket:
        raise ConfigurationError(
            f"an address of {bare}:// lacks its bucket", remedy="Write s3://bucket/prefix"
        )
    return found[1].lower(), bucket, key.strip("/")
