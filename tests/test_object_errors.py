"""What a store answers, and what it becomes: nothing of the client's words, which may be signed."""

import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from audit.errors import ConfigurationError, FatalError
from audit.objects.object_errors import ObjectArchived, ObjectChanged, ObjectExists, ObjectMissing, classify
from audit.objects.retrying import TransientError

SIGNED = "Error performing GET https://a.example.com/c?sig=verysecret - "
STATUS = (
    SIGNED + "Server returned non-2xx status code: {}: <Error><Code>{}</Code><Message>x</Message></Error>"
)


def answer(status, code=""):
    return STATUS.format(status, code)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GenericError(answer("503 Service Unavailable", "SlowDown")), TransientError),
        (GenericError(answer("429 Too Many Requests")), TransientError),
        (GenericError(answer("500 Internal Server Error", "InternalError")), TransientError),
        (GenericError(answer("400 Bad Request", "RequestTimeout")), TransientError),
        (AlreadyExistsError(answer("409 Conflict", "ConditionalRequestConflict")), TransientError),
        (GenericError(SIGNED + "HTTP error: error sending request"), TransientError),
        (GenericError(SIGNED + "HTTP error: error decoding response body"), TransientError),
        (GenericError("Error performing PUT http://169.254.169.254/latest/api/token"), TransientError),
        (AlreadyExistsError(answer("409 Conflict", "BlobAlreadyExists")), ObjectExists),
        (AlreadyExistsError(answer("412 Precondition Failed", "PreconditionFailed")), ObjectExists),
        (PreconditionError(answer("412 Precondition Failed", "ConditionNotMet")), ObjectChanged),
        (FileNotFoundError(answer("404 Not Found", "NoSuchKey")), ObjectMissing),
        (FileNotFoundError(answer("404 Not Found", "BlobNotFound")), ObjectMissing),
        (PermissionDeniedError(answer("403 Forbidden", "InvalidObjectState")), ObjectArchived),
        (FileNotFoundError(answer("404 Not Found", "NoSuchBucket")), ConfigurationError),
        (GenericError(answer("404 Not Found", "ContainerNotFound")), ConfigurationError),
        (GenericError(answer("400 Bad Request", "ExpiredToken")), ConfigurationError),
        (GenericError(answer("403 Forbidden", "SignatureDoesNotMatch")), ConfigurationError),
        (UnauthenticatedError(answer("401 Unauthorized")), ConfigurationError),
        (GenericError(answer("301 Moved Permanently", "PermanentRedirect")), ConfigurationError),
        (GenericError(SIGNED + "HTTP error: builder error"), ConfigurationError),
        (ValueError('Path "verysecret" contained empty path segment'), ConfigurationError),
        (GenericError(answer("400 Bad Request", "MalformedXML")), FatalError),
        (GenericError("verysecret"), FatalError),
    ],
)
def test_errors_are_named_by_what_recovers_from_them(error, kind):
    for address in ("s3://bucket/key", "gs://bucket/key", "az://container/key"):
        named = classify(error, address)
        assert type(named) is kind
        assert "verysecret" not in str(named)
        assert "example.com" not in str(named)


def test_missing_credentials_are_a_matter_of_configuration_after_a_few_tries():
    named = classify(GenericError("GET http://169.254.169.254/computeMetadata/v1/"), "gs://bucket/key")
    assert isinstance(named, TransientError)
    assert named.attempts == 3
    assert isinstance(named.then, ConfigurationError)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(named.then)
