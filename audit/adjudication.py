"""Adjudication: reviewers' answers looked at again, as a phase of the sample with its own probabilities.

All documents of which a reviewer said yes or was unsure, or on which reviewers differ, are looked at again;
of those that all called no, a random part per stratum. Given their number, that part is a simple random
sample of a stratum's negatives, drawn with a document's own random number, so that a larger review keeps
what was adjudicated (C.-E. Särndal, B. Swensson, J. Wretman, "Model Assisted Survey Sampling", 1992, §3.2
on Bernoulli sampling and §9.3 on two-phase sampling for stratification).

The final label of a document is the adjudicated one. A negative that was looked at stands for ``1 / pi2``
negatives of its stratum: where one turns out positive, so might the others that nobody looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

PHASE = "adjudication"
YES, NO, UNSURE = "yes", "no", "unsure"


@dataclass(frozen=True)
class Reviewed:
    """What reviewers said of a drawn document, to one question.

    Attributes:
        doc_id, text_digest: The document.
        stratum, draw: Of the first phase; ``draw`` is the rank from 1.
        probability: Of the first phase, pi1.
        labels: Of its reviewers, as ``Question.verdict`` has them.
        adjudicated: Of those who looked again.
    """

    doc_id: str
    text_digest: str
    stratum: str
    draw: int
    probability: float
    labels: tuple[str, ...]
    adjudicated: tuple[str, ...] = ()

    @property
    def is_negative(self) -> bool:
        """Whether all reviewers called it no."""
        return set(self.labels) == {NO}


@dataclass(frozen=True)
class Adjudicated:
    """A reviewed document after the second phase.

    Attributes:
        reviewed: What the first phase says.
        selected: Whether it is to be looked at again.
        probability: pi2 given the first phase: 1 for what is looked at in any case, else the share of the
            stratum's negatives that is.
        label: The final label: what adjudicators agree on; ``unsure`` while it waits for them; of a negative
            that was not selected, ``no`` as its reviewers said.
    """

    reviewed: Reviewed
    selected: bool
    probability: float
    label: str

    @property
    def weight(self) -> float:
        """How many reviewed documents of its stratum it stands for: 1 / pi2, and 0 if not selected."""
        return 1.0 / self.probability if self.selected else 0.0


def consensus(labels: Iterable[str]) -> str | None:
    """The label that all gave; unsure where they differ; None where nobody said anything.

    A majority would let whoever brings more names outvote a finding.
    """
    said = set(labels)
    return None if not said else said.pop() if len(said) == 1 else UNSURE


def number(seed: bytes, doc_id: str, text_digest: str) -> float:
    """The document's own random number for this phase, uniform on [0, 1)."""
    digest = hashlib.blake2b(f"{PHASE}\0{doc_id}\0{text_digest}".encode(), key=seed, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def adjudicate(documents: Sequence[Reviewed], share: float, seed: bytes) -> list[Adjudicated]:
    """Select what is looked at again, and give every document its final label.

    Args:
        documents: Reviewed ones of one question: at least one label each.
        share: Of the negatives of each stratum, at least one where there is any.
        seed: Of the sample, 16 bytes.
    """
    numbers = {d.doc_id: number(seed, d.doc_id, d.text_digest) for d in documents}
    strata: dict[str, list[Reviewed]] = {}
    for document in documents:
        if document.is_negative:
            strata.setdefault(document.stratum, []).append(document)
    drawn: dict[str, frozenset[str]] = {}
    for stratum, negatives in strata.items():
        smallest = min(negatives, key=lambda d: numbers[d.doc_id])
        under = {d.doc_id for d in negatives if numbers[d.doc_id] < share}
        drawn[stratum] = frozenset(under or {smallest.doc_id})
    return [_adjudicated(d, drawn.get(d.stratum, frozenset()), strata) for d in documents]


def _adjudicated(
    document: Reviewed, drawn: frozenset[str], strata: Mapping[str, Sequence[Reviewed]]
) -> Adjudicated:
    if not document.is_negative:
        return Adjudicated(document, True, 1.0, consensus(document.adjudicated) or UNSURE)
    probability = len(drawn) / len(strata[document.stratum])
    if document.doc_id not in drawn:
        return Adjudicated(document, False, probability, NO)
    return Adjudicated(document, True, probability, consensus(document.adjudicated) or UNSURE)


def labels_for_limits(documents: Sequence[Adjudicated]) -> list[Adjudicated]:
    """Labels for those who know one phase only (not for prevalences): never too sure of what was found wrong.

    In a stratum where a negative that was looked at is not one, the negatives that nobody looked at are
    unsure: harm for the upper limit, none for the lower. Where none was found, reviewers are believed, so
    that limits from these labels may miss; prevalences rest on the weights instead (``second_phase``).
    """
    doubted = {
        d.reviewed.stratum
        for d in documents
        if d.selected and d.reviewed.is_negative and d.reviewed.adjudicated and d.label != NO
    }
    return [
        replace(d, label=UNSURE) if not d.selected and d.reviewed.stratum in doubted else d for d in documents
    ]


def prevalence(documents: Sequence[Adjudicated], sizes: Mapping[str, int]) -> float | None:
    """Two-phase estimate of the share of documents that adjudication would call positive.

    Särndal, Swensson and Wretman (1992), §9.3: strata of the first phase, post-strata by its answers.

    Args:
        documents: All that were reviewed, of one question.
        sizes: Documents of the corpus by stratum; strata without a reviewed document are left out.

    Returns:
        None while a selected document waits, is unsure, or nothing was reviewed.
    """
    if not documents or any(d.selected and d.label not in (YES, NO) for d in documents):
        return None
    reviewed: dict[str, int] = {}
    positive: dict[str, float] = {}
    for d in documents:
        stratum = d.reviewed.stratum
        reviewed[stratum] = reviewed.get(stratum, 0) + 1
        positive[stratum] = positive.get(stratum, 0.0) + (d.weight if d.label == YES else 0.0)
    total = sum(sizes[stratum] for stratum in reviewed)
    return sum(sizes[stratum] * positive[stratum] / reviewed[stratum] for stratum in reviewed) / total


def counts_by_stratum(documents: Sequence[Adjudicated], strata: Sequence[str]) -> dict[str, list[int]]:
    """What ``audit.statistics.adjudicated_limits.adjudicated_values`` wants, a number a stratum.

    A document that waits for adjudication, or whose adjudication stays unsure, counts as ``undecided``: a
    caller takes those for upheld (overturned) for an upper limit, and for none for a lower one.

    Args:
        documents: All that were reviewed, of one question.
        strata: In the order of the numbers.

    Returns:
        ``positives`` (looked at in any case), ``upheld``, ``positives_undecided``, ``negatives``, ``again``
        (those of them that are looked at), ``overturned``, ``again_undecided``.
    """
    place = {stratum: at for at, stratum in enumerate(strata)}
    names = (
        "positives",
        "upheld",
        "positives_undecided",
        "negatives",
        "again",
        "overturned",
        "again_undecided",
    )
    counts = {name: [0] * len(strata) for name in names}
    for d in documents:
        negative, at = d.reviewed.is_negative, place[d.reviewed.stratum]
        counts["negatives" if negative else "positives"][at] += 1
        if negative and d.selected:
            counts["again"][at] += 1
        if d.selected and d.label == YES:
            counts["overturned" if negative else "upheld"][at] += 1
        elif d.selected and d.label != NO:
            counts["again_undecided" if negative else "positives_undecided"][at] += 1
    return counts
