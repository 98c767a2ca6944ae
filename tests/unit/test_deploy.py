"""The passwords of a head node: made once, for one reader."""

import configparser
import os
import runpy
import sys
from pathlib import Path

import pytest

from ganray.deploy import AUTHENTICATION, ENVIRONMENT, write_secrets


def environment(folder: Path) -> dict[str, str]:
    lines = (folder / ENVIRONMENT).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_files_are_for_one_reader_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = write_secrets(tmp_path / "new" / "er")
    finally:
        os.umask(before)
    folder = tmp_path / "new" / "er"
    assert made == [folder / ENVIRONMENT, folder / AUTHENTICATION]
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, *made)] == [
        "0o700",
        *["0o600"] * 2,
    ]


def test_mlflow_and_its_client_are_given_the_same_password(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    found = environment(tmp_path)
    assert found["MLFLOW_TRACKING_PASSWORD"] == found["MLFLOW_AUTH_ADMIN_PASSWORD"]
    assert len(found["MLFLOW_TRACKING_PASSWORD"]) >= 43
    assert found["MLFLOW_FLASK_SERVER_SECRET_KEY"] != found["MLFLOW_TRACKING_PASSWORD"]
    settings = configparser.ConfigParser()
    settings.read(found["MLFLOW_AUTH_CONFIG_PATH"])
    assert settings["mlflow"]["admin_username"] == found["MLFLOW_TRACKING_USERNAME"]
    assert "password" not in (tmp_path / AUTHENTICATION).read_text()
    assert settings["mlflow"]["database_uri"] == "postgresql:///mlflow_auth"


def test_values_need_no_quotes_in_a_shell(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    for value in environment(tmp_path).values():
        assert not set(value) & set(" '\"$`\\;&|<>()*?#~")


def test_passwords_are_made_once_and_never_twice_the_same(tmp_path: Path) -> None:
    write_secrets(tmp_path / "a")
    before = (tmp_path / "a" / ENVIRONMENT).read_text()
    assert write_secrets(tmp_path / "a") == []
    assert (tmp_path / "a" / ENVIRONMENT).read_text() == before
    (tmp_path / "a" / AUTHENTICATION).unlink()
    assert write_secrets(tmp_path / "a") == [tmp_path / "a" / AUTHENTICATION]
    write_secrets(tmp_path / "b")
    mine, other = (environment(tmp_path / name) for name in "ab")
    assert mine["MLFLOW_TRACKING_PASSWORD"] != other["MLFLOW_TRACKING_PASSWORD"]


def test_making_that_is_cut_short_leaves_nothing_that_counts_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)  # when it is written, and may not be on the disk
        with pytest.raises(KeyboardInterrupt):
            write_secrets(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert write_secrets(tmp_path) == [tmp_path / ENVIRONMENT, tmp_path / AUTHENTICATION]
    assert environment(tmp_path)["MLFLOW_TRACKING_PASSWORD"]
    assert sorted(tmp_path.iterdir()) == [tmp_path / AUTHENTICATION, tmp_path / ENVIRONMENT]


def test_program_writes_under_the_home_folder_and_prints_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "ganray.deploy")
    runpy.run_module("ganray.deploy", run_name="__main__", alter_sys=True)
    folder = tmp_path / ".ganray"
    out, err = capsys.readouterr()
    assert out == f"made {folder / ENVIRONMENT}\nmade {folder / AUTHENTICATION}\n"
    assert err == ""
