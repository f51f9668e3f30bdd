"""An object store in memory, with an ``ObjectFolder``'s methods, whose answers a test can lose."""

import hashlib
from pathlib import Path

from audit.objects.object_stores import ObjectChanged, ObjectExists, ObjectInfo, ObjectMissing


class FakeObjects:
    """Objects by key. ``before`` is called with operation and key ahead of each operation."""

    def __init__(self, address="s3://bucket/run"):
        self.address, self.objects, self.writes = address, {}, []
        self.before = lambda operation, key: None

    def head(self, key):
        self.before("head", key)
        return self._info(key) if key in self.objects else None

    def get(self, key, *, etag=None):
        self.before("get", key)
        if key not in self.objects:
            raise ObjectMissing(f"no {key}")
        if etag not in (None, self._info(key).etag):
            raise ObjectChanged(f"{key} changed")
        return self.objects[key]

    def get_range(self, key, start, stop, *, etag=None):
        return self.get(key, etag=etag)[start:stop]

    def put(self, key, data, *, create=False, etag=None):
        self.before("put", key)
        if create and key in self.objects:
            raise ObjectExists(f"{key} exists")
        if etag is not None and (key not in self.objects or self._info(key).etag != etag):
            raise ObjectChanged(f"{key} changed")
        self.objects[key] = data.read_bytes() if isinstance(data, Path) else data
        self.writes.append(key)
        return self._info(key).etag

    def copy(self, key, to):
        self.objects[to] = self.objects[key]

    def delete(self, key):
        self.before("delete", key)
        self.objects.pop(key, None)
        self.writes.append(key)

    def list(self, prefix=""):
        yield from (self._info(key) for key in sorted(self.objects) if key.startswith(prefix))

    def children(self, prefix=""):
        below = [key for key in sorted(self.objects) if key.startswith(prefix)]
        rest = {key: key.removeprefix(prefix) for key in below}
        folders = {f"{prefix}{name.split('/')[0]}/" for name in rest.values() if "/" in name}
        return [self._info(key) for key in below if "/" not in rest[key]], sorted(folders)

    def _info(self, key):
        data = self.objects[key]
        return ObjectInfo(key, len(data), hashlib.md5(data).hexdigest(), 0)
