"""Files and the Hub by way of `datasets`: what is told when they cannot be had, and how soon."""

import os
import subprocess
import sys
import time

import datasets
import pytest
from datasets import config
from huggingface_hub import constants, utils

from ganray.data import hub
from ganray.data.registry import load_dataset
from ganray.errors import DataError

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "repository", "file"),
    [
        ("mnist", "ylecun/mnist", "mnist/train-00000-of-00001.parquet"),
        ("stacked-mnist", "ylecun/mnist", "mnist/test-00000-of-00001.parquet"),
        (
            "fashion-mnist",
            "zalando-datasets/fashion_mnist",
            "fashion_mnist/train-00000-of-00001.parquet",
        ),
        ("cifar10", "uoft-cs/cifar10", "plain_text/test-00000-of-00001.parquet"),
    ],
)
def test_without_the_hub_the_error_names_the_files_and_the_option(
    unreachable, capfd, name, repository, file
):
    start = time.perf_counter()
    with pytest.raises(DataError) as raised:
        load_dataset({"name": name})
    assert time.perf_counter() - start < 5.0
    message = str(raised.value)
    assert file in message
    assert f"https://huggingface.co/datasets/{repository}" in message
    assert "data.path" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_offline_by_the_environment_is_the_same_error_in_a_process_of_its_own(tmp_path):
    code = "from ganray.data.images import mnist; mnist()"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("ganray.errors.DataError: ylecun/mnist cannot be had")
    assert "Retrying" not in found.stderr


def test_settings_of_the_libraries_are_left_as_they_were(unreachable):
    before = (config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    libraries = (datasets, utils)
    levels = [library.logging.get_verbosity() for library in libraries]
    bars = [library.are_progress_bars_disabled() for library in libraries]
    with pytest.raises(DataError):
        load_dataset({"name": "mnist"})
    assert before == (config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    assert levels == [library.logging.get_verbosity() for library in libraries]
    assert bars == [library.are_progress_bars_disabled() for library in libraries]


def test_reading_a_file_writes_nothing_on_the_screen(digit_files, capfd):
    with hub.opened(str(digit_files)) as splits:
        assert {name: len(rows) for name, rows in splits.items()} == {"train": 1297, "test": 500}
        assert datasets.are_progress_bars_disabled()
        assert utils.are_progress_bars_disabled()
    assert capfd.readouterr() == ("", "")


def test_the_hub_s_own_splits_are_used(monkeypatch):
    asked = []

    def load(repository):
        asked.append(repository)
        rows = datasets.Dataset.from_dict({"a": [1, 2]})
        return {"train": rows, "test": rows.select([0])}

    monkeypatch.setattr(hub, "_answers", lambda url: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with hub.downloaded("owner/name", "a.parquet") as splits:
        assert {name: len(rows) for name, rows in splits.items()} == {"train": 2, "test": 1}
        assert config.HF_HUB_OFFLINE is False
    assert asked == ["owner/name"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "absent: does not exist; expected a parquet file or a folder"),
        ("notes.txt", "notes.txt: is no parquet file"),
        ("bad.parquet", "bad.parquet: cannot be read as parquet: .*smaller than the minimum"),
        ("empty", "empty: cannot be read as imagefolder"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_is_wrong(tmp_path, capfd, path, message):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bad.parquet").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message) as raised, hub.opened(str(tmp_path / path)):
        pass
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")
