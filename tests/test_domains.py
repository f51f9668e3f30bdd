"""Hosts and classes of addresses."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from audit import domains
from audit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.com:8080/a?b#c", "example.com"),
        ("HTTP://user:pw@Sub.Example.ORG", "sub.example.org"),
        ("//cdn.example.net/x", "cdn.example.net"),
        ("www.example.de/x", "example.de"),
        ("https://example.com./x", "example.com"),
        ("http://[::1]:80/x", "[::1]"),
        ("http://bücher.example/", "bücher.example"),
        ("mailto:a@example.com", None),
        ("page.html", None),
        ("https:///x", None),
        ("", None),
        (None, None),
    ],
)
def test_hosts(url: str | None, host: str | None) -> None:
    assert domains.hosts(pa.array([url], pa.string())).to_pylist() == [host]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://data.cdc.gov/a", "government"),
        ("https://www.gov.uk/", "government"),
        ("http://cs.ox.ac.uk/x", "education"),
        ("https://mit.edu", "education"),
        ("https://en.wikipedia.org/wiki/Gamma", "reference"),
        ("https://old.reddit.com/r/x", "forum"),
        ("https://example.org/forum/viewtopic.php?t=1", "forum"),
        ("https://name.blogspot.co.uk/", "blog"),
        ("https://example.org/blog/post", "blog"),
        ("https://shop.example.org/", "shop"),
        ("https://www.bbc.co.uk/sport", "news"),
        ("https://postgresql.org/", "other"),
        ("https://example.org/?next=/forum/", "other"),
        ("https://example.xxx/", "adult"),
        (None, "unknown"),
    ],
)
def test_classes(url: str | None, kind: str) -> None:
    urls = pa.array([url], pa.string())
    assert domains.classify(domains.hosts(urls), urls).to_pylist() == [kind]


def test_rows_stay_aligned_in_slices_and_empty_columns() -> None:
    urls = pa.array(["https://x.test", None, "https://mit.edu", "https://x.test/shop/1"], pa.string())
    whole = domains.classify(domains.hosts(urls), urls).to_pylist()
    part = urls[1:]
    assert domains.classify(domains.hosts(part), part).to_pylist() == whole[1:]
    empty = pa.array([], pa.string())
    assert domains.classify(domains.hosts(empty), empty).to_pylist() == []
    nothing = pa.nulls(2)
    assert domains.classify(domains.hosts(nothing), nothing.cast(pa.string())).to_pylist() == ["unknown"] * 2


def test_own_classification_replaces_the_bundled_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("version: '7'\nclasses:\n  clinic:\n    hosts: [example.com]\n", encoding="utf-8")
    mine = domains.load(file)
    urls = pa.array(["https://a.b.example.com", "https://mit.edu"])
    assert domains.classify(domains.hosts(urls), urls, mine).to_pylist() == ["clinic", "other"]
    assert domains.digest(mine) != domains.digest()


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nclasses: {news: {hots: [x]}}",
        "classes: {}",
        "version: 1\nclasses: {a: {host_patterns: ['(']}}",
        "- x",
        "a: [",
    ],
)
def test_a_bad_classification_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"bad\.yaml"):
        domains.load(file)
