"""The derivation of a gate in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

_LONGEST = 30


def lines(told: Mapping[str, Any]) -> list[str | Table]:
    """What ``audit explain`` prints."""
    return [*_outcome(told), *_estimate(told), *_unread(told), *_sample(told), *_rest(told)]


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.3g}%"


def _outcome(told: Mapping[str, Any]) -> Iterator[str]:
    effect = "it blocks" if told["severity"] == "block" else "it warns"
    yield f"Gate {told['gate']!r}: {told['outcome']} ({effect}). {told['reason']}"
    yield (
        f"Rule: {told['metric']} in {told['slice']} at most {_percent(told['limit'])}, at alpha "
        f"{told['alpha']:g}; at least {told['minimum_n']:,} observations; "
        f"{'only' if told['requires_review'] else 'not only'} human judgements count."
    )
    if told["waived_by"]:
        state = "holds" if told["waived"] else "has expired"
        yield (
            f"Waiver by {told['waived_by']} until {told['waiver_expires']}, which {state}: "
            f"{told['waiver_reason']}. The outcome above is the true one."
        )


def _estimate(told: Mapping[str, Any]) -> Iterator[str]:
    if told["estimand"]:
        yield f"Estimand: {told['estimand']}."
    if told["missing"]:
        yield f"Missing: {told['missing']}."
    bounds = told["bounds"]
    if bounds is None:
        return
    estimate = told["estimate"] or {}
    yield (
        f"Estimate: {_percent(estimate.get('value'))} from {bounds['n']:,} observations of "
        f"{bounds['total']:,}; one-sided limits at alpha: lower {_percent(bounds['lower'])}, upper "
        f"{_percent(bounds['upper'])}."
    )
    if estimate.get("method"):
        yield f"Method: {estimate['method']}."
    yield (
        f"It passes when the upper limit is at or under {_percent(told['limit'])}, and fails when the lower "
        "is over it after correction for all gates of its kind."
    )
    holm = told["holm"]
    yield (
        f"Failing: p = {bounds['p_value_at_most']:.3g} of a share at most the limit; by Holm's procedure, as "
        f"number {holm['rank']} of {holm['gates']} gates, {holm['adjusted_p_value']:.3g} against "
        f"{holm['alpha']:g}."
    )


def _unread(told: Mapping[str, Any]) -> Iterator[str]:
    unread = told["unread"]
    if not unread["charged_to_the_slice"]:
        yield "Unread: nothing that counts; the limits are those of what was read."
        return
    line = (
        f"Unread: {unread['rejected']:,} records rejected, {_percent(unread['unread_share'])} of the bytes "
        f"not read, {_percent(unread['left_out_share'])} left out. Up to "
        f"{_percent(unread['charged_to_the_slice'])} of the slice may lie there, and counts as harm for the "
        "upper limit and as clean for the lower"
    )
    bounds = told["bounds"]
    if bounds is not None:
        line += (
            f"; of what was read the limits are {_percent(bounds['lower_of_read'])} and "
            f"{_percent(bounds['upper_of_read'])}"
        )
    yield f"{line}."


def _sample(told: Mapping[str, Any]) -> Iterator[str | Table]:
    design = told["design"]
    if design is None:
        return
    strata = ", ".join(design.get("strata", ()))
    yield (
        f"Design: {design['drawn']:,} documents drawn by permanent random numbers in strata of {strata}; "
        f"{_percent(design.get('proportional_share'))} of them at least in proportion to size, the rest "
        f"where harm is predicted; rule {design['rule']}. Those in the slice:"
    )
    columns = ("stratum", "documents", "drawn", "judged", "positives", "unsure", "waiting", "weight")
    table = Table(*columns, box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for row in told["strata"][:_LONGEST]:
        weight = "–" if row["weight"] is None else f"{row['weight']:.3g}"
        table.add_row(row["stratum"], *(f"{row[name]:,}" for name in columns[1:-1]), weight)
    yield table
    if len(told["strata"]) > _LONGEST:
        yield f"and {len(told['strata']) - _LONGEST:,} more strata, with --json"


def _rest(told: Mapping[str, Any]) -> Iterator[str]:
    for row in told["canaries"]:
        what = "control" if row["control"] else "canary"
        found = f", found {', '.join(row['found'])}" if row["found"] else ""
        yield (
            f"Canaries: {what} {row['canary']!r} of {row['screen']} {row['outcome']} in {row['passed']:,} of "
            f"{row['shards']:,} shards passed (expected {row['expected']}{found})."
        )
    plan = told["plan"]
    if plan["number"]:
        yield f"Plan {plan['number']}, frozen {plan['frozen_at']}: sha256 {plan['digest']}."
        if plan["changed"]:
            yield f"Changed since: {', '.join(plan['changed'])}."
    else:
        yield "Plan: not frozen yet; the first export or import of judgements freezes it."
    yield from _change(told)
    yield from (f"Source of {citation}." for citation in told["citations"])


def _change(told: Mapping[str, Any]) -> Iterator[str]:
    change = told["change"]
    if told["outcome"] != "insufficient evidence":
        return
    if change is None:
        yield "What would change it: the missing evidence named above."
        return
    if change["unjudged_strata"]:
        shown = ", ".join(change["unjudged_strata"][:5])
        yield f"What would change it: labels in strata without any: {shown}."
    elif change["labels"] is None:
        yield "What would change it: no number of labels like those so far is likely to."
    else:
        where = sorted(change["by_stratum"].items(), key=lambda item: -item[1])[:5]
        shown = ", ".join(f"{count:,} in {stratum}" for stratum, count in where)
        yield (
            f"What would change it: about {change['labels']:,} more labels that come out as those so far"
            f"{f' ({shown})' if shown else ''}."
        )
