from tlexp.config.casting import check_value, unknown_key


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
