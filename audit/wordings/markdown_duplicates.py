"""What the Markdown page says of duplicates beyond their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.wordings import wording
from audit.wordings.figures import ABSENT, MAX_ROWS, count, ratio, share, size, words
from audit.wordings.markdown_cells import code, table, text

Row = Mapping[str, Any]

_HUNK = ("before", "removed", "added", "after")


def alarms(duplicates: Row) -> Iterable[str]:
    """Sources and domains that would go with the copies."""
    rule = duplicates["alarm_rule"]
    yield "### Sources that would go with their copies"
    yield wording.alarm_rule(rule)
    if not duplicates["alarms"]:
        return
    rows = [
        [
            row["dimension"],
            text(row["value"]),
            count(row["documents"]),
            count(row["copies"]),
            share(ratio(row["copies"], row["documents"])),
            share(ratio(row["copied_tokens"], row["tokens"])),
        ]
        for row in duplicates["alarms"]
    ]
    header = "⚠ Of | Value | Documents# | Copies# | Of its documents# | Of its tokens#"
    yield from table(header, rows, rule["total"])


def by_slice(slices: Sequence[Row]) -> Iterable[str]:
    """Share of copies among documents and among tokens, by slice."""
    for group in slices:
        members = [row for row in group["largest"] if "duplicates" in row["screens"]]
        rows = [[text(row["value"]), *_copies(row["screens"]["duplicates"])] for row in members]
        name = text(words(group["dimension"]))
        header = f"Copies by {name} | Documents# | Copies# | Of documents# | Of tokens#"
        yield from table(header, rows, group["values"]) if rows else ()


def _copies(counts: Row) -> list[str]:
    tokens = ratio(counts["flagged_tokens"], counts["evaluated_tokens"])
    documents = ratio(counts["flagged"], counts["evaluated"])
    return [count(counts["evaluated"]), count(counts["flagged"]), share(documents), share(tokens)]


def clusters(largest: Sequence[Row]) -> list[str]:
    """The largest clusters, and what they are."""
    rows = [
        [
            code(row["cluster_id"]),
            count(row["documents"]),
            count(row["exact"]),
            _similarity(row["min_jaccard"]),
            f"{row['nature']}: {text(row['nature_reason'])}",
            ", ".join(code(member) for member in row["members"]),
        ]
        for row in largest
    ]
    header = "Largest clusters | Documents# | Identical text# | Lowest similarity# | Nature | Some members"
    return table(header, rows)


def differences(rows: Sequence[Row]) -> Iterable[str]:
    """How the representative of each of the very largest differs from the member least like it."""
    if not rows:
        return
    yield "### Two members of the largest clusters, compared"
    yield wording.DIFFERENCE_NOTE
    for row in rows:
        similarity = _similarity(row["jaccard"])
        who = f"{code(row['representative'])} and {code(row['member'])}, similarity {similarity}"
        yield f"Cluster {code(row['cluster_id'])}: {who}."
        if row["hunks"]:
            yield from _hunks(row)
        else:
            yield f"No difference is shown: {text(row['reason'])}."
        if wording.remainder(row):
            yield wording.remainder(row)


def _hunks(row: Row) -> list[str]:
    cells = [[text(hunk[name], 300) for name in _HUNK] for hunk in row["hunks"]]
    return table("Before | In the first | In the second | After", cells)


def paragraphs(repeated: Row | None) -> Iterable[str]:
    """Boilerplate: bytes in paragraphs that many documents share."""
    yield "### Repeated paragraphs"
    if repeated is None:
        yield f"{ABSENT.capitalize()}: the screen did not run to its end."
        return
    bytes_ = ratio(repeated["repeated_bytes"], repeated["evaluated_bytes"])
    yield (
        f"{share(bytes_)} of the bytes ({size(repeated['repeated_bytes'])}) stand in paragraphs that many "
        f"documents share, in {count(repeated['evaluated'])} documents evaluated."
    )
    rows = [
        [code(row["hash"]), count(row["documents"]), size(row["bytes"]), code(row["doc_id"])]
        for row in repeated["most_repeated"][:MAX_ROWS]
    ]
    if rows:
        yield wording.PARAGRAPH_NOTE
        yield from table("Paragraph | Documents# | Bytes in all# | Stands in", rows)


def _similarity(jaccard: float | None) -> str:
    return ABSENT if jaccard is None else f"{jaccard:.2f}"
