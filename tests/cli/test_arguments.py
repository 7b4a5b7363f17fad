import re

import pytest

from tlexp.cli.arguments import OWN, VerbParser, hydra_arguments
from tlexp.cli.page import page
from tlexp.errors import ConfigError


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as error:
        hydra_arguments(list(words))
    return "\n".join(error.value.problems)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--labels 20", "--labels is no flag: a setting is given without dashes, labels=20"),
        ("--labels=20", "--labels is no flag: a setting is given without dashes, labels=20"),
        ("--labels", "--labels is no flag: a setting is given without dashes, labels=VALUE"),
        ("--labels seed=0", "--labels is no flag: a setting is given without dashes, labels=VALUE"),
        ("--batch-size 8", "--batch-size is no flag: a setting is given without dashes, train.batch_size=8"),
        ("--freeze all", "--freeze is no flag: a setting is given without dashes, freeze=all"),
        ("--lr=0.1", "--lr is no flag: a setting is given without dashes, optim.lr=0.1 or tune.lr=0.1"),
        ("--halp", "--halp is no flag (did you mean --help or --hydra-help?); see tlexp --help"),
    ],
)
def test_a_setting_with_dashes_is_told_its_form(words: str, text: str) -> None:
    assert refused(*words.split()).startswith(text)


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--dryrun", "--dry-run"),
        ("--dry_run", "--dry-run"),
        ("--config-dri", "--config-dir or --config-path or --config-name"),
    ],
)
def test_a_flag_of_the_help_page_is_offered_before_those_of_hydra(flag: str, meant: str) -> None:
    assert f"{flag} is no flag (did you mean {meant}?)" in refused(flag)


@pytest.mark.parametrize("flag", ["--rnu", "--runs", "--experimental-rerum"])
def test_what_nobody_should_type_is_not_offered(flag: str) -> None:
    assert not {"--run", "--experimental-rerun"} & set(re.findall(r"--[a-z-]+", refused(flag)))


def test_flags_that_are_offered_first_stand_on_the_help_page() -> None:
    assert [flag for flag in OWN if flag not in page()] == ["--help"]


def test_words_behind_a_verb_are_told_as_all_mistakes_are() -> None:
    parser = VerbParser(prog="tlexp cache")
    parser.add_argument("--dir")
    assert parser.parse_args(["--dir", "x"]).dir == "x"
    for words, text in (
        (["--dri=x"], "tlexp cache: --dri does not belong here (did you mean --dir?); see tlexp cache --help"),
        (["--dir"], "tlexp cache: argument --dir: expected one argument; see tlexp cache --help"),
    ):
        with pytest.raises(ConfigError) as error:
            parser.parse_args(words)
        assert str(error.value) == text
