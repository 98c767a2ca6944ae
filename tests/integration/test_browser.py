"""A sweep in MLflow's UI, as somebody finds it there: in a real browser, on a real server."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from ganray.spec.models import SweepSpec
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.trial import Outcome
from ganray.tuning.driver import run_sweep
from tests.integration.conftest import make_spec
from tests.servers import MlflowServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)
PATIENCE = 60_000  # ms that a page may take on a busy machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.proof,
    pytest.mark.skipif(FOUND is None, reason=f"no browser: none of {', '.join(BROWSERS)}"),
]

# settings whose end is sure, by what they do to the game
GOOD = {"loss": "lsgan", "g_steps": 2, "d_lr": 5e-3, "g_lr": 1e-3}
COLLAPSES = {"loss": "non_saturating", "optimizer": "rmsprop", "d_lr": 1e-2, "g_lr": 6e-5}
STALLS = {"loss": "non_saturating", "d_lr": 1e-3, "g_lr": 1e-9}
FIRST = [GOOD, COLLAPSES, STALLS, GOOD, GOOD]
OUTCOMES = dict.fromkeys(range(len(FIRST)), Outcome.COMPLETED) | {
    FIRST.index(COLLAPSES): Outcome.COLLAPSED,
    FIRST.index(STALLS): Outcome.STALLED,
}


@pytest.fixture(scope="module")
def spec(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, local_ray: None
) -> Iterator[SweepSpec]:
    """A sweep that has run, on the server that its specification names."""
    folder = tmp_path_factory.mktemp("browser")
    shutil.copy(empty_store, folder / "mlflow.db")
    server = MlflowServer(folder, f"sqlite:///{folder / 'mlflow.db'}")
    server.start()
    space = {"loss": ["non_saturating", "lsgan"], "d_lr": {"low": 1e-4, "high": 5e-2, "log": True}}
    spec = make_spec(
        folder,
        "seen",
        description="Which *settings* collapse?",
        search={"trials": len(FIRST), "concurrency": 2, "first": FIRST, "space": space},
        budget={"updates": 4_000, "reports": 40},
        prune={"risk": 0.02, "then": "none"},
        tracking={"uri": server.uri},
    )
    result = run_sweep(spec, [MlflowRecorder(server.uri, "ganray")])
    assert result.outcomes == OUTCOMES
    yield spec
    server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=FOUND, args=sandbox)


@pytest.fixture
def sweep(spec: SweepSpec, browser: Browser) -> Iterator[Page]:
    """The page of the sweep's own run, found from the first page of the UI."""
    context = browser.new_context(viewport={"width": 1_500, "height": 1_200})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    page.goto(str(spec.tracking.uri))
    page.get_by_text("Model training", exact=True).first.click()
    page.get_by_role("link", name="Experiments", exact=True).first.click()
    page.get_by_role("link", name="ganray", exact=True).first.click()
    page.get_by_role("link", name="seen", exact=True).first.click()
    page.get_by_text("Show more", exact=True).first.click()
    yield page
    context.close()


def follow(page: Page, link: Locator) -> Page:
    """The page that a link in a description opens: a new one."""
    with page.context.expect_page() as opened:
        link.click()
    return opened.value


@pytest.fixture
def stopped(sweep: Page) -> Page:
    """The page of the trial that collapsed, found by the sweep's list of those."""
    found = follow(sweep, sweep.get_by_role("link", name="1 collapsed", exact=True))
    expect(found.get_by_text(re.compile("^1 matching run"))).to_be_visible()
    found.get_by_role("link", name=re.compile("^1 non_saturating ")).first.click()
    return found


def test_sweep_tells_how_it_ended_and_which_is_the_best(sweep: Page) -> None:
    expect(sweep.get_by_text("Which *settings* collapse?", exact=True).first).to_be_visible()
    for count in ("3 completed", "1 collapsed", "1 stalled"):
        expect(sweep.get_by_role("link", name=count, exact=True)).to_be_visible()
    best = follow(sweep, sweep.get_by_role("link", name=re.compile(r"^trial \d \(lsgan\)$")))
    expect(best.get_by_text("completed", exact=True).first).to_be_visible()


def test_sweep_leads_to_the_model_of_its_best_generator(sweep: Page) -> None:
    model = follow(sweep, sweep.get_by_role("link", name="a model", exact=True))
    expect(model.get_by_text("generator", exact=True).first).to_be_visible()
    expect(model.get_by_text("Ready").first).to_be_visible()


def test_stopped_trial_tells_what_it_was_and_why_it_was_stopped(stopped: Page) -> None:
    expect(stopped.get_by_text(re.compile("D:G 1:1, nothing clipped")).first).to_be_visible()
    expect(stopped.get_by_text(re.compile(r"at update [\d,]+ of 4,000")).first).to_be_visible()
    expect(stopped.get_by_text(re.compile("Stopped by the rule")).first).to_be_visible()


def test_stopped_trial_has_a_curve_of_js(stopped: Page) -> None:
    stopped.get_by_role("tab", name="Model metrics").click()
    stopped.get_by_placeholder("Search metric charts").fill("^js$")
    points = stopped.locator(".point")
    expect(points.first).to_be_visible()
    assert points.count() > 10  # reports


def test_samples_of_all_trials_move_with_the_slider(sweep: Page) -> None:
    page = follow(sweep, sweep.get_by_role("link", name="charts", exact=True))
    page.set_viewport_size({"width": 1_500, "height": 3_000})  # charts out of sight are not drawn
    slider = page.get_by_role("slider").last
    slider.scroll_into_view_if_needed()
    pictures = page.locator("img[src*='images']")
    expect(pictures.first).to_be_visible()
    before = shown(pictures)
    slider.press("ArrowRight")
    wait_until(page, lambda: shown(pictures) and not shown(pictures) & before)


def shown(pictures: Locator) -> set[str]:
    """The addresses of pictures that have arrived."""
    found: list[str] = pictures.evaluate_all(
        "all => all.filter(one => one.naturalWidth).map(one => one.src)"
    )
    return set(found)


def wait_until(page: Page, holds: Callable[[], object]) -> None:
    for _ in range(PATIENCE // 250):
        if holds():
            return
        page.wait_for_timeout(250)
    raise AssertionError("not within a minute")


def test_table_begins_with_how_trials_ended_and_five_can_be_compared(sweep: Page) -> None:
    table = follow(sweep, sweep.get_by_role("link", name="table", exact=True))
    outcomes = table.locator(".ag-row [col-id='tags.`ganray.outcome`']")
    expect(outcomes).to_have_count(len(FIRST))
    assert sorted(outcomes.all_inner_texts()) == ["collapsed", *["completed"] * 3, "stalled"]
    for row in range(len(FIRST)):
        table.locator(f".ag-row[row-index='{row}'] input[type=checkbox]").first.check(force=True)
    table.get_by_role("button", name="Compare").first.click()
    expect(table.get_by_text("Comparing 5 Runs from 1 Experiment")).to_be_visible()
