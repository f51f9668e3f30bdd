"""When limits may be looked at: once, at the declared size, or at every judgement.

Whoever looks at limits as he goes, or extends a sample that did not decide, chooses where to stop. The rule
``SEQUENTIAL`` pays for that: looks lie at the declared size times powers of two, fixed before the first
label, and each has a share of alpha of its own, so that all their limits hold at once (Bonferroni). The
declared look has half of alpha; half of the rest is for the looks before it and half for those after, the
k-th nearest of either side with ``1/(k(k + 1))`` of it, which sums to one however far the sample is extended
(alpha spending: K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika
70, 1983; looks at geometric sizes: H. Robbins, "Statistical methods related to the law of the iterated
logarithm", Annals of Mathematical Statistics 41, 1970).

A look consists of the first draws of each stratum, whoever judged them and in which order. Draws of a look
that have no judgement yet count as harm for the upper limit and as clean for the lower, so an unfinished
look has valid limits too: after every judgement the best limit over the looks holds.

Betting confidence sequences (``betting``) are the alternative that updates at every judgement. They
do not know the strata, and at the declared size they are wider (``docs/statistics.md`` has the figures).
"""

from __future__ import annotations

from typing import Literal

#: ``fixed``: all of alpha at the declared size. ``sequential``: valid at every judgement.
Rule = Literal["fixed", "sequential"]

FIXED: Rule = "fixed"
SEQUENTIAL: Rule = "sequential"

#: The look at the declared size; look j lies at that size times 2 to the power of j.
DECLARED = 0
#: No look lies further than this many doublings from the declared size.
FARTHEST = 12


def share_of_alpha(look: int) -> float:
    """Share of alpha that a look may use; over all looks they sum to at most 1.

    Args:
        look: Doublings from the declared size, negative before it.
    """
    k = abs(look)
    return 0.5 if look == DECLARED else 0.25 / (k * (k + 1))


def size_at(declared: int, look: int) -> int:
    """Draws at a look of a sample that was declared with ``declared``, rounded up."""
    return declared << look if look >= 0 else -(-declared // (1 << -look))
