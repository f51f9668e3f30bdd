"""What an object store answers -> errors named by what recovers from them.

A client's own message may quote the request, and a signed request holds credentials: none of its words reach
a message, and its exception is not kept as the cause. Status, error code and the kind of failure do.
"""

from __future__ import annotations

import re

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from audit.errors import AuditError, ConfigurationError, FatalError
from audit.objects.retrying import TransientError

#: What the client raises; a missing object is a built-in error, as is a key that it cannot write.
CLIENT_ERRORS = (BaseError, OSError, ValueError)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_METADATA_SERVICE = ("http://169.254.", "http://[fd00:ec2", "http://metadata.google.internal")
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504, 507, 509)
_TRANSIENT_CODE = (
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServerBusy",
    "SlowDown",
)
_ARCHIVED = ("InvalidObjectState", "BlobArchived")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestTimeTooSkewed", "RequestExpired")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "InvalidBucketName")
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN with temporary ones)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
_METADATA_ATTEMPTS = 3


class ObjectArchived(AuditError):
    """The object is in cold storage, and must be restored before it can be read."""


class ObjectMissing(AuditError):
    """There is no such object."""


class ObjectExists(AuditError):
    """The object was to be made, and stands already."""


class ObjectChanged(AuditError):
    """The object is not the version that was asked for."""


def classify(error: Exception, address: str) -> AuditError | TransientError:
    """The error to raise for what a client raised on an address (which holds no credentials)."""
    text = str(error)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    if code in _NO_BUCKET:
        return _no_bucket(address)
    if any(place in text for place in _METADATA_SERVICE):
        return TransientError(
            "no credentials", attempts=_METADATA_ATTEMPTS, then=no_credentials(address, "none were found")
        )
    if code in _ARCHIVED:
        return ObjectArchived(f"{address} is archived")
    if code in _EXPIRED:
        return no_credentials(address, f"they have expired, or the clock is wrong ({code})")
    if code in _TRANSIENT_CODE or (status is not None and int(status) in _TRANSIENT_STATUS):
        return TransientError(f"the store answered {' '.join(filter(None, (status, code)))}")
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(f"{address} does not exist")
    if isinstance(error, AlreadyExistsError):
        return ObjectExists(f"{address} exists already")
    if isinstance(error, PreconditionError):
        return ObjectChanged(f"{address} has changed")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in ("401", "403"):
        return no_credentials(address, f"access is denied{f' ({code})' if code else ''}")
    if isinstance(error, InvalidPathError | ValueError):
        return ConfigurationError(
            f"the key of {address} cannot be addressed",
            remedy="Keys with empty, '.' or '..' segments are not supported; rename the object",
        )
    return _other(text, status, code, address)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _other(text: str, status: str | None, code: str | None, address: str) -> AuditError | TransientError:
    if status == "404":
        return _no_bucket(address)
    if status in ("301", "307") or "configured region" in text:
        return ConfigurationError(
            f"{address} is not in the region that was asked", remedy="Set AWS_REGION to the bucket's"
        )
    if "builder error" in text:
        return ConfigurationError(
            f"the endpoint for {address} is not allowed",
            remedy="Use an https endpoint; for a server on this machine set AWS_ALLOW_HTTP=true",
        )
    if status is not None:
        return FatalError(
            f"{address}: the store refused the request ({' '.join(filter(None, (status, code)))})"
        )
    if "HTTP error" in text or "error decoding" in text:
        return TransientError("the connection failed or broke")
    return FatalError(f"{address}: the store's client failed for no known reason")


def no_credentials(address: str, why: str) -> ConfigurationError:
    """The store let nobody in."""
    variables = _VARIABLES[address.partition("://")[0].lower()]
    return ConfigurationError(
        f"no valid credentials for {address}: {why}",
        remedy=f"Set {variables} in the environment, and allow listing and reading there "
        "(without leave to list, an object that is missing looks forbidden)",
    )


def _no_bucket(address: str) -> ConfigurationError:
    bucket = "/".join(address.split("/")[:3])
    return ConfigurationError(f"there is no {bucket}", remedy="Check the name, the account and the endpoint")
