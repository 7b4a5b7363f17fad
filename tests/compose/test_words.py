from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tlexp.compose.words import PATHS, quoted_values, torn_words, unquoted_values
from tlexp.config import config_fields


def test_the_paths_are_settings() -> None:
    assert set(PATHS) <= set(config_fields())


@pytest.mark.parametrize(
    "value",
    [
        "photos",
        "my photos",
        "~/photos",
        "photos (1)",
        "Füße",
        "a=b",
        "C:\\photos",
        "./a b/",
        "#1",
        "50%",
        "a&b",
    ],
)
def test_a_path_comes_through_as_it_is_typed(value: str) -> None:
    [word] = quoted_values([f"data.root={value}"])
    parsed = OverridesParser.create().parse_overrides([word])[0].value()
    assert getattr(parsed, "text", parsed) == value


@pytest.mark.parametrize(
    "value",
    [
        r"pattern:^(.*?)_\d+",
        r"pattern:^([^_]+)_\d{2,3}$",
        "pattern:'a",
        r"pattern:a\\b",
        "my groups (1).csv",
        "column:a b",
    ],
)
def test_a_regular_expression_comes_through_as_it_is_typed(value: str) -> None:
    [word] = quoted_values([f"data.group={value}"])
    parsed = OverridesParser.create().parse_overrides([word])[0].value()
    assert getattr(parsed, "text", parsed) == value
    assert unquoted_values([word]) == ([f"data.group={value}"] if "'" not in value else [word])


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("{1e3:0.9,dog:0.1}", """'{"1e3":0.9,"dog":0.1}'"""),
        ("{ dög : .9, 'dog': 1e-1 }", """'{"dög":0.9,"dog":0.1}'"""),
        ("{O'Neil:0.9,dog:0.1}", r"""'{"O\'Neil":0.9,"dog":0.1}'"""),
    ],
)
def test_names_of_a_mapping_are_kept_as_a_text(typed: str, quoted: str) -> None:
    assert quoted_values([f"data.prior={typed}"]) == [f"data.prior={quoted}"]


def test_a_mapping_is_shown_without_the_quotes_around_it() -> None:
    [word] = quoted_values(["data.prior={1e3:0.9,dog:0.1}"])
    assert unquoted_values([word]) == ['data.prior={"1e3":0.9,"dog":0.1}']


@pytest.mark.parametrize(
    "word",
    [
        "data.root=a,b c (1)",
        r"data.group='pattern:^a'",
        "data.root='~/a'",
        'data.root="~/a"',
        "data.root=${oc.env:HOME}",
        "data.root=choice(a, b)",
        "study.name=a (1)",
        "data.classes=[~a]",
        "data.root",
        "data.prior={cat:0.9,red fox:0.1}",
        "data.prior={1:0.9,2:0.1},{1:0.5,2:0.5}",
        "data.prior={1:0.9,2:...}",
        "data.prior=${a}",
        "-m",
    ],
)
def test_what_may_be_meant_for_hydra_is_left_alone(word: str) -> None:
    assert quoted_values([word]) == [word]


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (["labels=5", "seed=0"], []),
        (["~data.seed", "labels=5"], []),
        (
            ["labels=5,", "20", "seed=0"],
            [
                "labels=5, 20: a blank stands beside the comma, where the shell begins another word; write labels=5,20 "
                "with -m"
            ],
        ),
        (
            ["study.labels=[5,", "20]"],
            [
                "study.labels=[5, 20]: a blank stands beside the comma, where the shell begins another word; write "
                "'study.labels=[5,20]'"
            ],
        ),
        (["labels=5,", "seed=0"], ["labels=5, ends in a comma, behind which nothing stands; write labels=5"]),
        (
            ["data=folder", "data.root=my", "photos"],
            [
                "photos stands apart from data.root=my, for the shell begins another word at a blank; if the value has "
                "one, quote it: 'data.root=my photos'"
            ],
        ),
        (["photos", "labels=5"], ["photos is no override such as labels=20: give key=value"]),
    ],
)
def test_words_that_the_shell_tore_apart(words: list[str], problems: list[str]) -> None:
    assert torn_words(words) == problems


def test_a_folder_alone_is_told_how_to_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meine Fotos").mkdir()
    told = (
        "meine Fotos is no override such as labels=20: give key=value; for the images in that folder: data=folder "
        "'data.root=meine Fotos'"
    )
    assert torn_words(["meine Fotos"]) == torn_words(["meine", "Fotos"]) == [told]
    assert torn_words(["labels=5", "meine Fotos"]) == [told]
