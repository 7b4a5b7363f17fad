from typing import Any

from tlexp.config.casting import build_config, check_value, unknown_key


def test_a_setting_of_another_group_is_offered_where_the_group_has_none_like_it() -> None:
    assert (
        unknown_key("train.lr")
        == "train.lr is no setting of tlexp (did you mean optim.lr or tune.lr?); see tlexp --help"
    )
    assert unknown_key("train.zzz") == "train.zzz is no setting of tlexp; see tlexp --help"


def test_a_list_is_asked_for_as_it_would_be_written() -> None:
    problems: list[str] = []
    check_value("head.hidden", 256, problems)
    assert problems[0].startswith("head.hidden=256: must be a list of int, e.g. '[256]'.")


def test_a_text_alone_is_a_list_of_one() -> None:
    """As of the name of a pool: study.backbones=standard."""
    problems: list[str] = []
    stated: dict[str, Any] = {"backbones": "standard", "labels": 20, "depths": ["all"]}
    study = build_config({"study": stated}, problems).study
    assert not problems
    assert (study.backbones, study.labels, study.depths) == (["standard"], ["20"], ["all"])
    for value in (True, None, {"a": 1}):
        check_value("study.backbones", value, problems)
    assert len(problems) == 3
