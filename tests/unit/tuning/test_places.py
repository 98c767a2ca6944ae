"""Where a sweep keeps what, and that files come back as they were written."""

from pathlib import Path
from typing import Any

import pytest

from ganray.errors import ResourceError
from ganray.tuning import places
from ganray.tuning.places import (
    check_results,
    drop_parts,
    list_files,
    read_file,
    results_location,
    settled,
    study_location,
    trial_location,
    write_file,
)
from tests.conftest import small_spec


def test_everything_of_a_sweep_is_in_its_folder_of_the_home_folder(here: Path) -> None:
    spec = small_spec(here, storage={})
    home = Path.home()
    assert results_location(spec) == str(home / "ray_results")
    assert trial_location(spec, 7) == str(home / "ray_results/small/trials/0007")
    assert study_location(spec) == str(home / "ray_results/small/study.journal")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("results", "{here}/results"),
        ("/data/results", "/data/results"),
        ("~/results", "{home}/results"),
        ("s3://bucket/folder", "s3://bucket/folder"),
    ],
)
def test_results_are_where_they_are_asked_for(place: str, expected: str, here: Path) -> None:
    spec = small_spec(here, storage={"results": place})
    folder = expected.format(here=here, home=Path.home())
    assert results_location(spec) == folder
    assert trial_location(spec, 12_345) == f"{folder}/small/trials/12345"


@pytest.mark.parametrize("place", [None, "results", "~/größe 100%", "file:///data/results"])
def test_folder_may_hold_results_and_is_not_made_by_asking(place: str | None, here: Path) -> None:
    check_results(small_spec(here, storage={"results": place}))
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "shown", "cause"),
    [
        ("foo://bar", "foo://bar", "Unrecognized filesystem type"),
        ("://bar", "://bar", "Cannot parse URI"),
        ("foo://secret@bar", "foo://***@bar", "Unrecognized filesystem type"),
    ],
)
def test_url_of_no_known_file_system_is_refused(
    place: str, shown: str, cause: str, here: Path
) -> None:
    with pytest.raises(ResourceError) as error:
        check_results(small_spec(here, storage={"results": place}))
    assert str(error.value).startswith(f"storage.results: {shown} cannot be used: {cause}")
    assert "give a folder, or a URL that starts with file://, s3://" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("postgresql://host/db", "postgresql://host/db"),
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("studies", "{here}/studies/small.journal"),
        ("~/studies", "{home}/studies/small.journal"),
        ("kept.journal", "{here}/kept.journal"),
        ("/data/v1.2", "/data/v1.2/small.journal"),
    ],
)
def test_study_is_where_it_is_asked_for(place: str, expected: str, here: Path) -> None:
    spec = small_spec(here, storage={"study": place})
    assert study_location(spec) == expected.format(here=here, home=Path.home())


def test_study_stays_on_this_machine_where_results_go_elsewhere(here: Path) -> None:
    spec = small_spec(here, storage={"results": "s3://bucket/folder"})
    assert study_location(spec) == str(Path.home() / "ray_results/small/study.journal")


@pytest.mark.parametrize("folder", ["new", "new/er", "with space", "größe", "100%", "a#b", "q?"])
def test_file_comes_back_as_it_was_written(folder: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    place = write_file(str(tmp_path / folder), "samples-0000000010.png", content)
    assert place == str(tmp_path / folder / "samples-0000000010.png")
    assert Path(place).read_bytes() == content
    assert read_file(place) == content


def test_file_comes_back_from_a_url(tmp_path: Path) -> None:
    place = write_file(f"file://{tmp_path}/new", "x", b"content")
    assert place == f"file://{tmp_path}/new/x"
    assert (tmp_path / "new/x").read_bytes() == read_file(place) == b"content"


def test_file_is_replaced_when_it_is_written_again(tmp_path: Path) -> None:
    write_file(str(tmp_path), "x", b"a long first version")
    assert read_file(write_file(str(tmp_path), "x", b"second")) == b"second"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_of_a_folder_are_listed_by_name(scheme: str, tmp_path: Path) -> None:
    folder = f"{scheme}{tmp_path}/trial"
    assert list_files(folder) == ()
    for name in ("stop.png", "best.pt", "checkpoint.pt"):
        write_file(folder, name, b"content")
    (tmp_path / "trial" / "a folder").mkdir()
    assert list_files(folder) == ("best.pt", "checkpoint.pt", "stop.png")


def test_file_that_two_processes_write_at_once_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused_halfway(system: Any, path: str, content: bytes) -> None:
        monkeypatch.undo()
        with Path(path).open("wb", buffering=0) as out:
            out.write(content[:2])
            write_file(str(tmp_path), "a", b"other")  # by who took it for dead
            out.write(content[2:])

    monkeypatch.setattr(places, "_write", paused_halfway)
    write_file(str(tmp_path), "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_half_written_files_are_dropped_and_others_are_not(tmp_path: Path) -> None:
    write_file(str(tmp_path), "a", b"content")
    for name in (".a.0.part", ".b.1.part", ".c"):
        (tmp_path / name).write_bytes(b"con")
    drop_parts(str(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == [".c", "a"]
    drop_parts(str(tmp_path / "none"))


def test_file_that_is_not_there_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(str(tmp_path / "none.png"))


def test_recorded_sweep_has_folders_that_are_found_from_anywhere(here: Path) -> None:
    given = {"results": "results", "study": "~/studies"}
    found = settled(small_spec(here, storage=given))
    assert found.storage.results == str(here / "results")
    assert found.storage.study == str(Path.home() / "studies")
    assert study_location(found) == study_location(small_spec(here, storage=given))
    urls = {"results": "s3://bucket/results", "study": "postgresql://host/db"}
    assert dict(settled(small_spec(here, storage=urls)).storage) == urls
    plain = small_spec(here, storage={})
    assert settled(plain) is plain
