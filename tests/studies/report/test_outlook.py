import dataclasses
import re
from pathlib import Path

import numpy as np

from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.forecast import Band, Forecast, NeededLabels, Outlook, forecast
from tlexp.studies.report.outlook import outlook_csv, outlook_section, outlook_words
from tlexp.studies.report.summary import summary

OUTLOOK = Outlook(
    column="freeze-5",
    labels=50,
    curve=(
        Forecast(
            labels=100, reached=Band(value=0.874, low=0.85, high=0.893), gain=Band(value=0.031, low=0.009, high=0.05)
        ),
    ),
    needed=(
        NeededLabels(accuracy=0.80, least=50, most=None),
        NeededLabels(accuracy=0.85, least=50, most=71.2),
        NeededLabels(accuracy=0.86, least=60, most=90),
        NeededLabels(accuracy=0.88, least=65.3, most=None),
        NeededLabels(accuracy=0.95, least=None, most=None),
    ),
    reason=None,
    unfreezing=Band(value=-0.0001, low=-0.006, high=0.013),
)


def test_more_labels_stand_beside_unfreezing_in_points(findings: Findings) -> None:
    section = outlook_section(dataclasses.replace(findings, outlook=OUTLOOK))
    assert section is not None
    assert section.title == "More labels, or more unfreezing?"
    assert section.paragraphs[0] == (
        "Twice the labels, 100 per class, would take freeze-5 to 0.87 (0.85 .. 0.89): +3.1 points (between +0.9 and "
        "+5.0 points). Freezing less at 50 would bring about the same (between -0.6 and +1.3 points)."
    )


def test_a_gain_is_told_although_one_draw_of_labels_may_not_show_it(findings: Findings) -> None:
    """Of a forecast that is every gain: draws of labels differ by more than twice as many bring."""
    sizes = np.array([2.0, 5.0, 10.0, 20.0, 50.0])
    scores = 0.1 + 0.05 * np.log(sizes) + np.random.default_rng(0).normal(0, 0.01, (10, 5))
    twice = forecast(sizes, scores, at=100)
    assert isinstance(twice, Forecast)
    assert twice.gain.value > 0.005
    outlook = dataclasses.replace(OUTLOOK, curve=(twice,), unfreezing=None)
    told = outlook_words(dataclasses.replace(findings, outlook=outlook))
    assert re.search(r"\): \+\d\.\d points, which one draw of labels may not show \(between -\d", told)


def test_labels_for_an_accuracy_are_told_as_a_range(findings: Findings) -> None:
    section = outlook_section(dataclasses.replace(findings, outlook=OUTLOOK))
    assert section is not None
    assert section.tables[0].rows == (
        ("0.80", "not known: 50 may do, and 100 may not"),
        ("0.85", "at most 71"),
        ("0.86", "60 to 90"),
        ("0.88", "at least 65; 100 may not do"),
        ("0.95", "more than 100"),
    )


def test_a_study_of_few_budgets_says_how_many_it_takes_and_a_refusal_says_why(findings: Findings) -> None:
    section = outlook_section(findings)
    assert section is not None
    assert section.paragraphs == ("Whether more labels would help is forecast from 5 budgets on (study.labels).",)
    assert f"labels  {section.paragraphs[0]}\n" in summary(findings, Path("multirun/s"))
    untold = [dataclasses.replace(each, column=None) for each in findings.recommendations]
    assert outlook_section(dataclasses.replace(findings, recommendations=tuple(untold))) is None
    refused = dataclasses.replace(OUTLOOK, curve=(), needed=(), reason="Accuracy falls.", unfreezing=None)
    section = outlook_section(dataclasses.replace(findings, outlook=refused))
    assert section is not None
    assert section.paragraphs == ("Accuracy falls.",)
    assert section.title == "More labels?"


def test_the_numbers_stand_in_a_file_with_all_digits() -> None:
    lines = outlook_csv(OUTLOOK).decode().splitlines()
    assert lines[1] == "freeze-5,100,0.874,0.85,0.893,0.031,0.009,0.05"
