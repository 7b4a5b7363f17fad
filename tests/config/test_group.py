import pytest

from tlexp.config.group import GroupKind, parse_group


@pytest.mark.parametrize(
    ("text", "kind", "value", "spelled"),
    [
        ("groups.csv", GroupKind.table, "groups.csv", "groups.csv"),
        ("C:/my groups.csv", GroupKind.table, "C:/my groups.csv", "C:/my groups.csv"),
        ("table:x", GroupKind.table, "table:x", "table:x"),
        ("column: patient ", GroupKind.column, "patient", "column:patient"),
        (r"pattern:^(.*?)_\d+", GroupKind.pattern, r"^(.*?)_\d+", r"pattern:^(.*?)_\d+"),
        ("folder:002", GroupKind.folder, "2", "folder:2"),
    ],
)
def test_four_ways_to_name_groups(text: str, kind: GroupKind, value: str, spelled: str) -> None:
    rule = parse_group(text)
    assert (rule.kind, rule.value, str(rule)) == (kind, value, spelled)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names nothing; give a table (data.group=groups.csv), column:NAME, pattern:REGEX or folder:1"),
        ("column:", "names nothing"),
        ("pattern: ", "names nothing"),
        ("folder:0", "must be a whole number from 1 to 20: 1 is the folder that holds the image"),
        ("folder:21", "must be a whole number from 1 to 20"),
        ("folder:x", "data.group=folder:x: must be a whole number"),
        ("folder:-1", "must be a whole number"),
        ("folder:" + "9" * 5000, "must be a whole number"),
        ("pattern:(", "data.group=pattern:(: is no regular expression: missing ), unterminated subpattern"),
        ("pattern:(a+)+$", "might be searched for ever on a long name"),
        ("pattern:" + "a" * 201, "has 201 characters, at most 200 are taken; write a table with path,group"),
    ],
)
def test_what_names_no_groups_is_refused_with_a_way_out(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^data\.group=") as error:
        parse_group(text)
    assert told in str(error.value)
