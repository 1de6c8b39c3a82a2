"""The page of an evaluation: one file that opens offline, in light and in dark, on a wide screen and a narrow one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from metrics.figures import FIGURES
from metrics.reliability import calibration_error, pooled
from partial_labels.classes import ClassTable
from reports import document
from reports.document import Section
from reports.evaluation.evaluation import Evaluation
from reports.evaluation.findings import findings, sureness
from reports.evaluation.gain import gain_section, name_of
from reports.evaluation.reliability_diagram import reliability_diagram
from reports.evaluation.style import SCRIPT, STYLE
from reports.evaluation.tables import class_name, class_table, confusion_table, sides_table, tolerance
from reports.pictures.case_gallery import ShownCase
from reports.wording import listed, plain

CLASSES = (
    "The worst first; a click on a heading sorts by it. Only what a human examined counts, except in the columns "
    "“truth” and “pessimistic”. A silent class is shown by slices, and not one pixel of it was found."
)
SIDES = "How much of each drawn structure was called by the name of its partner on the other side of the body."
CONFUSED = "Which drawn structure was most often taken for which other, by the number of pixels."
CASES = (
    "By the mean Dice of the classes that can be counted. What nobody examined is neither right nor wrong: it is "
    "hatched in the annotation where the truth is known, and only outlined in the prediction."
)
CONFIDENCE = (
    "Of the pixels that were predicted as a structure which a human examined in that slice: how often they are right, "
    "by the probability that the network gave them. On the diagonal it is right as often as it is sure; below, it "
    "is too sure."
)


def write_evaluation_page(folder: str | Path) -> Path:
    """Write ``evaluation.html`` into the folder of an evaluation, from what lies there.

    Raises:
        InputError: If the folder is none of an evaluation, or its baseline's is gone.
    """
    one = Evaluation.read(Path(folder))
    baseline = one.record.get("baseline")
    sections = [
        Section("Result", results(one)),
        Section("What stands out", document.bullets(findings(one))),
        *([gain_section(one, Evaluation.read(Path(baseline)))] if baseline else []),
        *_classes(one),
        *_cases(one),
        *_confidence(one),
        Section("What was measured", document.facts(facts(one))),
    ]
    head = f"<style>\n{STYLE}\n</style>\n<script>\n{SCRIPT}\n</script>\n"
    title = f"Evaluation of {name_of(one)}"
    return document.write_document(one.folder / "evaluation.html", title, subtitle(one), sections, head)


def subtitle(one: Evaluation) -> str:
    """Say on what it was measured, in one line."""
    record = one.record
    return f"{record['data']}, {record['part']}: {record['cases']} slices of {len(record['volumes'])} volumes"


def results(one: Evaluation) -> str:
    """Return the headline figures."""
    meanings = {name: figure.meaning for name, figure in FIGURES.items() if name in one.figures}
    if "nsd" in meanings:
        meanings["nsd"] += f" Tolerance: {tolerance(one)}."
    figures = [
        (f"{one.figure(name):.{1 if name == one.distance else 3}f}", name, meaning)
        for name, meaning in meanings.items()
    ]
    if one.bins:
        meaning = "Expected calibration error of the predicted structures: how far sureness is from being right."
        figures.append((f"{calibration_error(pooled(one.bins)):.3f}", "ECE", meaning))
    return document.cards(figures)


def facts(one: Evaluation) -> dict[str, str]:
    """Return how it was measured."""
    record = one.record
    spacing = " x ".join(f"{side:.3g}" for side in record["spacing_mm"] or ())
    unknown = [name for i, name in enumerate(one.classes.names) if i and i not in one.known]
    found = {
        "checkpoint": ", ".join(record["checkpoints"]),
        "network": record["network"],
        "grid": f"{record['grid']}, {f'{spacing} mm a pixel' if spacing else 'no spacing that holds for all'}",
        "classes counted": f"{one.figure('dice_classes'):.0f} of {len(one.classes) - 1}",
    }
    found |= {"answered with": record["inference"]} if record["inference"] else {}
    found |= {"classes that the network does not know": listed(unknown, 300)} if unknown else {}
    return found


def _classes(one: Evaluation) -> list[Section]:
    found = []
    if one.rows:
        table = f'<div class="sortable">{class_table(one)}</div>'
        found.append(Section(f"{len(one.rows)} classes", document.paragraph(CLASSES) + table))
    if one.confusion is not None:
        sides, confused = sides_table(one), confusion_table(one)
        never = document.paragraph("No structure was taken for its partner on the other side.")
        body = (document.paragraph(SIDES) + sides if sides else never) if one.classes.pairs else ""
        body += document.paragraph(CONFUSED) + confused if confused else ""
        found += [Section("What was taken for what", body)] if body else []
    return found


def _cases(one: Evaluation) -> list[Section]:
    found: list[Section] = []
    for kind, title in (("worst", "Worst cases"), ("median", "Cases in the middle")):
        cases = [case for case in one.cases if case.kind == kind]
        if cases:
            body = "".join(case_figure(case, one.classes, one.folder / "cases") for case in cases)
            legend = colour_legend(cases, one.classes)
            text = "" if found else document.paragraph(CASES)
            found.append(Section(title, text + body + legend))
    return found


def case_figure(case: ShownCase, classes: ClassTable, folder: Path) -> str:
    """Return a case: its name, its Dice and worst classes, and its pictures side by side."""
    ranked = sorted(case.classes.items(), key=lambda item: item[1])[:4]
    worst = ", ".join(f"{plain(classes.names[int(i)])} {dice:.2f}" for i, dice in ranked)
    pictures = ""
    for title, file in case.pictures.items():
        image = document.image(folder / file, f"{case.name}, {title}")
        pictures += f"<figure><figcaption>{escape(title)}</figcaption>{image}</figure>"
    return (
        f"<article><h3>{escape(case.name)} <span>Dice {case.dice:.3f}</span></h3>"
        f"<p>{escape(worst)}</p><p>{escape(case.unknown)}</p>"
        f'<div class="pictures">{pictures}</div></article>'
    )


def colour_legend(cases: Sequence[ShownCase], classes: ClassTable) -> str:
    """Return the colours of the classes in the pictures."""
    ids = sorted({i for case in cases for i in case.drawn})
    names = "".join(class_name(classes.names[i], classes.colors[i]) for i in ids)
    return f'<p class="legend">{names}</p>'


def _confidence(one: Evaluation) -> list[Section]:
    if not one.bins:
        return []
    bins = pooled(one.bins)
    sure, right = sureness(bins)
    values = {
        "ECE": f"{calibration_error(bins):.3f}",
        "mean confidence": f"{sure:.3f}",
        "share that is right": f"{right:.3f}",
        "pixels": f"{sum(b.pixels for b in bins):,}",
    }
    text = document.paragraph(CONFIDENCE) + document.facts(values)
    return [Section("Confidence", f'<div class="split">{reliability_diagram(bins)}<div>{text}</div></div>')]
