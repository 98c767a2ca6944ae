"""Kept arrays: found again, made anew when they cannot be read, never half written."""

import os
from pathlib import Path

import numpy as np
import pytest

from ganray.data import cache

NAME = "abc"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ganray"


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.asked += 1
        return {"a": np.arange(300, dtype=np.float32), "b": np.float32(0.1).reshape(())}


def same(found) -> bool:
    expected = Maker()()
    return set(found) == {"a", "b"} and all(np.array_equal(found[k], expected[k]) for k in expected)


def test_arrays_are_made_once_and_found_again(place):
    make = Maker()
    assert same(cache.remembered(NAME, make))
    assert same(cache.remembered(NAME, make))
    assert make.asked == 1
    assert [path.name for path in place.iterdir()] == ["abc.npz"]  # nothing half written is left


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "flipped"])
def test_a_file_that_cannot_be_read_is_made_anew(place, damage):
    make = Maker()
    cache.remembered(NAME, make)
    (file,) = place.iterdir()
    whole = file.read_bytes()
    middle = whole.index(np.arange(300, dtype=np.float32).tobytes()) + 20
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    file.write_bytes(
        {"empty": b"", "cut": whole[:-40], "garbage": b"x" * 99, "flipped": flipped}[damage]
    )
    assert same(cache.remembered(NAME, make))
    assert make.asked == 2
    assert file.read_bytes() == whole


def test_a_place_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert same(cache.remembered(NAME, Maker()))


def test_a_disk_that_fills_up_leaves_nothing_behind(place, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert same(cache.remembered(NAME, Maker()))
    assert not list(place.iterdir())


def test_keys_differ_with_words_arrays_types_and_shapes():
    a, b = np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)
    keys = [
        cache.key("lenet", 1, arrays=[a]),
        cache.key("lenet", 2, arrays=[a]),
        cache.key("lenet", 1, arrays=[b]),
        cache.key("lenet", 1, arrays=[a, a]),
        cache.key("lenet", 1, arrays=[a.astype(np.int8)]),
        cache.key("lenet", 1, arrays=[a + 1]),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == cache.key("lenet", 1, arrays=[np.asfortranarray(a)])


def test_the_folder_is_the_user_s(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", os.sep + "nowhere")
    assert cache.folder() == Path("/nowhere/.cache/ganray")
