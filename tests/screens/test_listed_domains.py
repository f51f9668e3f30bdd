import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.domain_lists import compiled, domain_list
from audit.errors import ConfigurationError
from audit.list_files import read_packaged
from audit.model import DOCUMENT_SCHEMA
from audit.screens import Screen, ScreenContext
from audit.screens.listed_domains import ListedDomains

LISTS = (
    ("bad", ("example.com", "shop.example.org", "Example.NET/Club", "http://www.example.edu:80/~x/")),
    ("worse", ("very.example.com", "example.com", "example.net/club/secret")),
)


def measure(urls, **parameters):
    rows = [{"position": i, "doc_id": str(i), "text": "", "url": url} for i, url in enumerate(urls)]
    batch = pa.RecordBatch.from_pylist(rows, DOCUMENT_SCHEMA)
    return ListedDomains(**parameters).measure(batch, ScreenContext({}))


@pytest.mark.parametrize(
    ("url", "category"),
    [
        ("https://example.com", "bad"),
        ("https://www.EXAMPLE.com:8080/page?q=1", "bad"),
        ("https://a.b.example.com/", "bad"),
        ("https://very.example.com/", "worse"),
        ("https://not-example.com/", None),
        ("https://example.com.example.info/", None),
        ("https://example.org/", None),
        ("http://shop.example.org./x", "bad"),
        ("https://example.net/", None),
        ("https://example.net/club", "bad"),
        ("https://example.net/CLUB/member?id=1#top", "bad"),
        ("https://example.net/clubs", None),
        ("https://example.net/club/secret/page", "worse"),
        ("https://user:word@example.net/club/", "bad"),
        ("https://sub.example.net/club", None),
        ("//example.edu/~x/file", "bad"),
        ("www.example.com/page", "bad"),
    ],
)
def test_the_longest_entry_wins(url, category):
    found, has_host = compiled(LISTS).classify(pa.array([url]))
    assert found.to_pylist() == [category]
    assert has_host.all()


@given(st.lists(st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["http://example.com/a"]))))
def test_any_column_is_classified(urls):
    found, has_host = compiled(LISTS).classify(pa.array(urls, pa.string()))
    assert len(found) == len(has_host) == len(urls)
    sliced, _ = compiled(LISTS).classify(pa.array(["x", *urls], pa.string()).slice(1))
    assert sliced.to_pylist() == found.to_pylist()


def test_no_address_is_not_evaluated():
    result = measure([None, "not an address", "https://example.com/"])
    assert result.not_evaluated == {0: "skipped: no address", 1: "skipped: the address has no host"}
    assert result.measurements["flagged"].to_pylist() == [None, None, False]
    assert measure([]).measurements["flagged"].to_pylist() == []


def test_the_packaged_sample_is_found():
    names = {row["category"]: row["entries"] for row in read_packaged("ut1.json.gz")}
    assert set(names) == {"adult", "dating", "drugs", "gambling", "hacking", "warez"}
    for category, entries in names.items():
        found, _ = domain_list((), True).classify(pa.array(["http://" + entry for entry in entries[:200]]))
        assert sum(name == category for name in found.to_pylist()) > 180
    result = measure(["https://www.pornhub.com/", "https://www.gov.uk/"])
    assert result.measurements["category"].to_pylist() == ["adult", None]


def test_lists_of_ones_own_come_first(tmp_path):
    folder = tmp_path / "partners"
    folder.mkdir()
    (folder / "domains").write_text("# ours\npornhub.com\nexample.com\n")
    plain = tmp_path / "rivals.domains.txt"
    plain.write_text("example.org\n")
    files = (str(folder / "domains"), str(plain))
    urls = ["https://pornhub.com/", "https://example.com/", "https://example.org/", "https://example.net/"]
    both = measure(urls, lists=files).measurements
    assert both["category"].to_pylist() == ["partners", "partners", "rivals", None]
    assert both["flagged"].to_pylist() == [True, True, True, False]
    ignoring = measure(urls, lists=files, packaged=False, ignored=("rivals",)).measurements
    assert ignoring["category"].to_pylist() == ["partners", "partners", None, None]
    assert len(ListedDomains(lists=files).resources()) == 4


def test_wrong_parameters_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no list"):
        ListedDomains(packaged=False)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        measure(["https://example.com"], lists=("nowhere/adult.txt",))
    (tmp_path / "1.txt").write_text("example.com\n")
    with pytest.raises(ConfigurationError, match="gives no category"):
        measure(["https://example.com"], lists=(str(tmp_path / "1.txt"),))


def test_columns_match_the_contract():
    assert isinstance(ListedDomains(), Screen)
    result = measure(["https://example.com"])
    kinds = {name: column.type for name, column in result.measurements.items()}
    assert kinds == dict(ListedDomains.measures)
