import copy
import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from audit.renderers import markdown
from audit.wordings import figures, markdown_cells

CARD = json.loads((Path(__file__).parent / "scorecard.json").read_text(encoding="utf-8"))
ATTACKS = [
    "<script>alert(1)</script>",
    "[click](http://example.com)",
    "a | b\n\n# c",
    "![x](http://example.com/x.png)",
    "``` `` `",
    "http://example.com www.example.com",
]
PARSER = MarkdownIt("gfm-like", {"linkify": False}).enable("table")


def types(source):
    tokens = PARSER.parse(source)
    return {t.type for t in tokens} | {c.type for t in tokens for c in t.children or ()}


def test_figures_of_the_scorecard_stand_on_the_page():
    source = markdown.render(CARD)
    account = CARD["accounting"]
    for key in ("documents_in", "screened", "rejected", "tokens"):
        assert figures.count(account[key]) in source
    for row in CARD["estimates"]:
        assert figures.share(row["value"]) in source
        assert figures.interval(row["low"], row["high"]) in source
    for gate in CARD["gates"]:
        assert figures.limit(gate["limit"]) in source
        assert gate["reason"] in source
    for row in CARD["not_evaluated"]:
        assert figures.count(row["documents"]) in source
    for row in CARD["sampling"]["strata"]:
        assert figures.count(row["judged"]) in source


def test_unread_bytes_stand_beside_what_a_go_allows():
    assert "could not be read: 4.71%. A GO allows at most 2%" in markdown.render(CARD)


def test_differences_alarms_and_repeated_paragraphs_stand_on_the_page():
    source = markdown.render(CARD)
    for row in CARD["duplicates"]["alarms"]:
        assert figures.share(row["copies"] / row["documents"]) in source
    assert "Springfield" in source
    assert "3 more changes. The texts were not compared to their ends." in source
    assert CARD["duplicates"]["differences"][1]["reason"] in source
    for row in CARD["repeated_paragraphs"]["most_repeated"]:
        assert row["hash"] in source
    counts = CARD["slices"][0]["largest"][0]["screens"]["duplicates"]
    assert figures.share(counts["flagged_tokens"] / counts["evaluated_tokens"]) in source


def test_every_table_keeps_its_columns():
    for table in re.findall(r"(?:^\|.*\n?)+", markdown.render(CARD), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}
        assert len(widths) == 1


def test_hostile_text_makes_no_tag_no_link_and_no_column():
    for attack in ATTACKS:
        card = copy.deepcopy(CARD)
        card["corpus"] = card["verdict_reason"] = card["run_id"] = attack
        card["duplicates"]["largest_clusters"][0]["members"] = [attack]
        card["duplicates"]["differences"][0]["hunks"][0]["removed"] = attack
        card["duplicates"]["alarms"][0]["value"] = attack
        card["slices"][0]["largest"][0]["value"] = card["not_evaluated"][0]["reason"] = attack
        card["findings"]["kinds"][0]["kind"] = card["gates"][0]["gate"] = attack
        source = markdown.render(card)
        assert types(source) <= types(markdown.render(CARD))
        assert source.count("\n|") == markdown.render(CARD).count("\n|")


@given(st.text(max_size=80))
def test_any_text_stays_one_table_cell(value):
    source = "\n".join(
        markdown_cells.table("a | b", [[markdown_cells.text(value), markdown_cells.code(value)]])
    )
    tokens = PARSER.parse(source)
    assert [t.type for t in tokens].count("td_open") == 2
    inline = {c.type for t in tokens for c in t.children or ()}
    assert not inline & {"html_inline", "link_open", "image"}


def test_what_nobody_observed_reads_as_no_evidence():
    card = CARD | {"estimates": [], "sampling": {"settings": {}, "strata": [], "judgements": {"labels": []}}}
    source = markdown.render(card)
    assert "No evidence: nothing was estimated" in source
    assert "No evidence: no sample was drawn" in source


def test_long_tables_are_cut_and_say_so():
    source = markdown.render(CARD | {"not_evaluated": CARD["not_evaluated"] * 500})
    assert "and 3,480 more in `scorecard.json`" in source
