"""The scorecard as Markdown: complete, readable in a terminal and on a code host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit import disk_budget
from audit.model import WHOLE
from audit.wordings import (
    markdown_agreement,
    markdown_duplicates,
    markdown_policy,
    markdown_probes,
    markdown_quality,
    markdown_toxicity,
    wording,
)
from audit.wordings.figures import (
    ABSENT,
    MAX_ROWS,
    count,
    flatten,
    interval,
    limit,
    rarity,
    ratio,
    share,
    size,
    words,
)
from audit.wordings.markdown_cells import code, table, text

Row = Mapping[str, Any]


def render(scorecard: Row) -> str:
    """Render the page. Names and ids are escaped, so that none can become a link, a tag or a column."""
    sections = (
        _verdict,
        _gates,
        _estimates,
        _accounting,
        _not_evaluated,
        _findings,
        _slices,
        markdown_policy.canaries,
        markdown_quality.section,
        markdown_toxicity.section,
        _duplicates,
        _probes,
        _sampling,
        _provenance,
    )
    return "\n\n".join(block for section in sections for block in section(scorecard)) + "\n"


def _verdict(card: Row) -> Iterable[str]:
    yield f"# {text(card['corpus'])}: {card['verdict']}"
    yield f"**{text(card['verdict_reason'], 600)}**"
    yield wording.MEANING[card["verdict"]]
    yield f"Run {code(card['run_id'])}. {wording.tally(card['gates']).capitalize()}."
    if card["next_steps"]:
        yield "## What to do next"
        steps = card["next_steps"][:MAX_ROWS]
        yield "\n".join(f"{i}. **{text(s['subject'])}**: {text(s['text'])}" for i, s in enumerate(steps, 1))


def _gates(card: Row) -> Iterable[str]:
    yield "## Gates"
    if not card["gates"]:
        yield "The policy has no gates, so nothing can pass."
        return
    rows = [
        [
            f"{wording.MARK[gate['outcome']]} {gate['outcome']}",
            code(gate["gate"]),
            f"{text(gate['metric'])}, {text(wording.slice_name(gate['slice']))}",
            *_estimate(gate["estimate"]),
            limit(gate["limit"]),
            wording.SEVERITY[gate["severity"]] + (", waived" if gate.get("waived") else ""),
            text(gate["reason"]),
        ]
        for gate in card["gates"]
    ]
    yield from table(
        "Outcome | Gate | Metric, slice | Estimate# | Interval | n# | Limit# | Effect | Why", rows
    )
    yield from markdown_policy.waivers(card)


def _estimate(row: Row | None) -> tuple[str, str, str]:
    if row is None:
        return ABSENT, ABSENT, ABSENT
    rare = rarity(row["value"])
    value = f"{share(row['value'])} ({rare})" if rare else share(row["value"])
    return value, interval(row["low"], row["high"]), count(row["n"])


def _estimates(card: Row) -> Iterable[str]:
    yield "## Estimates"
    if not card["estimates"]:
        yield f"{ABSENT.capitalize()}: nothing was estimated."
    groups = wording.by_metric(card["estimates"])
    whole = [row for _, rows in groups for row in rows if row["slice"] == WHOLE]
    if whole:
        yield from _estimate_table("Whole corpus", [text(row["metric"]) for row in whole], whole)
    for metric, rows in groups:
        if len(rows) > 1:
            yield f"### {text(metric)} by slice"
            names = [text(wording.slice_name(row["slice"])) for row in rows]
            yield from _estimate_table("Slice", names, rows)


def _estimate_table(title: str, names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    cells = [
        [name, *_estimate(row), limit(row["confidence"]), text(row["method"])]
        for name, row in zip(names, rows, strict=True)
    ]
    return table(f"{title} | Estimate# | Interval | n# | Confidence# | Method", cells)


def _accounting(card: Row) -> Iterable[str]:
    account = card["accounting"]
    yield "## Accounting"
    yield (
        f"{count(account['documents_in'])} documents in = {count(account['screened'])} screened "
        f"+ {count(account['rejected'])} rejected. {size(account['bytes'])}, "
        f"tokens: {count(account['tokens'])}."
    )
    shards = account["shards"]
    yield (
        f"{count(shards['total'])} shards: {count(shards['complete'])} complete, "
        f"{count(shards['truncated'])} truncated, {count(shards['failed'])} failed."
    )
    if "disk" in account:
        yield disk_budget.sentence(account["disk"])
    if "coverage" in account:
        unread, allowed = account["coverage"]["unread_share"], account["coverage"]["max_unscreened"]
        yield (
            f"Bytes that could not be read: {share(unread)}. A GO allows at most {limit(allowed)} of the "
            "records rejected, or of the bytes unread."
        )
    if account["rejects"]:
        rows = [[text(words(row["reason"])), count(row["documents"])] for row in account["rejects"]]
        yield from table("Rejected because | Records#", rows)
    if account["incomplete_shards"]:
        yield from _incomplete_shards(account)
    if card["screens"]:
        figures = ("evaluated", "skipped", "failed")
        rows = [[code(row["screen"]), *(count(row[name]) for name in figures)] for row in card["screens"]]
        yield from table("Screen | Evaluated# | Skipped# | Failed#", rows)


def _incomplete_shards(account: Row) -> list[str]:
    rows = [
        [
            code(row["uri"]),
            row["status"],
            text(row["reason"] or "no reason recorded"),
            count(row["documents"]),
            count(row["rejected"]),
        ]
        for row in account["incomplete_shards"]
    ]
    unread = account["shards"]["truncated"] + account["shards"]["failed"]
    return table("Incomplete shard | State | Reason | Screened# | Rejected#", rows, unread)


def _not_evaluated(card: Row) -> Iterable[str]:
    yield "## What was not evaluated, and why"
    screened = card["accounting"]["screened"]
    rows = [
        [
            code(row["screen"]),
            row["outcome"],
            text(row["reason"]),
            count(row["documents"]),
            share(ratio(row["documents"], screened)),
        ]
        for row in card["not_evaluated"]
    ]
    if rows:
        yield from table("Screen | Outcome | Reason | Documents# | Of the screened#", rows)
    else:
        yield "Every screen evaluated every screened document."


def _findings(card: Row) -> Iterable[str]:
    findings = card["findings"]
    yield "## Findings"
    yield wording.FLAGGED_NOTE
    if findings["flagged"]:
        rows = [[code(row["screen"]), *_flagged(row)] for row in findings["flagged"]]
        yield from table("Screen | Flagged# | Of evaluated documents# | Of evaluated tokens#", rows)
    yield f"{count(findings['total'])} located findings."
    kinds = sorted(findings["kinds"], key=lambda row: -int(row["findings"]))
    rows = [
        [
            code(row["screen"]),
            code(row["kind"]),
            row["severity"],
            count(row["findings"]),
            count(row["documents"]),
        ]
        for row in kinds
    ]
    if rows:
        yield from table("Screen | Kind | Severity | Findings# | Documents#", rows)


def _flagged(row: Row) -> tuple[str, str, str]:
    tokens = ratio(row["flagged_tokens"], row["evaluated_tokens"])
    return count(row["flagged"]), share(ratio(row["flagged"], row["evaluated"])), share(tokens)


def _slices(card: Row) -> Iterable[str]:
    screens = [row["screen"] for row in card["findings"]["flagged"]]
    for group in card["slices"]:
        yield f"### Flagged share of evaluated documents by {text(words(group['dimension']))}"
        rows = [
            [text(row["value"]), count(row["documents"]), *(_slice_share(row, screen) for screen in screens)]
            for row in group["largest"]
        ]
        names = "".join(f" | {text(words(screen))}#" for screen in screens)
        yield from table(f"{text(words(group['dimension']))} | Documents#{names}", rows, group["values"])


def _slice_share(row: Row, screen: str) -> str:
    counts = row["screens"].get(screen)
    return share(ratio(counts["flagged"], counts["evaluated"])) if counts else ABSENT


def _duplicates(card: Row) -> Iterable[str]:
    duplicates = card["duplicates"]
    yield "## Duplicates"
    copies = duplicates["copies"]
    if copies is None:
        yield f"{ABSENT.capitalize()}: no duplicate screen ran to its end."
    else:
        number, documents, tokens = _flagged(copies)
        yield (
            f"{number} copies, which would go if one document of each cluster stayed: {documents} of the "
            f"documents, {tokens} of the tokens."
        )
    yield from markdown_duplicates.alarms(duplicates)
    yield from markdown_duplicates.by_slice(card["slices"])
    for search in duplicates["searches"]:
        rows = [[text(words(name)), count(value)] for name, value in sorted(search["statistics"].items())]
        yield from table(f"Search: {text(words(search['screen']))} | Value#", rows) if rows else ()
    if duplicates["largest_clusters"]:
        yield from markdown_duplicates.clusters(duplicates["largest_clusters"])
    yield from markdown_duplicates.differences(duplicates["differences"])
    yield from markdown_duplicates.paragraphs(card["repeated_paragraphs"])


def _probes(card: Row) -> Iterable[str]:
    yield from markdown_probes.section(card.get("probes"))


def _sampling(card: Row) -> Iterable[str]:
    sampling = card["sampling"]
    yield "## Sampling and judgements"
    figures = ("documents", "drawn", "judged")
    rows = [
        [
            row["phase"],
            text(wording.slice_name(row["stratum"])),
            text(row["design"]),
            *(count(row[name]) for name in figures),
        ]
        for row in sampling["strata"]
    ]
    if rows:
        yield from table("Phase | Stratum | Design | Documents# | Drawn# | Judged#", rows)
    else:
        yield f"{ABSENT.capitalize()}: no sample was drawn."
    yield from markdown_policy.plan(card)
    yield from _judgements(sampling["judgements"])
    yield from markdown_agreement.section(card)
    if sampling["settings"]:
        yield from _settings("Setting", sampling["settings"])


def _judgements(judgements: Row) -> Iterable[str]:
    if not judgements["labels"]:
        yield f"{ABSENT.capitalize()}: nobody has judged a document yet."
        return
    yield (
        f"{count(judgements['total'])} judgements of {count(judgements['documents'])} documents, "
        f"reviewers: {count(judgements['reviewers'])}."
    )
    rows = [
        [text(row["question"]), text(row["label"]), count(row["judgements"]), count(row["documents"])]
        for row in judgements["labels"]
    ]
    yield from table("Question | Answer | Judgements# | Documents#", rows)


def _provenance(card: Row) -> Iterable[str]:
    yield "## Provenance"
    yield "To check that no byte of the evidence has changed, in the run folder: `audit verify .`"
    plain = {key: value for key, value in card["provenance"].items() if not isinstance(value, Mapping)}
    yield from _settings("Run", plain) if plain else ()
    for key in sorted(card["provenance"].keys() - plain.keys()):
        yield from _settings(text(words(key)).capitalize(), card["provenance"][key])


def _settings(title: str, settings: Row) -> list[str]:
    rows = [[code(key), code(value)] for key, value in flatten(settings)]
    return table(f"{title} | Value", rows) if rows else []
