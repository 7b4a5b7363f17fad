"""What a study answers, for Python."""

import html
import io
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd  # type: ignore[import-untyped]

from tlexp.config.casting import nearest
from tlexp.errors import ConfigError
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.report.answers import answers
from tlexp.studies.report.csv import cells_csv
from tlexp.studies.report.model_command import model_command
from tlexp.studies.report.report import PAGE, REPORT
from tlexp.studies.report.sentences import Explanation, explain


@dataclass(frozen=True, kw_only=True, repr=False)
class BudgetAnswer:
    """What to do with so many labels.

    Attributes:
        labels: The budget.
        column: The one to take; None where nothing was measured or nothing is better than guessing.
        accuracy: Balanced accuracy of the column to take, cross-fitted; None where it is not known.
        interval: 95 % of it; None where there is none.
        bound: The most balanced accuracy that it may lose against the best, at 95 %; None where that is not known.
        sureness: How sure that is: decided, nearly, open, alone, one_seed, few_groups, chance or nothing.
        sentence: The same in words.
        command: What to type for the model on all labels; None where nothing is taken, or the study does not say.
    """

    labels: str
    column: str | None
    accuracy: float | None
    interval: tuple[float, float] | None
    bound: float | None
    sureness: str
    sentence: str
    command: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """The overrides of the model on all labels, for `tlexp.run(*words)`.

        Raises:
            ConfigError: There is none: no words at all would train something else.
        """
        if self.command is None:
            raise ConfigError(f"there is no model to train: {self.sentence}")
        return tuple(shlex.split(self.command)[3:])

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Return what a budget's recommendation says."""
        found, accuracy = explanation.recommendation, explanation.recommendation.accuracy
        low, high = (None, None) if accuracy is None else (accuracy.low, accuracy.high)
        taken = found.column
        return cls(
            labels=found.labels,
            column=taken,
            accuracy=None if accuracy is None else accuracy.value,
            interval=None if low is None or high is None else (low, high),
            bound=found.bound,
            sureness=str(found.sureness),
            sentence=explanation.answer(),
            command=None if taken is None else model_command(explanation.findings.table, taken),
        )

    def __repr__(self) -> str:
        return f"<BudgetAnswer {self.sentence}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the sentence, and what to type."""
        command = "" if self.command is None else f"<pre>{html.escape(self.command)}</pre>"
        return f"<p>{html.escape(self.sentence)}</p>{command}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StudyAnswer:
    """A study and what it answers at each label budget.

    Attributes:
        folder: Of the study.
        page: Of its report, for a browser; absolute, so that it is found from any working folder.
        budgets: An answer each, in growing order.
        sentences: The same in words, the largest budget first; those of which the same is said are told together.
        table: Every column at every budget, a row each, as in the report's cells.csv.
    """

    folder: Path
    page: Path
    budgets: tuple[BudgetAnswer, ...]
    sentences: tuple[str, ...]
    table: pd.DataFrame

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return the answer of a study whose report is written, from its folder.

        Raises:
            TlexpError: The folder holds no study, or one of its files was changed.
        """
        findings = analyse(read_table(folder))
        return cls(
            folder=folder,
            page=(folder / REPORT / PAGE).absolute(),
            budgets=tuple(map(BudgetAnswer.of, explain(findings))),
            sentences=tuple(answer.sentence() for answer in answers(findings)),
            table=_cells(findings),
        )

    def take(self, labels: int | float | str) -> BudgetAnswer:
        """Return what to do with so many labels per class, a share of the pool such as 0.1, or "all".

        Raises:
            ConfigError: The study has no such budget.
        """
        known = [each.labels for each in self.budgets]
        named = f"{labels:g}" if isinstance(labels, float) else str(labels)
        if named not in known:
            alike = nearest(named, known) if named.isalpha() else ""  # 2 is not what 20 was meant to be
            raise ConfigError(f"labels={named} is no budget of {self.folder.name}{alike}; it has {', '.join(known)}")
        return self.budgets[known.index(named)]

    def __repr__(self) -> str:
        return "\n".join([f"<StudyAnswer {str(self.folder)!r}", *(f"  {each}" for each in self.sentences)]) + ">"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the sentences, and where the page is."""
        told = "".join(f"<li>{html.escape(each)}</li>" for each in self.sentences)
        page = html.escape(self.page.as_uri())
        return f'<p><b>{html.escape(self.folder.name)}</b></p><ul>{told}</ul><p><a href="{page}">{page}</a></p>'


def _cells(findings: Findings) -> pd.DataFrame:
    numbers = ("balanced_accuracy", "low", "high", "seed_sd", "image_sd", "accuracy", "nll", "seconds", "bound")
    table = pd.read_csv(io.BytesIO(cells_csv(findings)), dtype={"labels": str}, keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in (*numbers, "depth")})
