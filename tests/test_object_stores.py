"""Objects of a real S3 server: conditions, listings, ranges, and errors that say what to do."""

import dataclasses
import pickle

import pytest

from audit.errors import ConfigurationError
from audit.objects.object_stores import (
    ObjectChanged,
    ObjectExists,
    ObjectFolder,
    ObjectMissing,
    is_object_address,
    split_address,
)
from tests.object_server import ACCESS_KEY, SECRET_KEY


def test_what_is_put_is_listed_found_and_read(bucket):
    folder = ObjectFolder(f"{bucket}/a folder/ü%20/")
    etag = folder.put("x/one.bin", b"0123456789")
    folder.put("x.bin", b"")
    assert folder.get("x/one.bin") == b"0123456789"
    assert folder.get("x.bin") == b""
    assert folder.get_range("x/one.bin", 2, 5) == b"234"
    assert folder.get_range("x/one.bin", 5, 5) == b""
    assert [(info.key, info.size) for info in folder.list()] == [("x.bin", 0), ("x/one.bin", 10)]
    assert [info.key for info in folder.list("x")] == ["x/one.bin"]
    assert [info.key for info in ObjectFolder(bucket).list()] == [
        "a folder/ü%20/x.bin",
        "a folder/ü%20/x/one.bin",
    ]
    assert folder.head("x/one.bin") == dataclasses.replace(next(folder.list("x")))
    assert folder.head("x/one.bin").etag == etag
    assert folder.head("x") is None


def test_a_listing_longer_than_a_page_is_whole_and_sorted(bucket):
    folder = ObjectFolder(f"{bucket}/many")
    names = [f"{number % 7}/{number:04}" for number in range(1203)]
    for name in names:
        folder.put(name, b"")
    assert [info.key for info in folder.list()] == sorted(names)


def test_conditions_have_one_winner(bucket):
    folder = ObjectFolder(bucket)
    first = folder.put("lock", b"mine", create=True)
    with pytest.raises(ObjectExists):
        folder.put("lock", b"yours", create=True)
    second = folder.put("lock", b"still mine", etag=first)
    with pytest.raises(ObjectChanged):
        folder.put("lock", b"yours", etag=first)
    with pytest.raises(ObjectChanged):
        folder.put("gone", b"yours", etag=first)
    assert folder.get("lock", etag=second) == b"still mine"
    with pytest.raises(ObjectChanged):
        folder.get("lock", etag=first)
    with pytest.raises(ObjectChanged):
        folder.get_range("lock", 0, 2, etag=first)


def test_a_file_of_several_blocks_is_put_whole(bucket, tmp_path):
    content = bytes(range(256)) * 50_000  # 12.8 MB: more than a multipart block
    (tmp_path / "big").write_bytes(content)
    folder = ObjectFolder(bucket)
    for key, condition in (("a", {}), ("b", {"create": True})):
        folder.put(key, tmp_path / "big", **condition)
        assert folder.get(key) == content


def test_copies_and_removals(bucket):
    folder = ObjectFolder(bucket)
    folder.put("a", b"1")
    folder.put("b", b"2")
    folder.copy("a", "b")
    assert folder.get("b") == b"1"
    folder.delete("a")
    folder.delete("a")
    assert folder.head("a") is None
    with pytest.raises(ObjectMissing):
        folder.copy("a", "b")


def test_a_range_beyond_the_end_is_never_shortened(bucket):
    folder = ObjectFolder(bucket)
    folder.put("a", b"12345")
    with pytest.raises(ObjectChanged):
        folder.get_range("a", 2, 9)


def test_a_missing_object_a_missing_bucket_and_a_wrong_key_are_told_apart(bucket, monkeypatch):
    with pytest.raises(ObjectMissing, match="does not exist"):
        ObjectFolder(bucket).get("nothing")
    for nothing in (lambda f: list(f.list()), lambda f: f.get("x"), lambda f: f.put("x", b"")):
        with pytest.raises(ConfigurationError, match="there is no s3://test-no-such-bucket"):
            nothing(ObjectFolder("s3://test-no-such-bucket/folder"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    for refused in (lambda f: list(f.list()), lambda f: f.head("x"), lambda f: f.put("x", b"")):
        with pytest.raises(ConfigurationError, match=r"no valid credentials.*AWS_ACCESS_KEY_ID") as caught:
            refused(ObjectFolder(bucket))
        assert "another-secret" not in str(caught.value)
        assert ACCESS_KEY not in str(caught.value)
        assert caught.value.__context__ is None


def test_an_http_endpoint_must_be_allowed(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ConfigurationError, match="AWS_ALLOW_HTTP"):
        ObjectFolder(bucket).get("x")


def test_a_folder_is_a_value_without_credentials(bucket):
    folder = ObjectFolder(f"{bucket}/x/")
    folder.put("a", b"1")
    assert pickle.loads(pickle.dumps(folder)) == folder == ObjectFolder(f"{bucket}/x")  # noqa: S301 - our own
    for secret in (ACCESS_KEY, SECRET_KEY):
        assert secret not in repr(folder)
        assert secret.encode() not in pickle.dumps(folder)


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIAEXAMPLE:verysecret@bucket/key",
        "s3://bucket/key?X-Amz-Signature=verysecret",
        "az://container/key?sv=2024&sig=verysecret",
        "s3:///verysecret",
    ],
)
def test_addresses_with_credentials_are_refused_unquoted(address):
    with pytest.raises(ConfigurationError) as caught:
        ObjectFolder(address)
    assert "verysecret" not in str(caught.value)


def test_addresses():
    assert split_address("S3://bucket/a b/%20/*.jsonl") == ("s3", "bucket", "a b/%20/*.jsonl")
    assert split_address("gs://bucket") == ("gs", "bucket", "")
    assert is_object_address("az://container/x")
    assert not any(map(is_object_address, ("/data/s3://x", "hf://name", "s3:/x", "file")))
