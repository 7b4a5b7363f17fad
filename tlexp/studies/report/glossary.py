"""The words of a report that not everybody knows, a short line each."""

from tlexp.studies.analysis.findings import Findings

CROSS_FITTED = "cross-fitted: estimated on test images and data seeds that did not choose the column"


def glossary(findings: Findings) -> tuple[str, ...]:
    """Return what the words of the recommendations mean."""
    margin = f"{findings.table.margin:g}"
    lines = (
        "column: one way to use the backbone, such as a freeze depth, at every label budget",
        "control: a column that is shown for comparison and is never recommended",
        "data seed: one draw of the labelled images; several show how much depends on the draw",
        "balanced accuracy: the mean of the classes' recalls, a fraction",
        f"margin: the accuracy that one is ready to lose for a cheaper column, {margin} here, chosen before the study",
        "interval: where the true value lies with 95 % confidence",
        "simultaneous interval, or at once: all of a budget hold together with 95 %, so that each is wider",
        CROSS_FITTED,
    )
    return tuple(f"{line[0].upper()}{line[1:]}." for line in lines)
