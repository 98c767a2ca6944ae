"""The benchmark of ways to train on one GPU, on the CPU: what it does, not how fast."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import gpu
from tests.benchmarks.gpu import FULL, QUICK, TINY, Measured, Plan, cells, measured, rows
from tests.benchmarks.gpu_crew import CellError, Crew
from tests.benchmarks.gpu_host import IN_TURNS, WAYS, WORKLOADS, Cell, Host
from tests.benchmarks.results import load
from tests.recording import recording_on_the_cpu

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[3]
BEYOND = (  # of what a machine with torch and numpy alone does not have
    *("ray", "optuna", "mlflow", "pandas", "psutil", "scipy", "matplotlib", "pytest", "pydantic"),
    *("sklearn", "ruamel", "rich", "typer", "PIL", "pyarrow", "threadpoolctl"),
)
MIXED = "2-D MLP, mixed"


class Here:
    """A crew of one, in this process."""

    def __init__(self) -> None:
        self.host = Host("cpu")

    def ask(self, method: str, *arguments: object, within: float) -> list[Any]:
        return [getattr(self.host, method)(*arguments)]


def seeds(host: Host) -> list[list[int]]:
    return [[trainer.config.seed for trainer in hand.trainers] for hand in host._hands]


# --- the command ----------------------------------------------------------------------------------


def test_it_runs_where_torch_and_numpy_are_all_there_is(tmp_path: Path) -> None:
    for name in BEYOND:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    file = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu", "--output", str(file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert f"tests.benchmarks.gpu --device cpu --output {file}" in done.stdout
    assert json.loads(file.read_text())["command"] in done.stdout
    tells_of_every_cell(file)
    compares_with_trials_in_turns(file)


def tells_of_every_cell(file: Path) -> None:
    found = {(row.benchmark, row.case.partition(":")[0]): row for row in load(file)}
    for cell in cells(TINY):
        row = found[f"gpu, {cell.workload}", f"{cell.way}, K = {cell.size}"]
        cannot = WAYS[cell.way].graphs or (WAYS[cell.way].fused and "gp" in cell.workload)
        assert (row.unit == "failed") is cannot, row
    assert {way for _, way, _ in cells(TINY)} == set(WAYS)


def compares_with_trials_in_turns(file: Path) -> None:
    found = {(row.benchmark, row.case): row for row in load(file)}
    beside = {key: row for key, row in found.items() if row.unit == "speed"}
    assert len(beside) == sum(row.unit == "trials/s" for row in found.values())
    for (benchmark, case), row in beside.items():
        its = found[benchmark, case.replace("beside in turns", "trials/s")]
        base = found[benchmark, "in turns, K = 1: trials/s"]
        assert row.value == pytest.approx(its.value / base.value)


def test_it_is_imported_where_ganray_is_not_installed() -> None:
    done = subprocess.run([sys.executable, "-S", "-c", "import ganray"], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no GPU" in err


# --- what is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [FULL, QUICK, TINY])
def test_each_way_is_measured_beside_trials_in_turns(plan: Plan) -> None:
    planned = list(cells(plan))
    assert len(planned) == len(set(planned))
    for name in plan.workloads:
        assert Cell(name, IN_TURNS, 1) in planned
        assert {way for workload, way, _ in planned if workload == name} >= {
            *("processes", "in turns, graphs", "slots", "slots, graphs", *gpu.FUSED)
        }


def test_all_that_is_to_be_measured_is_in_the_full_plan() -> None:
    sizes = [size for workload, way, size in cells(FULL) if (workload, way) == ("2-D MLP", "fused")]
    assert sizes == [1, 2, 4, 8, 16, 32, 64]
    assert {c.size for c in cells(FULL) if c.way == "processes"} == {2, 4, 8}
    assert set(FULL.workloads) == set(WORKLOADS)


def test_a_set_of_different_trials_is_whole_in_each_way() -> None:
    whole = list(range(len(WORKLOADS[MIXED].configs)))
    for cell in (cell for cell in cells(FULL) if cell.workload == MIXED):
        dealt = [hand for place in range(cell.processes) for hand in cell.hands(place)]
        trials = sorted(number for hand in dealt for number in hand)
        assert trials[: len(whole)] == whole
        assert len(dealt) == cell.size


@pytest.mark.parametrize(
    ("workload", "way"),
    [
        *((MIXED, way) for way in WAYS),
        ("2-D MLP, wgan_gp", "in turns, graphs"),
        ("DCGAN-28", "slots"),
        ("DCGAN-32", "in turns, graphs"),
    ],
)
def test_trials_of_each_way_train(workload: str, way: str) -> None:
    size = len(WORKLOADS[workload].configs) if WAYS[way].slots else 1
    cell = Cell(workload, way, size)
    with recording_on_the_cpu():
        found = measured(cell, Here(), seconds=0.001)
    assert found.first > 0.0
    assert len(found.updates) == len(found.images) == gpu.RUNS
    assert min(*found.updates, *found.images) > 0.0


def test_updates_and_images_are_those_that_trials_made() -> None:
    host = Host("cpu")
    host.begin(Cell(MIXED, "fused", 4))
    made = host.advance(6)
    assert made.updates == 4 * 6
    # of 6 updates after the first one D makes 3; with five of D's for each of G's it makes 5
    assert made.images == (3 * 3 + 5) * 128


def test_processes_have_a_trial_each() -> None:
    hosts = [Host("cpu", place) for place in range(2)]
    for host in hosts:
        host.begin(Cell("2-D MLP", "processes", 2))
    assert [seeds(host) for host in hosts] == [[[0]], [[1]]]


# --- what fails -----------------------------------------------------------------------------------


def test_graphs_that_are_not_recorded_are_no_graphs() -> None:
    with pytest.raises(RuntimeError, match=r"0 of 2 are recorded; .*no CUDA device"):
        Host("cpu").begin(Cell("2-D MLP", "slots, graphs", 2))


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "not finite"), (None, "weights do not move")]
)
def test_trials_that_do_not_train_give_no_numbers(value: float | None, reason: str) -> None:
    host = Host("cpu")
    host.begin(Cell("2-D MLP", "slots", 2))
    if value is not None:
        host.advance(2)
        host._trainers[1].players["g"].parameters[0].data[0] = value
    with pytest.raises(RuntimeError, match=reason):
        host.end()


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew(1, "cpu")
    yield crew
    crew.close()


def test_a_process_that_failed_goes_on_and_one_that_hangs_does_not(crew: Crew) -> None:
    with pytest.raises(CellError, match="a penalty needs gradients of its own"):
        measured(Cell("2-D MLP, wgan_gp", "fused", 1), crew, 0.001)
    assert crew.is_usable
    assert isinstance(measured(Cell("2-D MLP", "fused", 1), crew, 0.001), Measured)
    with pytest.raises(CellError, match="too long"):
        measured(Cell("2-D MLP", "slots", 1), crew, 0.001, left=0.0)
    assert not crew.is_usable


def test_a_process_that_died_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Dying:
        device, startup, is_usable = "CPU", 1.0, True

        def __init__(self, size: int, device: str) -> None:
            started.append(size)

        def ask(self, *asked: object, within: float) -> list[object]:
            self.is_usable = False
            raise CellError("a process died")

        def close(self) -> None: ...

    monkeypatch.setattr(gpu, "Crew", Dying)
    measuring = gpu.Measuring(TINY, "cpu")
    measuring.run()
    assert started == [cell.processes for cell in cells(TINY)]
    assert set(measuring.found.values()) == {"a process died"}


def test_a_cell_without_numbers_is_a_failure_with_its_reason() -> None:
    cell, base = Cell("2-D MLP", "slots", 64), Cell("2-D MLP", IN_TURNS, 1)
    found = {cell: "out of memory", base: Measured(0.1, 300.0, [2e3, 4e3, 3e3], [1e5] * 3)}
    told = {row.case: row for row in rows(found, {})}
    assert told["slots, K = 64: out of memory"].unit == "failed"
    assert told["in turns, K = 1: trials/s"].value == pytest.approx(1.5)
    assert told["in turns, K = 1: beside in turns"].value == pytest.approx(1.0)


def test_what_there_is_no_time_for_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "TINY", replace(TINY, limit=0.0))
    assert gpu.main(["--device", "cpu"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("the time for all cells was up") == len(list(cells(TINY)))


def test_workloads_draw_the_same_in_every_run() -> None:
    for workload in WORKLOADS.values():
        assert torch.equal(workload.samples(), workload.samples())
    assert WORKLOADS["DCGAN-32"].samples().shape[1:] == (3, 32, 32)
