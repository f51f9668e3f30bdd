"""Tables of the model card, in Markdown, from its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; names that end in ``>`` are right-aligned."""
    heads = [name.removesuffix(">") for name in names]
    rule = ["---:" if name.endswith(">") else "---" for name in names]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *rows]) + "\n"


def percent(value: float | None) -> str:
    """A share in percent; a dash for none."""
    return "–" if value is None else f"{100 * value:.2f}%"


def interval(figure: Mapping[str, float] | None) -> str:
    """A figure with its interval; a dash for none."""
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})" if figure else "–"


def data_sets(card: Mapping[str, Any]) -> str:
    """Data, licences and figures of each data set."""
    names = [
        "data set", "language", "rows>", "trained on>", "measured on>", "toxic>", "AUC", "recall>",
        "false positives>", "slope>", "intercept>", "licence",
    ]  # fmt: skip
    return table(names, [_data_set(row, card["languages"]) for row in card["data_sets"]])


def _data_set(row: Mapping[str, Any], languages: Sequence[str]) -> list[str]:
    # a language without a model was trained on in cross-validation only
    trained = row["trained_on"] if row["language"] in languages else 0
    found = row.get("calibration")
    lines = [
        f"{found[name]:.2f} ± {1.96 * found[name + '_error']:.2f}" if found else "–"
        for name in ("slope", "intercept")
    ]
    return [
        row["data_set"],
        row["language"],
        f"{row['rows']:,}",
        f"{trained:,}",
        f"{row['reported']:,}",
        f"{row['positives']:,}",
        interval(row.get("auc")),
        percent(row.get("recall")),
        percent(row.get("false_positive_rate")),
        *lines,
        row["licence"],
    ]


def labels(card: Mapping[str, Any]) -> str:
    """Figures of each label on each data set that has it."""
    names = ["label", "data set", "language", "rows>", "positives>", "AUC", "claimed"]
    return table(
        names,
        [
            [
                row["label"], row["data_set"], row["language"], f"{row['rows']:,}", f"{row['positives']:,}",
                interval(row.get("auc")), "yes" if row["claimed"] else "no",
            ]
            for row in card["label_figures"]
        ],
    )  # fmt: skip


def reliability(card: Mapping[str, Any]) -> str:
    """Reliability tables, one under the other."""
    names = ["language", "probability", "texts>", "toxic>", "predicted>", "observed>"]
    return table(
        names,
        [
            [
                language, f"{row['low']:g}–{row['high']:g}", f"{row['texts']:,}", f"{row['positives']:,}",
                percent(row["predicted"]), percent(row["observed"]),
            ]
            for language, rows in card["reliability"].items()
            for row in rows
        ],
    )  # fmt: skip


def identity(card: Mapping[str, Any]) -> str:
    """Bias by term, the most flagged and the worst-ranked first."""
    terms = sorted(
        card["identity"]["terms"],
        key=lambda row: (-(row["false_positive_rate"] or 0), row["bpsn_auc"] or 1, row["term"]),
    )
    names = ["term", "neutral sentences>", "flagged>", "subgroup AUC>", "BPSN AUC>", "BNSP AUC>"]
    return table(
        names,
        [
            [
                row["term"], str(row["neutral_sentences"]), percent(row["false_positive_rate"]),
                *[_number(row[name]) for name in ("subgroup_auc", "bpsn_auc", "bnsp_auc")],
            ]
            for row in terms
        ],
    )  # fmt: skip


def by_set(first: str, found: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each name, a column for each data set."""
    sets = list(next(iter(found.values())))
    names = [first, *[f"{name}>" for name in sets]]
    return table(names, [[name, *[f"{row[key]:.3f}" for key in sets]] for name, row in found.items()])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
