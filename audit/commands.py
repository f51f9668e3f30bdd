"""What each command does, as one library call that returns plain data.

A command imports what it uses when it is called: it starts sooner, and ``run`` starts a worker before.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import preparing
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from audit.engine_choice import EngineOptions
    from audit.forecast.forecasting import Options
    from audit.model import Verdict
    from audit.progress import Reporter
    from audit.run import Run

PROFILES = "profiles"
SCHEMA_FILE = "audit.schema.json"


def run(
    config_file: Path,
    inputs: tuple[str, ...],
    out: str | Path,
    *,
    options: EngineOptions,
    fresh: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Audit a corpus; see ``pipeline.audit``."""
    with preparing.prepared_worker(config_file) as first:
        from audit import config as configuration
        from audit.engine_choice import chosen_engine

        config, report = configuration.load(config_file), _reporter(quiet)
        with _naming(config_file, inputs), chosen_engine(config, options, report, first) as chosen:
            from audit import pipeline
            from audit.run import Run
            from audit.stages.request import Request

            request, target = Request(config, config_file.resolve().parent, inputs), Run.at(out)
            verdict = pipeline.audit(request, target, chosen, report, fresh=fresh)
    return {**_result(target, verdict), "spent": _spent(target)}


def forecast(config_file: Path, inputs: tuple[str, ...], options: Options) -> dict[str, Any]:
    """What a run would cost; see ``forecasting.forecast``."""
    from audit import config as configuration
    from audit.forecast import forecasting
    from audit.stages.request import Request

    config = configuration.load(config_file)
    with _naming(config_file, inputs):
        return forecasting.forecast(Request(config, config_file.resolve().parent, inputs), options)


def _spent(target: Run) -> dict[str, Any]:
    """What the last pass cost by stage, from the journal."""
    from audit import pipeline
    from audit.workers import stage_times

    told = [entry.data for entry in target.journal.read() if entry.event == pipeline.SPENT][-1]
    return {**told, "stages": [dataclasses.asdict(row) for row in stage_times.table(told)]}


@contextmanager
def _naming(config_file: Path, inputs: Sequence[str]) -> Iterator[None]:
    """Name the configuration in errors about a key of it, and the command where it overrides the key."""
    try:
        yield
    except ConfigurationError as error:
        if inputs and error.key == "corpus.inputs":
            raise ConfigurationError(error.message, key="INPUT", remedy=error.remedy) from error
        if error.file is None and error.key is not None and not error.key.startswith("--"):
            raise ConfigurationError(
                error.message, file=str(config_file), key=error.key, remedy=error.remedy
            ) from error
        raise


def init(profile: str, out: Path) -> str:
    """Write a starter configuration and its JSON Schema; returns what to do next."""
    from audit import config as configuration

    folder = resources.files("audit") / PROFILES
    known = sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )
    if profile == "list":
        return "\n".join(known)
    if profile not in known:
        raise ConfigurationError(
            f"unknown profile {profile!r}", key="--profile", remedy=f"Known: {', '.join(known)}"
        )
    if out.exists():
        raise ConfigurationError(
            "the file exists", file=str(out), remedy="Choose another --out, or remove it"
        )
    schema = out.with_name(SCHEMA_FILE)
    text = (folder / f"{profile}.yaml").read_text(encoding="utf-8")
    out.write_text(f"# yaml-language-server: $schema={SCHEMA_FILE}\n{text}", encoding="utf-8")
    schema.write_text(
        json.dumps(configuration.json_schema(), indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    return (
        f"wrote {out} and {schema}; edit corpus.inputs, then: audit doctor {out} && audit run {out} --out RUN"
    )


def sample(
    folder: str | Path,
    out: Path | None,
    *,
    file_format: str,
    size: int | None,
    quiet: bool,
    reviewers: int | None = None,
    phase: str = "review",
) -> dict[str, Any]:
    """Export the review sample, extended first where a larger size is asked for, or what to adjudicate."""
    if out is None:
        raise ConfigurationError(
            "no file to write", key="--out", remedy="Give --out FILE, or --plan to plan the review"
        )
    from audit import adjudication, evaluation, reviewing
    from audit.run import Run

    target = Run.existing(folder)
    with target.locked():
        if size is not None:
            evaluation.extend(target, size, _reporter(quiet))
        if phase == adjudication.PHASE:
            reviewing.open_adjudication(target)
            evaluation.evaluate(target, _reporter(quiet))
        return reviewing.export(target, out, file_format, reviewers=reviewers, phase=phase)


def plan_review(folder: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """What numbers of judgements are likely to decide; see ``review_plan.plan``.

    Args:
        folder: Of the run.
        given: ``--plan`` and ``--budget``, with ``--out`` and ``--size``, which contradict them.
    """
    if not given["--plan"]:
        raise ConfigurationError(
            "a budget is planned with", key="--budget", remedy="Give --plan too; --size draws more documents"
        )
    for name in ("--out", "--size"):
        if given[name] is not None:
            raise ConfigurationError(
                "--plan writes and draws nothing", key=name, remedy=f"Leave {name} or --plan out"
            )
    from audit import review_plan
    from audit.run import Run

    target = Run.existing(folder)
    with target.locked():
        return review_plan.plan(target, given["--budget"])


def judge(folder: str | Path, files: Sequence[Path], *, quiet: bool) -> dict[str, Any]:
    """Import judgements, all files or none, and evaluate again."""
    from audit import evaluation, reviewing
    from audit.run import Run

    target = Run.existing(folder)
    with target.locked():
        notes = reviewing.take_in(target, files)
        verdict = evaluation.evaluate(target, _reporter(quiet))
    return {**_result(target, verdict), "notes": notes}


def scorecard(folder: str | Path, formats: Sequence[str], out: Path | None, *, quiet: bool) -> dict[str, Any]:
    """Evaluate again and render; into another folder when one is given."""
    from audit import evaluation
    from audit.renderers import RENDERERS
    from audit.run import Run
    from audit.storage.store import write_atomically

    unknown = [name for name in formats if name not in RENDERERS]
    if unknown or not formats:
        raise ConfigurationError(
            f"unknown format {unknown[0]!r}" if unknown else "no format",
            key="--format",
            remedy=f"Known: {', '.join(RENDERERS)}",
        )
    target = Run.existing(folder)
    with target.locked():
        verdict = evaluation.evaluate(target, _reporter(quiet))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name in formats:
            write_atomically(out / f"scorecard.{name}", (target.folder / f"scorecard.{name}").read_bytes())
    return _result(target, verdict, out)


def gate(folder: str | Path, *, strict: bool) -> dict[str, Any]:
    """The verdict as it stands; insufficient while the run, or a part of its evidence, is missing."""
    from audit.run import Run
    from audit.standing import standing_verdict

    target = Run.existing(folder)
    return _result(target, standing_verdict(target, strict=strict))


def explain(folder: str | Path, name: str) -> dict[str, Any]:
    """Why a gate came out as it did; see ``explaining.explain``."""
    from audit import explaining
    from audit.run import Run

    target = Run.existing(folder)
    with target.locked():
        return explaining.explain(target, name)


def verify(folder: str | Path, head: str | None) -> dict[str, Any]:
    """Check every byte of a run's evidence; see ``verification.verify``."""
    from audit.lineage import verification
    from audit.run import Run

    run = Run.at(folder)
    if run.remote is None:
        report = verification.verify(run.folder, head)
    else:
        report = verification.verify_objects(run.remote, head)
    return {
        "problems": [f"{p.file}: {p.what}. {p.remedy}" for p in report.problems],
        "files": report.files,
        "bytes": report.bytes,
        "head": report.head,
    }


def _result(target: Run, verdict: Verdict, folder: Path | None = None) -> dict[str, Any]:
    card = target.scorecard()
    return {
        "verdict": verdict.verdict,
        "verdict_reason": verdict.reason,
        "run_id": card["run_id"],
        "accounting": card["accounting"],
        "gates": card["gates"],
        "scorecard": f"{folder or target.place}/scorecard.html",
    }


def _reporter(quiet: bool) -> Reporter:
    from audit import progress

    return progress.reporter(quiet=quiet, stream=sys.stderr)
