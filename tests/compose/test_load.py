from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tlexp.compose.load import ConfigSource, load, resumed_overrides
from tlexp.compose.overrides import forbidden_nodes
from tlexp.config import GROUPS, config_fields, config_key
from tlexp.config.casting import unknown_key
from tlexp.errors import ConfigError
from tlexp.paths import conf_folder, conf_options

NEEDED = {
    "data=folder": ["data.root=photos"],
    "data=csv": ["data.root=labels.csv"],
    "data=timm": ["data.root=photos"],
    "backbone=timm": ["backbone.name=resnet26"],
    "freeze=surgical": ["freeze.units=[layer2]"],
    "experiment=vgg16_binary": ["data.root=photos"],
    "experiment=photos": ["data.root=photos"],
    "experiment=frozen_base": ["data.root=photos"],
    "experiment=cat_detector": ["data.root=photos"],
    "experiment=pretrain_tiny": ["data.root=photos"],
    "experiment=chain_first": ["data.root=photos"],
    "experiment=chain_second": ["data.root=photos"],
}
CHOICES = [f"{group}={option}" for group in (*GROUPS, "experiment") for option in conf_options(group)]


def test_the_defaults_are_those_that_are_promised() -> None:
    config = load([]).config
    assert (config.backbone.name, config.backbone.weights, config.labels) == ("tf_efficientnet_lite0", None, "20")
    assert [config.freeze.policy, config.head.kind, config.data.source, config.augment.kind] == [
        "all", "linear", "shapes", "none",
    ]  # fmt: skip


def test_yaml_files_hold_values_and_no_python_paths() -> None:
    for path in conf_folder().rglob("*.yaml"):
        assert "_target_" not in path.read_text(), path


def test_words_override_and_are_typed() -> None:
    config = load(
        ["optim.lr=1", "labels=0.10", "freeze=depth", "freeze.depth=3", "head=mlp", "head.hidden=[8,4]"]
    ).config
    assert isinstance(config.optim.lr, float)
    assert (config.labels, config.freeze.depth, config.head.hidden) == ("0.1", "3", [8, 4])


def test_the_nearest_settings_are_looked_for_in_the_group_that_was_named() -> None:
    told = unknown_key("study.lables"), unknown_key("labes"), unknown_key("stdy.labels")
    assert told[0] == "study.lables is no setting of tlexp (did you mean study.labels?); see tlexp --help"
    assert "(did you mean labels?)" in told[1]
    assert "(did you mean study.labels" in told[2]


def test_all_mistakes_are_named_at_once_with_key_value_rule_and_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        load(["backbone=resnet5", "optim.lrr=3", "optim.lr=0.01x", "labels=2.5", "tune.lr=[1,0.1]", "head.norm=bach"])
    problems = caught.value.problems
    assert len(problems) == 6
    text = str(caught.value)
    assert "backbone=resnet5 is no option (did you mean resnet50" in text
    assert "optim.lrr is no setting of tlexp (did you mean optim.lr?)" in text
    assert "optim.lr=0.01x: must be a finite number. Peak learning rate, (0, inf)" in text
    assert "labels=2.5: labels must be a whole number from 1" in text
    assert "tune.lr=[1.0, 0.1]: must be [low, high] with 0 < low < high" in text
    assert "head.norm=bach: must be one of none, batch, layer (did you mean batch?)" in text


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("study.minutes=8min", "a number of minutes, e.g. study.minutes=8"),
        ("study.minutes=1.5h", "a number of minutes, e.g. study.minutes=90"),
        ("study.minutes=8ms", "a number of minutes, e.g. study.minutes=8"),
        ("study.minutes=long", "a number of minutes, e.g. study.minutes=8"),
        ("tracking.wait_seconds=2 minutes", "a number of seconds, e.g. tracking.wait_seconds=120"),
    ],
)
def test_a_time_with_its_unit_is_told_the_number_alone(word: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load([word])
    assert error.value.problems == (f"{word}: must be {told}",)


def test_a_time_that_is_no_text_is_told_what_the_setting_means() -> None:
    with pytest.raises(ConfigError, match=r"study.minutes=inf: must be a finite number. .* 0 is no limit"):
        load(["study.minutes=inf"])


@pytest.mark.parametrize("word", ["optim.lr=nan", "optim.lr=inf", "seed=1.5", "train.compile=maybe", "head.hidden=3"])
def test_values_of_the_wrong_type_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"^{word.split('=')[0]}="):
        load([word])


def test_every_setting_can_be_named_on_the_command_line() -> None:
    with pytest.raises(ConfigError) as caught:
        load([f"{key}={{a: {{b: 1}}}}" for key in config_fields()])
    named = {problem.partition("=")[0] for problem in caught.value.problems}
    assert named >= set(config_fields())


HOSTILE = [
    "hydra.callbacks.x={_target_: shutil.copy, src: a, dst: b}",
    "+hydra.callbacks.x._target_=shutil.copy",
    "hydra/callbacks=x",
    "+x._target_=os.system",
    "data={_target_: os.system}",
    "+optim._target_=os.system",
    "hydra.launcher._target_=os.system",
    "hydra.sweeper._target_=subprocess.run",
    "+hydra.sweeper.x={_target_: os.system}",
    "+hydra.job_logging.handlers.x.class=subprocess.Popen",
    "+hydra.job_logging.formatters.x={'()': os.system}",
    "hydra.hydra_logging={version: 1, handlers: {x: {class: subprocess.Popen, args: [touch, canary]}}}",
]


@pytest.mark.parametrize("word", HOSTILE)
def test_python_objects_are_refused_before_hydra_acts(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        load([word])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", [word for word in HOSTILE if "_target_" in word and "callbacks" not in word])
def test_a_python_object_is_refused_with_the_rule(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([word])
    assert f"{word}: a configuration holds values, not Python objects; remove _target_" in caught.value.problems


def test_python_objects_in_a_folder_of_configurations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    node = "# @package _global_\nhydra:\n  callbacks:\n    x: {_target_: shutil.copy, src: a, dst: b}\n"
    (tmp_path / "experiment" / "evil.yaml").write_text(node)
    with pytest.raises(ConfigError, match=r"hydra\.callbacks run code before tlexp does"):
        load(["experiment=evil"], ConfigSource(search=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"no option"):
        load(["experiment=evil"])


def test_python_objects_in_a_swept_option_are_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "good.yaml").write_text("# @package _global_\nlabels: '5'\n")
    node = "# @package _global_\nhydra:\n  job_logging:\n    formatters:\n      x: {'()': shutil.copyfile}\n"
    (tmp_path / "experiment" / "evil.yaml").write_text(node)
    with pytest.raises(ConfigError, match=r"opens files and imports classes"):
        load(["experiment=good,evil"], ConfigSource(search=str(tmp_path)), swept=True)
    load(["experiment=good,good"], ConfigSource(search=str(tmp_path)), swept=True)


def test_a_plain_configuration_has_no_forbidden_node() -> None:
    assert forbidden_nodes(OmegaConf.create({"hydra": {"launcher": {"_target_": PLUGIN}}, "optim": {"lr": 1}})) == []


PLUGIN = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def test_values_from_the_environment_are_used_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLEXP_TEST_SECRET", "http://me:hunter2@host")
    loaded = load(["tracking.uri=${oc.env:TLEXP_TEST_SECRET}"])
    assert loaded.config.tracking.uri == "http://me:hunter2@host"
    assert "hunter2" not in str(loaded.shown)
    by_reference = load(["tracking.uri=${oc.env:TLEXP_TEST_SECRET}", "backbone.weights=${tracking.uri}/w"])
    assert "hunter2" not in str(by_reference.shown)
    assert loaded.shown["tracking"]["uri"] == "${oc.env:TLEXP_TEST_SECRET}"


def _interrupted(folder: Path, words: list[str]) -> Path:
    (folder / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(words), folder / ".hydra" / "overrides.yaml")
    return folder


def test_resume_takes_the_words_of_the_run_and_refuses_changes(tmp_path: Path) -> None:
    run = _interrupted(tmp_path, ["freeze=none", "labels=50"])
    assert resumed_overrides(run, [f"resume={run}"], ConfigSource()) == ["freeze=none", "labels=50"]
    assert resumed_overrides(run, ["train.progress=false", "labels=050"], ConfigSource()) == [
        "freeze=none",
        "labels=50",
    ]
    with pytest.raises(ConfigError, match=r"labels was 50 and would be 20; leave it out"):
        resumed_overrides(run, ["labels=20"], ConfigSource())
    with pytest.raises(ConfigError, match=r"no run's folder"):
        resumed_overrides(tmp_path / "nowhere", [], ConfigSource())


def test_a_run_that_was_made_when_settings_of_other_sources_were_taken_goes_on(tmp_path: Path) -> None:
    words = ["data=folder", "data.root=photos", "data.size=64", "data.per_class=50"]
    run = _interrupted(tmp_path, words)
    resume = f"resume={run}"
    assert resumed_overrides(run, [resume], ConfigSource()) == words
    with pytest.raises(ConfigError, match=r"data.size=64 needs data=shapes: data=folder knows none"):
        load(words)
    with pytest.raises(ConfigError, match=r"data.noise was 0.1 and would be 0.3; leave it out"):
        resumed_overrides(run, [resume, "data.noise=0.3"], ConfigSource())


def test_a_sweep_leaves_its_points_to_its_jobs() -> None:
    load(["freeze=all,none", "optim.lr=1e-3,1e-2", "data=folder"], swept=True)


def test_keys_do_not_depend_on_how_a_value_is_spelled() -> None:
    spelled = [["optim.lr=1e-2", "labels=20"], ["optim.lr=0.01", "labels=020"], ["++optim.lr=.01"]]
    assert len({config_key(load(words).config) for words in spelled}) == 1


def test_a_configuration_of_one_s_own_is_found_where_hydra_finds_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [config, _self_]\nlabels: 7\n")
    (tmp_path / "freeze").mkdir()
    (tmp_path / "freeze" / "all.yaml").write_text("policy: none\n")
    (tmp_path / "freeze" / "mine.yaml").write_text("policy: none\n")
    source = ConfigSource(name="mine", search=str(tmp_path))
    assert load([], source).config.labels == "7"
    assert load(["freeze=mine"], source).config.freeze.policy == "none"
    assert load(["freeze=all"], source).config.freeze.policy == "all"  # tlexp's own come first
    for wrong in (ConfigSource(path="nowhere"), ConfigSource(search="nowhere")):
        with pytest.raises(ConfigError, match=r"--config-(path|dir)=nowhere: no such folder"):
            load([], wrong)


def test_an_unknown_backbone_names_the_way_to_any_other_model() -> None:
    with pytest.raises(ConfigError, match=r"for any other timm model: backbone=timm backbone\.name=NAME"):
        load(["backbone=resnet81"])


@pytest.mark.parametrize("word", ["tracking.uri='http://me:***@host'", "data.root='***'", "data.classes=['a***']"])
def test_what_stands_for_a_secret_is_no_value(word: str) -> None:
    with pytest.raises(ConfigError, match=r"held a secret, which is not kept: give .* again"):
        load([word, "data=folder"])


@pytest.mark.parametrize("word", ["hydra.job.chdir=false", "hydra/job_logging=none", "hydra/hydra_logging=none"])
def test_what_hydra_does_anyway_may_be_said(word: str) -> None:
    load([word])
