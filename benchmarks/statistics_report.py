"""Renders the three studies of the statistics as ``docs/statistics_study.md``.

python -m benchmarks.statistics_report [--results benchmarks/results] [--out docs/statistics_study.md]
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

_FACTORS = ("prevalence", "n", "strata", "auc", "design", "looks", "reviewers")
_STATEMENTS = ("upper", "lower", "no_false_go")
#: Cells shown of a statement, worst first.
_WORST = 12


def render(coverage: Row, widths: Row, labels: Row) -> str:
    """The page, from what ``coverage``, ``widths`` and ``real_labels`` wrote."""
    return "\n".join([*_coverage(coverage), *_widths(widths), *_real_labels(labels)]) + "\n"


def _coverage(found: Row) -> list[str]:
    rows = found["results"]
    erring = [row for row in rows if row["reviewers"] == "erring"]
    return [
        "# The statistics, measured",
        "",
        *_prose(
            "Rendered by `python -m benchmarks.statistics_report` from "
            "`benchmarks/results/`; no figure here is "
            "typed by hand."
        ),
        "",
        "## Coverage and false GO by simulation",
        "",
        *_prose(
            f"`python -m benchmarks.coverage --cells {found['cells']} --replicates {found['replicates']}`: "
            f"{found['cells']} cells with {found['replicates']:,} replicates each, in "
            f"{found['seconds']:,.0f} CPU-seconds on {found['machine']['processor']}. Every "
            "pair of levels of "
            "prevalence, n, strata, AUC, design, looks and reviewers stands in a cell "
            f"({found['pairs_not_covered']} pairs do not)."
        ),
        "",
        *_prose(
            "Corpora have a million documents. The estimand is the share that an adjudicator calls harmful. "
            "A sequential review is declared with a quarter of its n and looked at whenever its size has "
            "doubled; a statement counts as kept when it holds at *every* look, and false GO is GO at the "
            "first look at which the gate passes, its limit half a document under the truth. Strata are kept "
            "apart however few draws they get, which is harder than what a run does. Where prevalence is 0, "
            "an upper limit cannot miss and no false GO is possible. A nested probe shares its random "
            "numbers with the review, whose sample is the first draws of the probe's: for limits from labels "
            "it is a stratified sample like any other."
        ),
        "",
        *_prose(
            f"Nominal is {found['nominal']:.0%}; tolerated is {found['tolerated']:.4f}, the exact binomial "
            f"quantile at {found['family_wise']} over all {len(_STATEMENTS)} statements of all cells "
            "(Bonferroni)."
        ),
        "",
        "![Coverage by cell](images/coverage.svg)",
        "",
        *_verdict(found),
        "",
        *(line for name in _STATEMENTS for line in _worst(rows, name)),
        *_by_level(rows),
        *(_by_labels(erring, found["tolerated"]) if erring else []),
    ]


def _verdict(found: Row) -> list[str]:
    if not found["bad"]:
        return ["**No cell is bad.**"]
    return [
        f"**{len(found['bad'])} cells are bad:**",
        "",
        *_table(
            (*_FACTORS, *_STATEMENTS), ([row[c] for c in (*_FACTORS, *_STATEMENTS)] for row in found["bad"])
        ),
    ]


def _worst(rows: Sequence[Row], statement: str) -> list[str]:
    titles = {
        "upper": "The upper limit is at or over the truth",
        "lower": "The lower limit is at or under the truth",
        "no_false_go": "No false GO, peeking included",
    }
    worst = sorted(rows, key=lambda row: row[statement])[:_WORST]
    table = _table((*_FACTORS, "share"), ([*(row[f] for f in _FACTORS), row[statement]] for row in worst))
    return [f"### {titles[statement]}: the {_WORST} worst cells", "", *table, ""]


def _by_level(rows: Sequence[Row]) -> list[str]:
    """Worst and mean of each statement at each level."""
    body = []
    for factor in _FACTORS:
        for level in sorted({row[factor] for row in rows}, key=str):
            inside = [row for row in rows if row[factor] == level]
            shares = [[row[s] for row in inside] for s in _STATEMENTS]
            body.append(
                [factor, level, len(inside), *(f"{min(s):.4f} / {sum(s) / len(s):.3f}" for s in shares)]
            )
    heads = ("factor", "level", "cells", *(f"{s}: worst / mean" for s in _STATEMENTS))
    return ["### By level", "", *_table(heads, body), ""]


def _by_labels(rows: Sequence[Row], tolerated: float) -> list[str]:
    """What happens to those who take negatives that nobody looked at again for certain."""
    names = ("upper", "upper_by_labels", "lower", "lower_by_labels")
    bad = [row for row in rows if min(row["upper_by_labels"], row["lower_by_labels"]) < tolerated]
    worst = sorted(rows, key=lambda row: row["upper_by_labels"])[:_WORST]
    return [
        "### Reviewers who err: two-phase limits, and labels taken at their word",
        "",
        *_prose(
            "Reviewers miss a tenth of the harm and raise half a percent of false alarms; "
            "all positives and a "
            "tenth of the negatives are adjudicated. The statements above are of the two-phase limits "
            "(`audit/statistics/adjudicated_limits.py`). `by labels`: limits from labels in which a "
            "negative that nobody "
            "looked at again is a no until one that was looked at turns out positive (`labels_for_limits`). "
            f"Of those, {len(bad)} of {len(rows)} cells are under what is tolerated."
        ),
        "",
        *_table(
            (*_FACTORS, *names), ([*(row[f] for f in _FACTORS), *(row[n] for n in names)] for row in worst)
        ),
        "",
    ]


def _widths(found: Row) -> list[str]:
    over = found["over_goal"]
    heads = (
        "prevalence",
        "n",
        "n·p",
        "AUC",
        "strata",
        "width",
        "goal",
        "covered",
        "naive width",
        "naive covered",
    )
    body = [
        [
            row["prevalence"],
            row["n"],
            f"{row['expected_positives']:g}",
            row["auc"],
            row["strata"],
            f"{row['ratio']:.3f}",
            "–" if row["goal"] is None else f"{row['goal']:g}",
            f"{row['covered']:.3f}",
            f"{row['naive_ratio']:.3f}",
            f"{row['naive_covered']:.3f}",
        ]
        for row in found["results"]
    ]
    missed = ", ".join(
        f"p = {row['prevalence']:g}, n = {row['n']:,}, AUC {row['auc']} "
        f"({row['ratio']:.3f}, goal {row['goal']:g})"
        for row in over
    )
    return [
        "## Width",
        "",
        *_prose(
            "`python -m benchmarks.widths`: median width at 95% a side, relative to Clopper-Pearson on as "
            f"many simple random labels, at fixed n; strata as a run forms them of a calibrated detector's "
            f"scores: the {len(found['cuts']) + 1} default bands joined to at most {found['most_bands']} "
            f"that suit the size, each of {found['joined_under']} expected draws at least; a "
            f"proportional share of {found['proportional_share']:g}. `covered` is of the two-sided interval, "
            "nominally 90%. The naive interval takes a stratum without a positive for certain: narrow, and "
            "wrong where harm is rare."
        ),
        "",
        f"Over the goal: {missed}." if over else "All goals are met.",
        "",
        *_table(heads, body),
        "",
    ]


_ALL_INSIDE = "in the range by scores alone in each case."


def _real_labels(found: Row) -> list[str]:
    heads = (
        "corpus",
        "truth",
        "n",
        "upper",
        "lower",
        "width",
        "to simple random",
        "plan if scores are right / seen",
        "plan by scores alone / seen (range)",
        "plan after pilot / seen (range)",
    )
    body = [
        [
            row["corpus"],
            f"{row['truth']:.4f}",
            row["n"],
            row["upper"],
            row["lower"],
            f"{row['width_seen']:.4f}",
            f"{row['width_over_simple_random']:.2f}",
            f"{row['planned_over_seen_if_scores_are_right']:.2f}",
            f"{row['planned_over_seen_from_scores']:.2f} "
            f"({row['width_range_from_scores'][0] / row['width_seen']:.2f}–"
            f"{row['width_range_from_scores'][1] / row['width_seen']:.2f})",
            f"{row['planned_over_seen_after_pilot']:.2f} "
            f"({min(row['width_planned_after_pilot']) / row['width_seen']:.2f}–"
            f"{max(row['width_planned_after_pilot']) / row['width_seen']:.2f})",
        ]
        for row in found["results"]
    ]
    bad = ", ".join(f"{row['corpus']} at n = {row['n']:,}" for row in found["bad"])
    outside = ", ".join(
        f"{row['corpus']} at n = {row['n']:,}" for row in found["results"] if not row["in_range"]
    )
    return [
        "## Labels of people",
        "",
        *_prose(
            "`python -m benchmarks.real_labels DATA`: three labelled data sets as corpora "
            "whose whole truth is "
            f"known, scored out of fold, {found['results'][0]['replicates']} audits each, drawn by permanent "
            "random numbers in the default bands, at fixed n. Tolerated is "
            f"{found['tolerated']:.3f}. " + (f"Bad: {bad}." if bad else "No case is bad.")
        ),
        "",
        *_prose(
            "Plans: the ratio of the width that `audit.statistics.planning` foretells to the median "
            "width that the audits "
            "then had. Scores taken for right promise too much wherever they are not calibrated to the "
            "corpus (these are, to a mix with 1% toxic texts). By scores alone, as a run's plan is: each "
            "play takes them to be off as they were on one of the other data sets, or worthless, and the "
            "share by a factor of three or so; the range holds 19 plays in 20. After a pilot of "
            f"{found['pilot']} judgements the plan knows the corpus' own slope and shift (range of twenty "
            "pilots). The width seen lies "
            + (f"outside of the range by scores alone for {outside}." if outside else _ALL_INSIDE)
        ),
        "",
        *_table(heads, body),
    ]


def _prose(words: str) -> list[str]:
    return textwrap.wrap(words, 110, break_on_hyphens=False, break_long_words=False)


def _table(heads: Sequence[str], body: Iterable[Sequence[Any]]) -> list[str]:
    return [
        "| " + " | ".join(heads) + " |",
        "|" + " --- |" * len(heads),
        *("| " + " | ".join(_cell(value) for value in row) + " |" for row in body),
    ]


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--out", type=Path, default=Path("docs/statistics_study.md"))
    arguments = parser.parse_args()
    names = ("coverage", "widths", "real_labels")
    found = [json.loads((arguments.results / f"{name}.json").read_text("utf-8")) for name in names]
    arguments.out.write_text(render(*found), encoding="utf-8")


if __name__ == "__main__":
    main()
