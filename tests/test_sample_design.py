"""The configured design of a sample: allocation, what is taken whole, costs and budgets, dimensions."""

import pytest
import yaml

from audit import config as configuration
from audit import drawing, partindex
from audit.errors import ConfigurationError


def parsed(**sampling):
    return configuration.parse({"corpus": {"name": "test"}, "sampling": sampling})


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({"size": 3, "budget": 9, "cost": {"fixed": 1}}, "size or budget"),
        ({"budget": 9}, "needs cost"),
        ({"allocation": "cost"}, "needs cost"),
        ({"cost": {"per_thousand_words": 3}}, "over 0"),
        ({"take_all": [{"sourc": "x"}]}, "no dimension"),
        ({"take_all": [{}]}, "at least 1"),
        ({"allocation": "optimal"}, "neyman"),
        ({"minimum_per_stratum": 0}, "greater than or equal to 1"),
        ({"detectors": {"toxicity": "language"}}, "flags"),
        ({"detectors": {"spam": "pii"}}, "no question"),
        ({"probe": {"predicts": {"toxicity": "detoxify.score"}}}, "no question with a measure"),
        ({"strata": ["near_duplicates_present"]}, "unknown dimension"),
    ],
)
def test_a_design_that_cannot_be_is_refused(sampling, said):
    with pytest.raises(ConfigurationError, match=said):
        parsed(**sampling)


def test_values_of_cells_may_be_written_as_numbers_and_truths():
    config = parsed(strata=["pii_present", "period"], take_all=[{"pii_present": True, "period": 2024}])
    assert config.sampling.take_all == ({"pii_present": "true", "period": "2024"},)


def test_a_budget_comes_through_a_manifest():
    config = parsed(budget=90, cost={"fixed": 0.5, "per_thousand_words": 4})
    again = configuration.parse(config.resolved())
    assert (again.sampling.budget, again.sampling.cost) == (90, config.sampling.cost)
    assert again.digest() == config.digest()


def strata(run):
    with run.connect() as db:
        rows = db.execute("SELECT stratum, documents, drawn, design FROM strata").fetchall()
    return {stratum: (documents, drawn, how) for stratum, documents, drawn, how in rows}


def audited(corpus, run_audit, **sampling):
    screens = {"language": {}, "pii": {}}
    return run_audit(corpus, screens=screens, sampling={"strata": ["source"], **sampling}).run


def test_what_is_taken_whole_is_drawn_whole(corpus, run_audit):
    run = audited(corpus, run_audit, size=45, take_all=[{"source": "comments"}])
    found = strata(run)
    assert found["source=comments"][:2] == (30, 30)
    assert found["source=pages"][1] == 15
    assert "whole" in found["source=pages"][2]


def test_more_cannot_be_taken_whole_than_is_drawn(corpus, run_audit):
    with pytest.raises(ConfigurationError, match="taken whole"):
        audited(corpus, run_audit, size=20, take_all=[{"source": "comments"}])


def test_allocation_and_minimum_are_those_configured(corpus, run_audit):
    run = audited(corpus, run_audit, size=40, allocation="equal", proportional_share=0.0)
    assert {drawn for _, drawn, _ in strata(run).values()} == {20}
    assert "each stratum alike" in strata(run)["source=pages"][2]
    more = {"allocation": "proportional", "minimum_per_stratum": 18}
    assert min(drawn for _, drawn, _ in strata(audited(corpus, run_audit, size=40, **more)).values()) == 18


def test_personal_data_is_a_dimension_where_strata_name_it(corpus, run_audit):
    run = run_audit(
        corpus,
        screens={"language": {}, "pii": {}},
        sampling={"size": 30, "strata": ["pii_present"], "take_all": [{"pii_present": True}]},
    ).run
    found = strata(run)
    assert found["pii_present=true"][:2] == (1, 1)
    assert found["pii_present=false"][0] == 71


@pytest.mark.parametrize("allocation", ["neyman", "cost"])
def test_a_budget_pays_for_what_is_drawn_and_for_no_more(corpus, run_audit, allocation):
    sampling = {"budget": 20.0, "cost": {"fixed": 0.3, "per_thousand_words": 2.0}, "allocation": allocation}
    run = audited(corpus, run_audit, **sampling)
    with run.connect() as db:
        ((drawn,),) = db.execute("SELECT count(*) FROM samples").fetchall()
        rows = db.execute(
            """SELECT stratum, avg(0.3 + 2 * n_words / 1000)
            FROM documents JOIN slices USING (shard, position)
            JOIN strata ON stratum = 'source=' || slices.source GROUP BY 1"""
        ).fetchall()
    each, found = dict(rows), strata(run)
    spent = sum(found[name][1] * cost for name, cost in each.items())
    assert spent <= 20.0 < spent + max(each.values()) * 2
    parts = partindex.Catalogue.recorded(run.store)
    assert (
        drawing.declared_size(run.store, run.config(), parts)
        == drawn
        == run.scorecard()["sampling"]["settings"]["drawn"]
    )


def test_a_budget_for_nothing_is_refused(corpus, run_audit):
    with pytest.raises(ConfigurationError, match="single judgement"):
        audited(corpus, run_audit, budget=0.1, cost={"fixed": 1})


def test_a_classification_of_ones_own_is_used_and_recorded(corpus, run_audit, tmp_path):
    mine = {"version": "mine", "classes": {"agency": {"host_patterns": [r"agency\d"]}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    run = audited(corpus, run_audit, size=20, domains="mine.yaml")
    with run.connect() as db:
        classes = dict(db.execute("SELECT domain_class, count(*) FROM slices GROUP BY 1").fetchall())
    assert classes == {"agency": 40, "other": 1, "unknown": 31}
    assert len(run.manifest()["models"]["sampling.domains"]) == 64
    mine["classes"]["agency"] = {"hosts": ["blog.example.com"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    again = audited(corpus, run_audit, size=20, domains="mine.yaml")
    with again.connect() as db:
        assert db.execute("SELECT count(*) FROM slices WHERE domain_class = 'agency'").fetchall() == [(1,)]


def test_a_classification_that_is_not_there_is_told_of(corpus, run_audit):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        audited(corpus, run_audit, size=20, domains="absent.yaml")


def test_a_budget_over_a_corpus_without_a_document_draws_nothing(tmp_path, run_audit):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.jsonl").write_text('{"id": "a"}\n', encoding="utf-8")
    run = audited(tmp_path / "corpus", run_audit, budget=5, cost={"fixed": 1})
    assert not strata(run)
