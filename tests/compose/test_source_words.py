from pathlib import Path

from tlexp.compose.source_words import source_words

WRITTEN = """\
hydra:
  job:
    config_name: {name}
  runtime:
    config_sources:
    - path: /conf
      provider: main
    - path: /my folder
      provider: {provider}
"""


def test_a_runs_own_folder_and_file_of_settings_are_told(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    file = tmp_path / ".hydra" / "hydra.yaml"
    file.write_text(WRITTEN.format(name="mine", provider="command-line"))
    assert source_words(tmp_path) == ("--config-dir", "/my folder", "--config-name", "mine")
    file.write_text(WRITTEN.format(name="config", provider="schema"))
    assert source_words(tmp_path) == ()


def test_a_file_that_says_something_else_tells_nothing(tmp_path: Path) -> None:
    assert source_words(tmp_path) == ()
    (tmp_path / ".hydra").mkdir()
    for text in ("", "[1", "hydra: 1", "hydra: {runtime: {config_sources: [1]}, job: {config_name: a}}"):
        (tmp_path / ".hydra" / "hydra.yaml").write_text(text)
        assert source_words(tmp_path) == ()
