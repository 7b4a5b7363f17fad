"""One study's report, built and drawn once."""

from pathlib import Path

import pytest

from tests.studies.conftest import a_table
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report import report as report_module
from tlexp.studies.report.document import Document
from tlexp.studies.report.report import write_report
from tlexp.studies.report.sections import build_document


@pytest.fixture(scope="session")
def findings() -> Findings:
    return analyse(a_table())


@pytest.fixture(scope="session")
def report(findings: Findings) -> Document:
    return build_document(findings)


@pytest.fixture(scope="session")
def written(findings: Findings, report: Document, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of the report, in a folder of a study."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(report_module, "build_document", lambda *_: report)
        return write_report(tmp_path_factory.mktemp("study"), findings)
