import os
from pathlib import Path

import pytest

from tlexp.compose.config_files import ConfigFiles, ConfigSource, search_path
from tlexp.errors import ConfigError


def files(folder: Path) -> ConfigFiles:
    return ConfigFiles(search_path(ConfigSource(search=str(folder))))


def test_files_of_the_folder_are_found_and_no_others(tmp_path: Path) -> None:
    inside = tmp_path / "mine"
    inside.mkdir()
    (inside / "own.yaml").write_text("# @package _global_\nlabels: 7\n")
    (tmp_path / "secret.yaml").write_text("labels: 8\n")
    found = files(inside).load_config("own")
    assert found is not None
    assert (found.config, found.header["package"]) == ({"labels": 7}, "_global_")
    for name in ("../secret", str(tmp_path / "secret"), "a/../../secret"):
        with pytest.raises(ConfigError, match=r"named by its place in the folder that is searched; name that folder"):
            files(inside).load_config(name)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "mine"
    inside.mkdir()
    (tmp_path / "secret.yaml").write_text("labels: 8\n")
    (inside / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (inside / "own.yaml").write_text("labels: 7\n")
    (inside / "near.yaml").symlink_to(inside / "own.yaml")
    assert files(inside).load_config("near") is not None
    with pytest.raises(ConfigError, match=r"link\.yaml is a link out of .*/mine, from which alone"):
        files(inside).load_config("link")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert not files(tmp_path).config_exists("pipe")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "holds a list; a file of settings holds lines"),
        ("hydra: ${data}", "hydra holds keys, such as `run:`"),
        ("# @package a b\nlabels: 1", ":1: Too many components"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_with_its_name(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        files(tmp_path).load_config("own")
    assert str(error.value).startswith(f"{tmp_path}/own.yaml:")
    assert told in str(error.value)
