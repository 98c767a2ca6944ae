"""Which files of a user's folder go with a sweep."""

import errno
from pathlib import Path

import pytest

from ganray.client import code
from ganray.client.code import read_code
from ganray.errors import SpecError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for name in ("nets.py", "deep/er/__init__.py", ".git/config", ".venv/x.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}")
    (folder / "deep" / "__pycache__").mkdir()
    (folder / "deep" / "__pycache__" / "x.pyc").write_bytes(b"0")
    return folder


def test_files_go_by_their_path_without_what_belongs_to_the_machine(folder: Path) -> None:
    assert read_code(folder) == {
        "nets.py": b"# nets.py",
        "deep/er/__init__.py": b"# deep/er/__init__.py",
    }


def test_large_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_BYTES", 29)
    with pytest.raises(SpecError, match="is larger than 29 bytes"):
        read_code(folder)


def test_link_to_outside_is_refused(folder: Path) -> None:
    (folder / "secrets.py").symlink_to("/etc/hostname")
    with pytest.raises(SpecError, match=r"secrets\.py is a link to outside"):
        read_code(folder)


def test_link_inside_is_followed(folder: Path) -> None:
    (folder / "same.py").symlink_to("nets.py")
    assert read_code(folder)["same.py"] == b"# nets.py"


def test_link_to_a_folder_is_refused_not_left_out(folder: Path) -> None:
    (folder / "same").symlink_to("deep")
    with pytest.raises(SpecError, match="same is no file"):
        read_code(folder)


@pytest.mark.parametrize("function", ["io.open", "os.scandir"])  # of a file, of a folder
def test_what_cannot_be_read_is_told_not_left_out(
    folder: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(function, refuse)
    with pytest.raises(SpecError, match=r"--code .*mine.* cannot be read: Permission denied"):
        read_code(folder)


def test_name_of_our_own_files_is_refused(folder: Path) -> None:
    (folder / "ganray-request.json").write_text("{}")
    with pytest.raises(SpecError, match="names that start with ganray- are taken"):
        read_code(folder)


def test_broken_link_is_refused(folder: Path) -> None:
    (folder / "gone.py").symlink_to("nowhere.py")
    with pytest.raises(SpecError, match=r"gone\.py is no file"):
        read_code(folder)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such folder"):
        read_code(tmp_path / "none")
