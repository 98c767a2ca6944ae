"""YAML that would run code, or fill the machine, is refused; plain YAML is read as it was meant."""

import time

import pytest
from ruamel.yaml.error import YAMLError

from ganray.spec.yaml import LARGEST, RefusedYamlError, read_yaml
from tests.conftest import Answer


def bomb(opening: str, each: str) -> str:
    """Twenty lines, each of which stands for nine times as much as the one before."""
    nine = [", ".join([f"*a{i}"] * 9) for i in range(19)]
    lines = [f"a{i}: &a{i} {each % inner}" for i, inner in enumerate(nine, start=1)]
    return "\n".join([f"a0: &a0 {opening}", *lines])


HOSTILE = {
    "lists that unfold": (bomb("[x]", "[%s]"), "stand for more than 100,000 values"),
    "mappings that are merged": (bomb("{x: 1}", "{<<: [%s]}"), "stand for more than 100,000"),
    "a list in itself": ("a: &a [*a]", "stand for more than 100,000 values"),
    "brackets": ("[" * 5_000, "is nested too deeply"),
    "dashes": ("- " * 9_000, "is nested too deeply"),
    "a long text": ("x: " + "y" * LARGEST, "characters; at most 262,144 are read"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_text_that_would_take_the_machine_is_refused_in_seconds(case: str) -> None:
    text, message = HOSTILE[case]
    started = time.monotonic()
    with pytest.raises(RefusedYamlError, match=message):
        read_yaml(text)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "!!python/name:os.system",
        "x: !!python/object/new:subprocess.Popen [[touch, ran]]",
        "!custom {a: 1}",
    ],
)
def test_tag_that_makes_objects_is_refused(text: str, here, ganray) -> None:
    with pytest.raises(YAMLError, match="could not determine a constructor for the tag"):
        read_yaml(text)
    (here / "s.yaml").write_text(text)
    answer: Answer = ganray("validate", "s.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert "a sweep file has none" in answer.err
    assert not (here / "ran").exists()


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_and_setting_are_bad_input(case: str, here, ganray) -> None:
    text, message = HOSTILE[case]
    (here / "s.yaml").write_text(text)
    answer: Answer = ganray("validate", "s.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("ganray: s.yaml: ")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_file_of_ten_megabytes_is_refused_unread(here, ganray) -> None:
    (here / "s.yaml").write_bytes(b"x: [" + b"1, " * 3_500_000 + b"1]")
    started = time.monotonic()
    answer: Answer = ganray("validate", "s.yaml")
    problem = "has 10,500,006 bytes; a sweep file is far smaller"
    assert answer == (2, "", f"ganray: s.yaml: {problem}\n")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing", None),
        ("a: &lr {low: 1.0e-5}\nb: *lr", {"a": {"low": 1e-5}, "b": {"low": 1e-5}}),
        ("a: &x {low: 1}\nb: {<<: *x, high: 2}", {"a": {"low": 1}, "b": {"low": 1, "high": 2}}),
        ("[1, 1.5, true, null, text]", [1, 1.5, True, None, "text"]),
    ],
)
def test_plain_yaml_is_read_as_it_is_meant(text: str, value: object) -> None:
    assert read_yaml(text) == value
