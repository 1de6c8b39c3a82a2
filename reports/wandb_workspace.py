"""The W&B workspace of a project, written as code: ``python -m reports.wandb_workspace RUN_DIR --entity=NAME``.

Curves of the strategies with a band over their seeds, bars of the organs, the phases of two-stage runs, the quality of
pseudo-labels, the panels and what a run costs. ``--json=FILE`` writes what would be sent, without an account.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.figures import LOGGED
from partial_labels.errors import InputError
from reports.files import write_text

ORGAN = "val/dice/"
TOTALS = ("val/dice", "val/dice_volume", "val/dice_truth")
PSEUDO = ("pseudo/coverage", "pseudo/precision", "pseudo/dice")
COST = ("cost/images_per_second", "cost/memory_gb")


def organs_of(run: Path) -> list[str]:
    """Return the organs that a run has measured, from the header of its ``metrics.csv``.

    Raises:
        InputError: If there is no such file.
    """
    path = run / "metrics.csv"
    if not path.is_file():
        raise InputError(f"{path} is missing; name a run directory of train.py")
    with path.open(newline="", encoding="utf-8") as file:
        return sorted(key.removeprefix(ORGAN) for key in next(csv.reader(file), []) if key.startswith(ORGAN))


def build_workspace(entity: str, project: str, organs: Sequence[str], by: Sequence[str] = ("ssl.name",)) -> Any:
    """Return the workspace; nothing is sent.

    Args:
        entity: Account or team.
        project: The project.
        organs: Names of the classes, one bar each.
        by: Keys of the configuration that make runs comparable: those that agree in all share a curve and its band.

    Raises:
        InputError: If ``wandb-workspaces`` is not installed.
    """
    wr, ws = libraries()
    columns = ["summary:val/dice.max", "summary:val/dice_volume.max", *(config_column(key) for key in by)]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="Partial labels",
        sections=[
            ws.Section(name=name, panels=panels, is_open=name != "Cost")
            for name, panels in panels_of(wr, organs).items()
        ],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=100),
        runset_settings=ws.RunsetSettings(groupby=[ws.Config(key) for key in by], pinned_columns=columns),
    )


def panels_of(wr: Any, organs: Sequence[str]) -> dict[str, list[Any]]:
    """Return the panels by the section they stand in, made with the library ``wr``."""

    def curve(metric: str, title: str, grouped: bool = True) -> Any:
        band = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"} if grouped else {"aggregate": False}
        return wr.LinePlot(title=title, x="epoch", y=[metric], title_x="epoch", **band)

    bars = [
        wr.BarPlot(title=organ, metrics=[f"{ORGAN}{organ}"], groupby_aggfunc="mean", groupby_rangefunc="stddev")
        for organ in organs
    ]
    phases = [curve(f"train/{name}", name, grouped=False) for name in ("loss", "supervised", "unsupervised")]
    rates = wr.LinePlot(title="learning rate", x="epoch", metric_regex="^lr-.*")
    return {
        "Dice": [curve(metric, LOGGED[metric].title) for metric in TOTALS],
        "Organs": [*bars, wr.LinePlot(title="all organs", x="epoch", metric_regex=f"^{ORGAN}.*")],
        "Phases": [*phases, rates],
        "Pseudo-labels": [curve(metric, metric.removeprefix("pseudo/")) for metric in PSEUDO],
        "Panels": [wr.MediaBrowser(title="panels", media_keys=["panels"], num_columns=3)],
        "Cost": [curve(metric, metric.removeprefix("cost/").replace("_", " ")) for metric in COST],
    }


def config_column(key: str) -> str:
    """Return how the table of runs names a key of the configuration."""
    first, _, rest = key.partition(".")
    return f"config:{first}.value" + (f".{rest}" if rest else "")


def specification(workspace: Any) -> dict[str, Any]:
    """Return what W&B would be sent, as plain values."""
    spec: dict[str, Any] = json.loads(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    return spec


def libraries() -> tuple[Any, Any]:
    """Import the library.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ModuleNotFoundError as error:
        raise InputError("workspaces need wandb-workspaces: pip install 'partialseg[workspace]'") from error
    return wr, ws


def main(arguments: Sequence[str]) -> int:
    """Create the workspace, or write it to a file."""
    parser = argparse.ArgumentParser(prog="python -m reports.wandb_workspace", description="The W&B workspace as code.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="any run of the project: it tells the organs")
    parser.add_argument("--entity", default="", help="account or team; needed unless --json is given")
    parser.add_argument("--project", default="partialseg", help="logger.wandb.project of the runs")
    parser.add_argument("--by", nargs="+", default=["ssl.name"], metavar="KEY", help="what makes runs one curve")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there instead of sending it")
    asked = parser.parse_args(arguments)
    try:
        if not asked.entity and asked.json is None:
            raise InputError("--entity is not set: name your account or team, or write the workspace with --json=FILE")
        workspace = build_workspace(asked.entity, asked.project, organs_of(asked.run), asked.by)
        if asked.json is None:
            workspace.save()
        else:
            write_text(asked.json, json.dumps(specification(workspace), indent=2) + "\n")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
