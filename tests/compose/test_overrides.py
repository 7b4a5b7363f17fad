import shlex

import pytest

from tlexp.compose.load import load
from tlexp.errors import ConfigError


def refused(*words: str, swept: bool = False) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        load(words, swept=swept)
    return error.value.problems


ONE_EACH = (
    "a study takes one for each setting and crosses depths, labels and seeds by itself (study.depths, study.labels, "
    "study.seeds); type one study for each value"
)
SWEEP = "-m runs each of them, all else takes one; "


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("study=quick study.labels=5,20", "a study takes a list, 'study.labels=[5,20]'"),
        ("study.depths=0,0.5,all", "a study takes a list, 'study.depths=[0,0.5,all]'"),
        ("study=quick labels=5,20", "a study takes a list, 'study.labels=[5,20]'"),
        ("study=freeze_vs_labels freeze.depth=0,1", "a study takes a list, 'study.depths=[0,1]'"),
        ("study=quick study.seeds=3,5", ONE_EACH),
        ("study=quick backbone=tiny,resnet18", ONE_EACH),
        ("labels=5,20", SWEEP + "quote a text that has a comma"),
        ("head.hidden=8,16", SWEEP + "a list is written 'head.hidden=[8,16]'; quote a text that has a comma"),
    ],
)
def test_several_values_are_told_what_to_write_instead(words: str, advice: str) -> None:
    assert f"{words.split()[-1]} holds several values: {advice}" in refused(*words.split())


def test_a_swept_option_that_is_none_is_told_as_a_single_one_is() -> None:
    text = (
        "freeze=nonee is no option (did you mean none?); options: all, bias, depth, gradual, last, lora, lpft, none, "
        "norm, surgical; for a share or a unit: freeze=depth freeze.depth=0.5"
    )
    assert refused("freeze=all,nonee", swept=True) == refused("freeze=nonee") == (text,)
    assert refused("freeze=choice(nonee,all)", "seed=0,1", swept=True) == (text,)
    load(["freeze=all,none", "head=glob(li*)"], swept=True)


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("lite00", "lite0 or lite2 or lite1"),
        ("resnt50", "resnet50 or backbone=timm backbone.name=resnet50t or backbone=timm backbone.name=resnet50s"),
        ("convnxt_smal", "backbone=timm backbone.name=convnext_small or "),
        ("resnet34", "backbone=timm backbone.name=resnet34?)"),
    ],
)
def test_a_mistyped_network_is_answered_with_options_and_models_of_timm(name: str, offered: str) -> None:
    [told] = refused(f"backbone={name}")
    assert told.startswith(f"backbone={name} is no option (did you mean {offered}")


def test_torn_words_are_told_before_the_grammar_is_asked() -> None:
    assert refused("labels=5,", "20")[0].startswith("labels=5, 20: a blank stands beside the comma")


def test_a_pattern_without_m_is_told_as_other_values_are() -> None:
    assert any("holds several values: " + SWEEP in problem for problem in refused("tune=glob(*)"))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("data.rot=../Bilder (2)", "data.rot is no setting of tlexp (did you mean data.root?); see tlexp --help"),
        ("bckbone=a, ü", "bckbone is no setting of tlexp (did you mean backbone or "),
        (
            "data.root=P/Katzen, süß",
            "data.root=P/Katzen, süß: quote a text with such signs for both, the shell and tlexp: "
            "'data.root=\"P/Katzen, süß\"'",
        ),
        ("study.name=a (b)", "study.name=a (b): quote a text with such signs for both, the shell and tlexp: "),
        ("data.root=P/a, b", "data.root=P/a, b holds several values: " + SWEEP + "quote a text that has a comma: "
         "'data.root=\"P/a, b\"'"),
        ("hydra.run.dir=a (b)", "hydra.run.dir=a (b): quote a text with such signs"),
        ("data.root=f(x)", "data.root=f(x): quote a text with such signs for both, the shell and tlexp: "
         "'data.root=\"f(x)\"'\nif no text is meant: "),
        ("head.hidden=[a (b)]", "head.hidden=[a (b)]: "),
    ],
)  # fmt: skip
def test_a_value_that_the_grammar_refuses_is_shown_in_quotes_unless_its_key_is_wrong(word: str, told: str) -> None:
    problems = refused(word)
    assert any(problem.startswith(told) for problem in problems), problems
    assert len(refused(word, "labels=(", "seed=(")) > len(problems), "all are told at once"


@pytest.mark.parametrize("text", ["P/Katzen, süß (2)", "it's \\, so (2)", "P/a, b"])
def test_what_is_shown_in_quotes_is_understood(text: str) -> None:
    shown = next(problem for problem in refused("data=folder", f"data.root={text}") if "quote a text" in problem)
    [word] = shlex.split(shown[shown.index("'data.root=") :])
    assert load(["data=folder", word]).config.data.root == text


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("[Katze ♥,hund]", '["Katze ♥",hund]'),
        ("[-Katze ♥, 'a, b', \"c\"]", '["-Katze ♥",\'a, b\',"c"]'),
        ("[x (1),b-2 c]", '["x (1)",b-2 c]'),
    ],
)
def test_names_in_a_list_are_shown_in_quotes_as_far_as_they_need_them(names: str, shown: str) -> None:
    [told] = refused("data=folder", f"data.classes={names}")
    typed = shlex.quote(f"data.classes={shown}")
    assert told == (
        f"data.classes={names}: in a list a text with such signs stands in quotation marks, inside those for the "
        f"shell: {typed}"
    )
    load(["data=folder", "data.root=P", *shlex.split(typed)])


@pytest.mark.parametrize("value", ["[256", "[a,]", "[a ♥,]", "[]♥]", "[a ♥,[b]]"])
def test_a_list_that_quotes_do_not_mend_is_told_how_values_are_typed(value: str) -> None:
    assert "an override is key=value" in refused(f"data.classes={value}")[0]


def test_a_minus_outside_the_quotation_marks_is_shown_inside() -> None:
    [told] = refused("data.classes=[-plain, -\"a, b\",-'c (d)']")
    shown = """'data.classes=[-plain, "-a, b","-c (d)"]'"""
    assert told.endswith(f": a minus belongs inside the quotation marks: {shown}")
    assert load(["data=folder", "data.root=P", *shlex.split(shown)]).config.data.classes == [
        "-plain",
        "-a, b",
        "-c (d)",
    ]
