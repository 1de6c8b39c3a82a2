"""Run directories as training leaves them, written in milliseconds."""

import csv
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from metrics.means import mean_over_cases, mean_over_classes

CLASSES = ("liver", "spleen", "brain")
PATIENTS, VOLUMES, SLICES = 5, 2, 3
"""Validation patients, volumes of each, slices of each volume."""
EPOCHS = 6


@contextmanager
def at_work(folder):
    """Hold a run directory as ``train.py`` does, in a process of its own, for a lock bars no one in the process."""
    code = (
        "import sys; from pathlib import Path; from runs.run_directory import claimed\n"
        "with claimed(Path(sys.argv[1]), resumed=True): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], **pipes) as process:
        assert process.stdout.readline() == b"\n"
        yield
        process.communicate()


def write_run(
    folder, ssl="supervised", seed=0, gain=0.0, finished=True, test=False, store="toy-0123", changes=None, command=None
):
    """Write a run whose Dice is about 0.5 + gain; ``brain`` is shown by no slice, and ``spleen`` never found."""
    folder.mkdir(parents=True)
    config = {
        "seed": seed,
        "monitor": "val/dice",
        "experiment_name": None,
        "paths": {"run": str(folder)},
        "ssl": {
            "name": ssl,
            "decay": 0.99 if ssl == "mean_teacher" else None,
            "stages": [{"name": ssl, "init": "scratch"}],
        },
        "data": {"seed": seed, "root": "../data/toy", "batch_size": 4, "source": {"root": "../data/toy"}},
        "model": {"_target_": "models.unet.UNet", "width": 8},
        "optimizer": {"lr": 0.05},
        "trainer": {"max_epochs": EPOCHS, "threads": seed},
        "report": {"panels": {"count": 2}},
    }
    config = OmegaConf.merge(config, OmegaConf.from_dotlist([f"{k}={v}" for k, v in (changes or {}).items()]))
    OmegaConf.save(config, folder / "config.yaml")
    typed = command or f"python train.py ssl={ssl} seed={seed}"
    (folder / "command.txt").write_text(typed + "\n")
    rng = np.random.default_rng([seed, len(ssl), round(1000 * (1 + gain))])
    write_metrics(folder / "metrics.csv", rng, 0.5 + gain, EPOCHS if finished else EPOCHS // 2, ssl)
    if finished:
        write_split(folder / "split.csv", ("val", "test") if test else ("val",))
        names = ("last", "best", "last_test", "best_test")[: 4 if test else 2]
        figures = {name: write_evaluation(folder / "evaluation" / name, rng, 0.5 + gain) for name in names}
        (folder / "results.json").write_text(json.dumps(results_of(ssl, seed, figures, store)))
    return folder


def results_of(ssl, seed, figures, store):
    stages = [("teacher", 3), ("student", 3)] if ssl == "teacher_student" else [(ssl, EPOCHS)]
    return {
        "overrides": [f"ssl={ssl}", f"seed={seed}"],
        "seed": seed,
        "figures": figures,
        "stages": [
            {"name": name, "epochs": epochs, "steps": 10 * epochs, "cpu_seconds": 1.0} for name, epochs in stages
        ],
        "steps": 10 * EPOCHS,
        "cpu_seconds": 30.0,
        "wall_seconds": 60.0 + seed,
        "memory_gb": 1.0 + seed,
        "store": store,
    }


def write_metrics(path, rng, level, epochs, ssl):
    """Write what CSVLogger does: one sparse row for the validation and one for the training of each epoch."""
    columns = ["epoch", "pseudo/coverage", "pseudo/precision", "step", "train/loss", "val/dice", "val/dice_volume"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for epoch in range(epochs):
            dice = level * (1 - 0.5**epoch) + rng.normal(0, 0.01)
            step = 10 * epoch + 9
            at = {"epoch": float(epoch), "step": step}
            writer.writerow(at | {"val/dice": dice, "val/dice_volume": dice + rng.random() / 9})
            writer.writerow(at | {"train/loss": rng.random()})
            if ssl == "teacher_student" and epoch == 2:
                writer.writerow({"step": step, "pseudo/coverage": 0.75, "pseudo/precision": rng.random()})


def write_split(path, parts):
    """Write one training case, and the cases of each part; the volumes of an evaluation are numbered from 1."""
    rows = [("train_a", "a", "a0", 0, "train", "labeled", "")]
    rows += [
        (f"{part}{p}v{v}s{s}", f"{part}{p}", f"{part}{p}v{v}", 1 + p, part, "", "")
        for part in parts for p in range(PATIENTS) for v in range(VOLUMES) for s in range(SLICES)
    ]  # fmt: skip
    write_csv(path, ("name", "group", "volume", "cluster", "part", "labels", "crossing"), rows)


def write_evaluation(folder, rng, level):
    """Write the tables of an evaluation, and return its figures."""
    folder.mkdir(parents=True)
    cases = np.clip(rng.normal(level, 0.1, (PATIENTS * VOLUMES * SLICES, 1)), 0, 1)
    cases = np.concatenate([cases, np.zeros_like(cases)], axis=1)
    cases[::4, 0] = np.nan
    volumes = np.nan_to_num(cases).reshape(-1, SLICES, 2).mean(axis=1)
    first = 1 + len(cases) * folder.name.endswith("_test")
    number = 1 + np.arange(first - 1, first - 1 + len(cases)) // SLICES
    cells = [(i, k) for i in range(len(cases)) for k in (0, 1) if not np.isnan(cases[i, k])]
    rows = [(first + i, number[i], k + 1, cases[i, k]) for i, k in cells]
    write_csv(folder / "cases.csv", ("case_id", "volume", "class_id", "dice"), rows)
    rows = [(number[0] + v, k + 1, volumes[v, k], "nan") for v in range(len(volumes)) for k in (0, 1)]
    write_csv(folder / "volumes.csv", ("volume", "class_id", "dice", "dice_truth"), rows)
    dice, by_volume = mean_over_cases(cases), mean_over_cases(volumes)
    rows = [
        ("name", "dice", "dice_volume", "dice_truth", "present", "absent", "unknown", "false_positives"),
        ("liver", dice[0], by_volume[0], "", 30, 0, 0, 0),
        ("spleen", 0.0, 0.0, "", 30, 0, 0, 0),
        ("brain", "", "", "", 0, 10, 20, 0),
    ]
    write_csv(folder / "classes.csv", *rows[:1], rows[1:])
    return {"dice": mean_over_classes(dice), "dice_volume": mean_over_classes(by_volume)}


def write_csv(path, head, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
