"""The report's page in a real browser, and made from a real MLflow server."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganray.report.material import gather
from ganray.report.page import make_sections, render
from ganray.tracking.mlflow_recorder import MlflowRecorder
from tests.conftest import small_spec
from tests.driving import drive
from tests.servers import MlflowServer
from tests.unit.report.materials import material, varied

pytestmark = pytest.mark.slow

# how wide the page is, and which version of its first figure is shown
LOOK = """
<script>
const frame = document.createElement("iframe");
frame.style = "border: 0; height: 900px; width: WIDTHpx";
frame.onload = () => {
  const page = frame.contentDocument, figure = page.querySelector("picture");
  const shown = figure.querySelector("img").currentSrc;
  const sources = [...figure.querySelectorAll("source"), figure.querySelector("img")];
  const versions = sources.map((source) => source.srcset || source.src);
  document.title = JSON.stringify({
    width: page.documentElement.scrollWidth,
    shown: ["dark phone", "phone", "dark", "light"][versions.indexOf(shown)],
    within: [...page.images].every((image) => {
      const main = page.querySelector("main").getBoundingClientRect();
      const { left, right } = image.getBoundingClientRect();
      return main.left - 1 <= left && right <= main.right + 1;
    }),
    drawn: [...page.images].every((image) => image.complete && image.naturalWidth > 0),
  });
};
frame.srcdoc = PAGE;
document.documentElement.append(frame);
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium")
    return found


@pytest.fixture(scope="module")
def page() -> str:
    made = material(varied(30))
    return render(made, make_sections(made))


def run(browser: str, folder: Path, *arguments: str) -> str:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options.append(f"--user-data-dir={folder}/profile")
    done = subprocess.run(
        [browser, *options, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


@pytest.mark.parametrize(
    ("width", "scheme", "shown"),
    [
        (1280, "light", "light"),
        (1280, "dark", "dark"),
        (390, "light", "phone"),
        (390, "dark", "dark phone"),
    ],
)
def test_page_fits_its_window_and_shows_the_figures_for_it(
    browser: str, page: str, tmp_path: Path, width: int, scheme: str, shown: str
) -> None:
    around = tmp_path / "around.html"
    quoted = json.dumps(page).replace("</", "<\\/")
    around.write_text(LOOK.replace("WIDTH", str(width)).replace("PAGE", quoted))
    preferred = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    dom = run(
        browser, tmp_path, preferred, "--virtual-time-budget=10000", "--dump-dom", around.as_uri()
    )
    (title,) = re.findall(r"<title>(\{.*?\})</title>", dom)
    assert json.loads(title) == {"width": width, "shown": shown, "within": True, "drawn": True}


def test_page_prints(browser: str, page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    paper = tmp_path / "page.pdf"
    where = (tmp_path / "page.html").as_uri()
    run(browser, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", where)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type /Page\b", content)) <= 15


@pytest.fixture
def server(empty_store: Path, tmp_path: Path) -> Iterator[MlflowServer]:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    server = MlflowServer(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    server.start()
    yield server
    server.kill()


def test_report_is_made_from_a_server_alone(server: MlflowServer, tmp_path: Path) -> None:
    spec = small_spec(tmp_path, tracking={"uri": server.uri})
    recorder = MlflowRecorder(server.uri, "ganray")
    drive(spec, [recorder])
    recorder.close()
    shutil.rmtree(tmp_path / "results")
    made = gather("small", server.uri)
    kinds: dict[str, Any] = {section.name: section for section in make_sections(made)}
    assert len(made.courses) == 4
    assert all(len(course.reports) == 10 for course in made.courses)
    assert {"best", "progress", "samples"} <= set(kinds)
    (gallery,) = kinds["samples"].blocks
    titles = [picture.title for strip in gallery.strips for picture in strip.pictures]
    assert titles[0] == "Real data"
    assert titles[-1] == "Last, at update 100"
