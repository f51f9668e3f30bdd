import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from audit.renderers import html
from audit.wordings import figures

CARD = json.loads((Path(__file__).parent / "scorecard.json").read_text(encoding="utf-8"))
ATTACK = "<script>alert(1)</script>\"' onload=x <img src=http://example.com/x>"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a page is made of: elements, attributes, visible text; and whether its tags balance."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def poisoned(value):
    """The same scorecard with every free string replaced."""
    fixed = {"verdict", "outcome", "severity", "status", "dimension", "kind", "slice", "screen", "metric"}
    if isinstance(value, dict):
        return {k: v if k in fixed and isinstance(v, str) else poisoned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(member) for member in value]
    return ATTACK if isinstance(value, str) else value


def test_page_is_well_formed_and_starts_with_its_doctype():
    source = html.render(CARD)
    assert source.startswith("<!doctype html>")
    assert Page(source).open == []


def test_page_reaches_nothing_outside_itself():
    page = Page(html.render(poisoned(CARD)))
    for _, name, value in page.attributes:
        if name in {"src", "href", "action", "data", "poster", "srcset"}:
            assert value.startswith("#")
        assert not name.startswith("on")
    assert not {"script", "iframe", "img", "link", "object", "form"} & set(page.tags)
    style = re.search(r"<style>(.*?)</style>", html.render(CARD), re.DOTALL).group(1)
    assert not re.search(r"url\((?!#)|@import", style)


def test_hostile_text_stays_text():
    clean, attacked = Page(html.render(CARD)), Page(html.render(poisoned(CARD)))
    assert set(attacked.tags) == set(clean.tags)
    assert "<script>alert(1)</script>" in attacked.text


def test_hostile_names_and_keys_stay_text():
    card = copy.deepcopy(CARD)
    card["findings"]["kinds"][0]["kind"] = card["estimates"][0]["metric"] = ATTACK
    card["slices"][0]["dimension"] = card["slices"][0]["largest"][0]["value"] = ATTACK
    card["provenance"] = {ATTACK: ATTACK, "packages": {ATTACK: ATTACK}}
    card["sampling"]["settings"] = {ATTACK: [ATTACK]}
    card["screens"][0]["screen"] = card["findings"]["flagged"][0]["screen"] = ATTACK
    page = Page(html.render(card))
    assert "script" not in page.tags
    assert "img" not in page.tags


def test_very_long_strings_do_not_swell_the_page():
    card = copy.deepcopy(CARD)
    card["duplicates"]["largest_clusters"][0]["members"] = ["x" * 1_000_000]
    card["accounting"]["incomplete_shards"][0]["uri"] = "y" * 1_000_000
    assert len(html.render(card)) < len(html.render(CARD)) + 1000


def test_long_tables_are_cut_and_say_so():
    card = copy.deepcopy(CARD)
    card["not_evaluated"] *= 500
    card["estimates"] *= 100
    source = html.render(card)
    assert f"and {len(card['not_evaluated']) - 20:,} more" in source
    assert len(source) < 250_000


def test_page_has_landmarks_and_names_every_chart():
    page = Page(html.render(CARD))
    assert {"header", "main", "nav", "footer", "section"} <= set(page.tags)
    assert page.tags.count("h1") == 1
    images = [
        name for tag, name, value in page.attributes if tag == "svg" and (name, value) == ("role", "img")
    ]
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(images) == len(labels)
    assert all(label.strip() for label in labels)
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")


def test_internal_links_have_targets():
    page = Page(html.render(CARD))
    targets = {f"#{value}" for _, name, value in page.attributes if name == "id"}
    assert {value for _, name, value in page.attributes if name == "href"} <= targets


def test_figures_of_the_scorecard_stand_on_the_page():
    text = Page(html.render(CARD)).text
    for figure in shown_figures(CARD):
        assert figure in text


def shown_figures(card):
    account = card["accounting"]
    for key in ("documents_in", "screened", "rejected", "tokens"):
        yield figures.count(account[key])
    for row in [*card["estimates"], *(gate["estimate"] for gate in card["gates"] if gate["estimate"])]:
        yield figures.share(row["value"])
        yield figures.interval(row["low"], row["high"])
        yield figures.count(row["n"])
    for gate in card["gates"]:
        yield figures.limit(gate["limit"])
        yield gate["reason"]
    for row in card["not_evaluated"]:
        yield figures.count(row["documents"])
    for row in card["findings"]["kinds"]:
        yield figures.count(row["findings"])
    for row in card["sampling"]["strata"]:
        yield from (figures.count(row[key]) for key in ("documents", "drawn", "judged"))


def test_unread_bytes_stand_beside_what_a_go_allows():
    assert "could not be read: 4.71%. A GO allows at most 2%" in Page(html.render(CARD)).text


def test_differences_alarms_and_repeated_paragraphs_stand_on_the_page():
    text = Page(html.render(CARD)).text
    for row in CARD["duplicates"]["differences"]:
        assert row["representative"] in text
        assert all(hunk[side] in text for hunk in row["hunks"] for side in ("removed", "added"))
    assert "3 more changes. The texts were not compared to their ends." in text
    assert CARD["duplicates"]["differences"][1]["reason"] in text
    for row in CARD["duplicates"]["alarms"]:
        assert row["value"] in text
    assert "more than 50% of the documents are copies" in text
    for row in CARD["repeated_paragraphs"]["most_repeated"]:
        assert row["hash"] in text
    assert figures.share(428032485 / 3891204412) in text


def test_copies_by_slice_are_shares_of_documents_and_of_tokens():
    text = Page(html.render(CARD)).text
    counts = CARD["slices"][0]["largest"][0]["screens"]["duplicates"]
    for unit in ("", "_tokens"):
        assert figures.share(counts[f"flagged{unit}"] / counts[f"evaluated{unit}"]) in text


def test_hostile_documents_stay_text_in_their_differences():
    card = copy.deepcopy(CARD)
    card["duplicates"]["differences"][0]["hunks"] = [
        dict.fromkeys(("before", "removed", "added", "after"), ATTACK)
    ]
    page = Page(html.render(card))
    assert "script" not in page.tags
    assert "img" not in page.tags


def test_paragraphs_that_nobody_looked_for_read_as_no_evidence():
    text = Page(html.render(CARD | {"repeated_paragraphs": None})).text
    assert "No evidence: the screen did not run to its end" in text


def test_outcomes_are_words_and_marks_and_not_only_colours():
    text = Page(html.render(CARD)).text
    for word in ("NO-GO", "✓", "✗", "insufficient", "warning only"):
        assert word in text


@pytest.mark.parametrize("verdict", ["GO", "NO-GO", "INSUFFICIENT EVIDENCE"])
def test_each_verdict_says_what_it_means(verdict):
    assert verdict in Page(html.render(CARD | {"verdict": verdict, "next_steps": []})).text


def test_what_nobody_observed_reads_as_no_evidence():
    card = copy.deepcopy(CARD)
    card["duplicates"]["copies"] = None
    card["gates"] = [gate | {"estimate": None} for gate in card["gates"]]
    text = Page(html.render(card)).text
    assert "No evidence: no duplicate screen ran to its end" in text
    assert text.count("no evidence") >= 2 * len(card["gates"])
