"""Clients of object stores: opened once in a process, told by the environment alone."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from obstore.store import AzureStore, GCSStore, S3Store

from audit.errors import ConfigurationError
from audit.objects.object_errors import CLIENT_ERRORS, no_credentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig

Client = S3Store | GCSStore | AzureStore

_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_CLIENTS: dict[str, type[Client]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
#: Names of variables that say where a store is and who asks.
_ENVIRONMENT = ("AWS_", "GOOGLE_", "AZURE_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_")
_TIMEOUTS: ClientConfig = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),  # of a connection on which nothing arrives
    "timeout": timedelta(minutes=15),  # of a whole request: a large body takes its time
}


def client_of(scheme: str, bucket: str) -> Client:
    """One client per process, bucket and environment."""
    told = frozenset((k, v) for k, v in os.environ.items() if k.upper().startswith(_ENVIRONMENT))
    return _open(scheme, bucket, hash(told))


@lru_cache(maxsize=64)
def _open(scheme: str, bucket: str, environment: int) -> Client:  # noqa: ARG001 - part of what is cached
    failure: ConfigurationError
    try:
        return _CLIENTS[scheme](bucket, retry_config={"max_retries": 0}, client_options=_options(scheme))
    except CLIENT_ERRORS:
        failure = no_credentials(f"{scheme}://{bucket}", "the environment does not say how to reach it")
    raise failure


def _options(scheme: str) -> ClientConfig:
    """Time limits, and plain HTTP where the environment allows it: what is given here hides its variable."""
    allowed = os.environ.get(f"{_PREFIXES[scheme]}_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")
    return {**_TIMEOUTS, "allow_http": allowed}
