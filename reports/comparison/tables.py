"""The tables of a comparison: for the terminal, and as texts for the page."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.comparison.comparison import Comparison
from reports.comparison.keys import ABSENT, Group, differing_keys
from reports.comparison.runs import Run, evaluated
from reports.comparison.statistics import Gain, Mean, figure_of
from reports.results_table import TABULATED, spread

Rows = list[list[str]]
COST = ("steps", "seconds", "processor seconds", "images/s", "memory GB")


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the groups, the best first, whether they differ by more than noise, and what must be known to read it."""
    name = comparison.figure
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(name, overflow="fold", min_width=14)
    for title in ("runs", "last", "best"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("gain (95 % over patients)", justify="right", no_wrap=True)
    for group, gain in ranked_gains(comparison):
        figures = [figure_of(group, evaluated(which, comparison.part), name) for which in ("last", "best")]
        cells = [group.label, runs_text(group), *map(spread_of, figures)]
        table.add_row(*map(Text, [*cells, gain_text(gain) if gain else "baseline"]))
    console.print(table)
    for gain in comparison.gains[name]:
        console.print(Text(f"{gain.group}: {gain.verdict}"), soft_wrap=True)
    for note in comparison.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)


def short_rows(comparison: Comparison) -> Rows:
    """Return a row a group, the best first: runs, last figure, gain over the baseline, and what may be said of it."""
    groups, gains = zip(*ranked_gains(comparison), strict=True)
    rows = figure_rows(groups, evaluated("last", comparison.part), [comparison.figure])
    said = [[gain_text(gain).partition(" ")[0], gain.verdict] if gain else ["", "the baseline"] for gain in gains]
    return [[*row, *words] for row, words in zip(rows, said, strict=True)]


def figure_rows(groups: Sequence[Group], checkpoint: str, names: Sequence[str]) -> Rows:
    """Return a row a group, mean and deviation of every figure of a checkpoint."""
    return [
        [group.label, runs_text(group), *(spread_of(figure_of(group, checkpoint, name)) for name in names)]
        for group in groups
    ]


def figure_names(runs: Sequence[Run], checkpoint: str) -> list[str]:
    """Return the figures that any run has measured of a checkpoint."""
    return [name for name in TABULATED if any(not math.isnan(run.figure(checkpoint, name)) for run in runs)]


def checkpoints_of(runs: Sequence[Run]) -> list[str]:
    """Return what was measured: ``last``, ``best``, and the same on test cases where there are any."""
    return list(dict.fromkeys(name for run in runs for name in (run.results or {}).get("figures", {})))


def gain_rows(gains: Sequence[Gain]) -> Rows:
    """Return a row a group: the gain, its intervals over patients and over seeds, and what follows."""
    return [
        [gain.group, gain_text(gain).partition(" ")[0], _interval(gain.over_cases and gain.over_cases[1:]),
         _interval(gain.over_seeds), gain.verdict] for gain in gains
    ]  # fmt: skip


def cost_rows(groups: Sequence[Group]) -> Rows:
    """Return a row a group, the means of ``COST`` over its finished runs."""
    rows = []
    for group in groups:
        results = [(run, run.results) for run in group.finished if run.results]
        columns = [[float(one[key]) for _, one in results] for key in ("steps", "wall_seconds", "cpu_seconds")]
        columns.append([images_of(run) / max(one["wall_seconds"], 1e-9) for run, one in results])
        columns.append([float(one["memory_gb"]) for _, one in results if one.get("memory_gb") is not None])
        rows.append([group.label, *map(_mean_text, columns, (0, 1, 1, 1, 2))])
    return rows


def images_of(run: Run) -> float:
    """Return how many images a run was trained on, those of every stream and stage counted; NaN where that is unknown.

    A stream whose pool is empty is left out of the batches, as the DataModule leaves it out.
    """
    data, cases = run.config.get("data", {}), (run.results or {}).get("cases", {})
    sizes = {"labeled": "batch_size", "pseudo_labeled": "pseudo_batch_size"}
    sizes |= dict.fromkeys(("unlabeled", "open"), "unlabeled_batch_size")
    streams = {stage["name"]: stage.get("streams", []) for stage in run.config.get("ssl", {}).get("stages", [])}
    if not cases or not {*sizes.values()} <= data.keys():
        return math.nan
    steps = data.get("steps_per_epoch") or math.ceil(cases["labeled"] / data["batch_size"])
    empty = () if cases["unlabeled"] else ("unlabeled", "pseudo_labeled")
    batch = {name: sum(data[sizes[one]] for one in given if one not in empty) for name, given in streams.items()}
    return float(sum(stage["epochs"] * steps * batch.get(stage["name"], math.nan) for stage in run.stages))


def pseudo_rows(groups: Sequence[Group]) -> tuple[list[str], Rows]:
    """Return titles and a row for every round of pseudo-labels of every group; nothing where there are none."""
    logged = {key for group in groups for run in group.finished for key in run.curves if key.startswith("pseudo/")}
    keys = [key for key in ("pseudo/coverage", "pseudo/precision", "pseudo/dice", "pseudo/cases") if key in logged]
    rows = []
    for group in groups:
        curves = [[run.curves.get(key) for run in group.finished] for key in keys]
        rounds = max((len(one[1]) for column in curves for one in column if one), default=0)
        for number in range(rounds):
            values = [[float(c[1][number]) if c and number < len(c[1]) else math.nan for c in one] for one in curves]
            label = f"{group.label}, round {number + 1}" if rounds > 1 else group.label
            rows.append([label, *(spread(one) for one in values)])
    return [key.removeprefix("pseudo/") for key in keys], rows


def key_rows(groups: Sequence[Group]) -> tuple[Rows, Rows]:
    """Return the keys in which the runs differ, with every group's values: those one types, and those they bring."""
    runs = [run for group in groups for run in group.runs]
    typed: Rows = []
    brought: Rows = []
    for key, values in differing_keys(runs).items():
        of_run = dict(zip((run.path for run in runs), values, strict=True))
        cells = [" | ".join(dict.fromkeys(of_run[run.path] for run in group.runs)) for group in groups]
        (brought if key.startswith(("ssl.stages", "callbacks")) else typed).append([key, *cells])
    return typed, brought


def run_rows(comparison: Comparison) -> Rows:
    """Return a row a run: its group, seed, state and figures; and one for each job of a sweep that left no run."""
    name = comparison.figure
    group_of = {run.path: group.label for group in comparison.groups for run in group.runs}
    rows = [
        [run.name, group_of[run.path], str(run.seed), run.state,
         *(spread([run.figure(evaluated(which, comparison.part), name)]) for which in ("last", "best"))]
        for run in comparison.runs
    ]  # fmt: skip
    return [*rows, *([job.name, ABSENT, ABSENT, job.state, ABSENT, ABSENT] for job in comparison.missing)]


def ranked(comparison: Comparison) -> list[Group]:
    """Return the groups, the highest figure of the last checkpoint first, those without one at the end."""

    def key(group: Group) -> float:
        value = figure_of(group, evaluated("last", comparison.part), comparison.figure).mean
        return math.inf if math.isnan(value) else -value

    return sorted(comparison.groups, key=key)


def ranked_gains(comparison: Comparison) -> list[tuple[Group, Gain | None]]:
    """Return the groups as ``ranked`` does, each with its gain, None for the baseline."""
    others = [id(group) for group in comparison.groups if group is not comparison.baseline]
    gains = dict(zip(others, comparison.gains[comparison.figure], strict=True))
    return [(group, gains.get(id(group))) for group in ranked(comparison)]


def runs_text(group: Group) -> str:
    """Count the runs, and those of them that finished where these are fewer."""
    done, whole = len(group.finished), len(group.runs)
    return str(whole) if done == whole else f"{done} of {whole}"


def spread_of(figure: Mean) -> str:
    """Write mean and deviation; a dash where no run has the figure."""
    return spread(figure.values) if figure.values else ABSENT


def gain_text(gain: Gain) -> str:
    """Write a gain with its interval over patients."""
    if gain.over_cases is None or math.isnan(gain.over_cases.mean):
        return ABSENT
    return f"{gain.over_cases.mean:+.3f} ({_interval(gain.over_cases[1:])})"


def _mean_text(values: Sequence[float], digits: int) -> str:
    mean = statistics.fmean(values) if values else math.nan
    return ABSENT if math.isnan(mean) else f"{mean:,.{digits}f}"


def _interval(span: tuple[float, ...] | None) -> str:
    return f"{span[0]:+.3f} to {span[1]:+.3f}" if span and not math.isnan(span[0]) else ABSENT
