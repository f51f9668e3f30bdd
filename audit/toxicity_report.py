"""What the scorecard says of the toxicity models beside the estimates: identity bias, and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from audit import identity_bias, recalibration, scored_draws
from audit.config import AuditConfig
from audit.database import Builder
from audit.detector_evidence import detectors
from audit.drawing import Drawing
from audit.model import WHOLE
from audit.screens.toxicity import IDENTITY_MENTION, Toxicity


def fill(builder: Builder, config: AuditConfig, cache: Path, drawing: Drawing | None) -> dict[str, Any]:
    """Fill the tables ``calibration`` and ``reliability``; return sections of the scorecard.

    Args:
        builder: With counts, samples and judgements filled.
        config: Of the run.
        cache: Folder for what was measured of the models before.
        drawing: The review sample; None when there is no document.

    Returns:
        ``identity_bias`` and ``calibration``: JSON values, None where no model for toxicity is in use.
    """
    screens = config.build_screens()
    models = identity_bias.models_in_use([*screens, *config.build_probes()])
    bias = None
    if models:
        bias = {"models": identity_bias.figures(models, cache), "mentions": _mentions(builder.db)}
    screen = next((one for one in screens if isinstance(one, Toxicity)), None)
    calibration = None
    detector = next((one for one in detectors(config) if one.screen == Toxicity.name), None)
    if screen is not None and drawing is not None and detector is not None:
        parts = scored_draws.parts(WHOLE, drawing, scored_draws.draws(builder.db, detector), detector)
        found = recalibration.judged(parts)
        calibration = recalibration.section(found, screen.threshold, detector.question)
        for table, rows in recalibration.tables(calibration).items():
            builder.insert(table, pa.Table.from_pylist([dict(row) for row in rows], builder.schema(table)))
    return {"identity_bias": bias, "calibration": calibration}


def _mentions(db: duckdb.DuckDBPyConnection) -> dict[str, int] | None:
    """Documents that the screen flagged, and those where a flagged segment names a group; additive counts."""
    ((flagged,),) = db.execute(
        "SELECT sum(flagged) FROM slice_counts WHERE screen = ? AND dimension = ?", [Toxicity.name, WHOLE]
    ).fetchall()
    if flagged is None:
        return None
    named = db.execute(
        """SELECT coalesce(sum(documents), 0) FROM finding_counts
        WHERE screen = ? AND kind = ? AND dimension = ?""",
        [Toxicity.name, IDENTITY_MENTION, WHOLE],
    ).fetchall()
    return {"flagged": int(flagged), "naming_a_group": int(named[0][0])}
