"""The page as a reader gets it: parsed again, and held against the sweep that it tells."""

import html
import re
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from ganray.report import page as page_module
from ganray.report.blocks import Drawing
from ganray.report.importance import Finding
from ganray.report.material import Material, Shots
from ganray.report.page import _LOOKS, make_sections, render
from ganray.report.style import AS_FILE, DARK, PHONE_INCHES, Look, as_png
from ganray.spec.load import parse_sweep
from ganray.summary import rows
from ganray.trial import Outcome
from ganray.tuning.importance import Importance
from tests.unit.report.materials import material, reports_of, spec_of, trial, varied
from tests.unit.tracking.playing import png

VOID = {"meta", "link", "img", "source", "br"}
SETTINGS = {"loss": "hinge", "d_steps": 1, "d_lr": 1e-3, "d_grad_clip": 1.0}


class Page(HTMLParser):
    """The elements of a page, its text, and what of it is out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []
        self.text = " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def sections(self) -> list[str]:
        return [section["id"] for section in self.all("section")]


def page_of(made: Material) -> Page:
    return Page(render(made, make_sections(made)))


def longer(made: Material) -> Material:
    """The same sweep with forty reports a trial."""
    found = {one.number: reports_of(one, count=40) for one in made.sweep.trials}
    return Material(**{**vars_of(made), "reports": found})


def vars_of(made: Material) -> dict[str, Any]:
    names = ("sweep", "spec", "frame", "sweep_file", "environment", "reports", "real", "shots")
    return {name: getattr(made, name) for name in names}


@pytest.fixture(scope="module")
def hundred() -> Material:
    return longer(material(varied(100)))


@pytest.fixture(scope="module")
def text(hundred: Material) -> str:
    return render(hundred, make_sections(hundred))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


# --- a whole sweep --------------------------------------------------------------------------------


def test_sections_come_in_their_order(page: Page) -> None:
    order = ["swept", "outcomes", "best", "progress", "failing", "coordinates", "importance"]
    assert page.sections() == [*order, "samples", "spending", "next"]
    links = [a["href"] for a in page.all("a")]
    assert links == [f"#{name}" for name in page.sections()]


def test_page_has_the_numbers_of_the_summary(hundred: Material, page: Page) -> None:
    found = rows(hundred.frame)
    counts = {o: sum(row["outcome"] == o for row in found) for o in Outcome}
    stopped = sum(counts[o] for o in ("collapsed", "stalled", "diverged", "outranked"))
    crashed = counts[Outcome.CRASHED]
    best = min(
        (row for row in found if row["outcome"] == "completed"), key=lambda row: row["objective"]
    )
    for told in (
        f"{counts[Outcome.COMPLETED]} of 100 trials had the full budget: "
        f"{stopped} stopped early and {crashed} crashed",
        f"Trial {best['trial']} is best: distance {best['objective']:.3g}",
        f"loss {best['loss']}",
        f"d_lr {best['d_lr']:.3g}",
        f"effective number of modes {best['modes']:.3g}",
        f"exception {crashed}",
        "ganray run sweep.yaml --name made-up-again",
        "ganray sample made-up --trial best",
        "ring (seed 0",
        "accuracy 0.97",
        "tpe, seed 0",
        "1e-05 to 0.01, logarithmic",
        "loss is wgan",
        "Python 3.12.1",
        "(30 min 00 s)",
    ):
        assert told in page.text, told


def test_page_needs_no_other_file_and_no_network(page: Page) -> None:
    wanted = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "srcset", "href", "action", "data", "poster", "background")
    ]
    assert len(wanted) > 30
    assert {value[:5] for value in wanted if not value.startswith("#")} == {"data:"}
    policies = [meta for meta in page.all("meta") if "http-equiv" in meta]
    assert policies[0]["content"].startswith("default-src 'none'; img-src data:")


def test_styles_fetch_nothing(text: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_what_is_cut_of_a_wide_table_has_a_shadow_over_its_end(text: str) -> None:
    (box,) = re.findall(r"\n\.scrolls \{(.*?)\}", text, re.DOTALL)[:1]
    assert re.search(r"to left, var\(--shade\).* right .* scroll", box)
    assert re.search(r"to left, var\(--page\).* right .* local", box)


def test_there_is_no_code(page: Page) -> None:
    assert not page.all("script")
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]


def test_every_picture_tells_what_it_shows(page: Page) -> None:
    pictures = page.all("img")
    assert len(pictures) == 5 + 1 + 8  # figures, the best trial's samples, two strips of four
    assert all(len(picture["alt"]) >= len("Real data") for picture in pictures)


def test_every_figure_has_a_version_for_dark_pages_and_one_for_phones(page: Page) -> None:
    media = [source["media"] for source in page.all("source")]
    assert media == len(media) // 3 * [
        "screen and (max-width: 36rem) and (prefers-color-scheme: dark)",
        "screen and (max-width: 36rem)",
        "screen and (prefers-color-scheme: dark)",
    ]
    for source in page.all("source"):
        assert not re.search(r"\s", source["srcset"])  # a browser takes what follows for a width
        kind, content = source["srcset"].split(",")
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(b64decode(content)).tag.endswith("svg")


def test_headings_and_tables_are_what_they_look_like(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == tags.count("main") == tags.count("nav") == 1
    assert tags.count("h2") == tags.count("section") == 10
    assert page.all("html")[0]["lang"] == "en"
    identities = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(identities)) == len(identities)
    heads = [head.get("scope") for head in page.all("th")]
    assert set(heads) == {"col", "row"}
    assert tags.count("caption") + tags.count("summary") - 1 == tags.count("table")


def test_page_of_a_hundred_trials_is_small(text: str) -> None:
    assert len(text.encode()) < 3e6


def test_page_is_the_same_each_time(hundred: Material) -> None:
    few = material(hundred.sweep.trials[:3])
    pages = [render(few, make_sections(few)) for _ in range(2)]
    assert pages[0] == pages[1]


# --- what people write ----------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} & &amp; {% raw %}"


def test_nothing_that_people_write_becomes_markup() -> None:
    trials = [
        trial(0, **SETTINGS),
        trial(1, "crashed", reason=HOSTILE, **SETTINGS),
        trial(2, "collapsed", reason=HOSTILE, rule=HOSTILE, **{**SETTINGS, "loss": HOSTILE}),
        trial(3, "stalled", reason=HOSTILE, **SETTINGS),
    ]
    spec = spec_of(description=HOSTILE)
    environment = {"python": HOSTILE, "platform": HOSTILE, "packages": {HOSTILE: HOSTILE}}
    made = material(trials, spec, description=HOSTILE, environment=environment)
    text = render(made, make_sections(made))
    found = Page(text)
    assert not found.all("script")
    assert not [img for img in found.all("img") if "onerror" in img or img["src"] == "x"]
    as_it_is = " ".join(HOSTILE.split())
    assert found.text.count(as_it_is) >= 6  # lead, Python, platform, package, crash, stop, ledger
    assert "49" not in re.sub('data:[^"]*', "", text)
    described = [img["alt"] for img in found.all("img")]
    assert not any("<script" in html.unescape(alt) and "alert" not in alt for alt in described)


# --- sweeps that lack something -------------------------------------------------------------------


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written beside the figures takes no time without these."""
    monkeypatch.setattr(page_module, "_draw", lambda sketch: dict.fromkeys(_LOOKS, "data:,"))


@pytest.mark.usefixtures("undrawn")
def test_sweep_without_a_trial_says_what_it_is_and_no_more() -> None:
    found = page_of(material([], status="RUNNING", ended=None))
    assert found.sections() == ["swept", "outcomes", "best", "failing", "importance", "next"]
    for told in ("No trial has started yet", "No trial completed, so none is best"):
        assert told in found.text
    assert "It still runs, or its driver died" in found.text
    assert "which has not ended" in found.text
    assert not found.all("img")


@pytest.mark.usefixtures("undrawn")
def test_sweep_that_only_crashed_says_why() -> None:
    nothing = dict.fromkeys(("distance", "modes", "mode_ratio", "js", "high_quality"))
    found = page_of(material([trial(n, "crashed", **SETTINGS, **nothing) for n in range(3)]))
    assert "0 of 3 trials had the full budget: 3 crashed" in found.text
    assert "trial 0: because of 0" in found.text
    assert "No trial has come to an end" in found.text
    assert {"progress", "coordinates", "samples"}.isdisjoint(found.sections())


@pytest.mark.usefixtures("undrawn")
def test_trials_that_run_or_were_cancelled_are_told() -> None:
    outcomes = ["completed", None, None, "cancelled"]
    found = page_of(material([trial(n, o, **SETTINGS) for n, o in enumerate(outcomes)]))
    assert "1 of 4 trials had the full budget: 1 cancelled and 2 without an end yet" in found.text


@pytest.mark.usefixtures("undrawn")
def test_sweep_that_was_stopped_says_how_to_go_on() -> None:
    found = page_of(material([trial(0, **SETTINGS)], status="KILLED"))
    assert "It was stopped before its end; ganray resume made-up goes on with it." in found.text


@pytest.mark.usefixtures("undrawn")
def test_lines_are_counted_by_kind_and_said_to_lie_beyond_the_axis_only_if_any_does() -> None:
    good = [trial(n, distance=0.1 * n, **SETTINGS) for n in range(1, 4)]
    bad = [trial(n, "stalled", objective=1.5, **SETTINGS) for n in range(4, 6)]
    told, beyond = "3 trials that did not fail, coloured from best to worst", "drawn at its end"
    found = page_of(material([*good, *bad])).text
    assert f"{told}; 2 trials that failed, dashed." in found
    assert beyond in found
    found = page_of(material(good)).text
    assert f"{told}." in found
    assert beyond not in found


@pytest.mark.usefixtures("undrawn")
def test_too_few_trials_are_told_instead_of_importances() -> None:
    found = page_of(material([trial(n, **SETTINGS) for n in range(3)]))
    assert "Which parameters matter?" in found.text
    assert (
        "What decides failing cannot be told: it takes 20 trials that completed or were stopped "
        "early; this sweep has 3."
    ) in found.text
    assert (
        "What decides quality cannot be told: it takes 20 trials that did not fail; this sweep "
        "has 3."
    ) in found.text


@pytest.mark.usefixtures("undrawn")
def test_sweep_without_pictures_has_none() -> None:
    found = page_of(material([trial(0, **SETTINGS)], real=None, shots={}))
    assert "samples" not in found.sections()
    assert not [img for img in found.all("img") if "png" in img["src"][:20]]


@pytest.mark.usefixtures("undrawn")
def test_real_data_that_were_not_recorded_are_told() -> None:
    found = page_of(material([trial(0, **SETTINGS)], real=None))
    assert "No picture of real data was recorded." in found.text
    assert "Real data" not in [img["alt"] for img in found.all("img")]


@pytest.mark.usefixtures("undrawn")
def test_a_failed_trial_stands_beside_the_best_one() -> None:
    trials = [
        trial(0, **SETTINGS),
        trial(1, "stalled", **SETTINGS),
        trial(2, "collapsed", **SETTINGS),
    ]
    found = page_of(material(trials))
    assert "Trial 0, the best one." in found.text
    assert "Trial 2, which collapsed: because of 2" in found.text
    shown = [img["alt"] for img in found.all("img") if "png" in img["src"][:20]]
    assert shown == [
        "Samples of trial 0, at update 100",
        "Real data",
        "Samples of trial 0. First picture, at update 10: distance 0.902, modes 0.79",
        "Samples of trial 0. Best, at update 100: distance 0.02, modes 7.9",
        "Samples of trial 0. Last, at update 100: distance 0.02, modes 7.9",
        "Real data",
        "Samples of trial 2. First picture, at update 10: distance 1.02, modes 0.1",
        "Samples of trial 2. Best, at update 10: distance 1.02, modes 0.1",
        "Samples of trial 2. Stopped, at update 100: distance 1.2, modes 1",
    ]


@pytest.mark.usefixtures("undrawn")
def test_pictures_stand_in_the_order_of_updates() -> None:
    found = page_of(
        material(
            [trial(0, **SETTINGS), trial(1, "collapsed", **SETTINGS)],
            shots={1: Shots(milestones={50: png(), 100: png()}, best=png(), stop=png())},
        )
    )
    shown = [img["alt"].split(":")[0] for img in found.all("img") if "trial 1." in img["alt"]]
    assert shown == [
        "Samples of trial 1. Best, at update 10",
        "Samples of trial 1. Later, at update 50",
        "Samples of trial 1. Stopped, at update 100",
    ]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("ending", "told"), [("between", "between healthy and bad"), ("bad", "bad")]
)
def test_an_ending_is_told_in_full_and_explained(ending: str, told: str) -> None:
    found = page_of(material([trial(0, ending=ending, **SETTINGS)])).text
    assert f"At the end of their budget: 1 {told}." in found
    assert f"It ended {told}." in found
    assert "Healthy: at least 90 % of the modes and a distance of at most 0.1." in found
    assert "Between: neither." in found


@pytest.mark.usefixtures("undrawn")
def test_the_best_is_told_by_any_objective() -> None:
    made = material([trial(0, objective=1.0, **SETTINGS)], spec_of(objective={"metric": "modes"}))
    assert "Trial 0 is best: modes 1" in page_of(made).text


def confirming(number: int, confirms: int, distance: float, **values: Any) -> Any:
    told = {"phase": "confirm", "confirms": confirms, "ending": "healthy"}
    return trial(number, distance=distance, **SETTINGS, **told | values)


@pytest.mark.usefixtures("undrawn")
def test_confirmed_medians_stand_beside_the_best() -> None:
    search = [trial(0, distance=0.01, **SETTINGS), trial(1, distance=0.02, **SETTINGS)]
    seeds = [confirming(2 + i, 0, value) for i, value in enumerate((0.07, 0.08, 0.09))]
    seeds += [
        confirming(5 + i, 1, value, ending="bad") for i, value in enumerate((0.03, 0.04, 0.05))
    ]
    found = page_of(material([*search, *seeds], spec_of(confirm={"top": 2, "seeds": 3})))
    for told in (
        "With 3 fresh seeds the median of distance is 0.08, the worst 0.09.",
        "By the median of fresh seeds trial 1 is better: 0.04.",
        "1 0.02 3 0.04 0.05 0.03 100 %",
        "0 0.01 3 0.08 0.09 0.07 0 %",
        "the best 2 again with 3 fresh seeds each",
        "6 confirming trials stand apart, below.",
        "2 trials had the full budget",
    ):
        assert told in found.text, told


@pytest.mark.usefixtures("undrawn")
def test_audit_and_ledger_are_those_of_the_summary() -> None:
    audited = [
        trial(n, audited=True, would_be={"outcome": "stalled"}, **SETTINGS) for n in range(3)
    ]
    stopped = [trial(3 + n, "stalled", stopped_at=0.5, seconds=100.0, **SETTINGS) for n in range(3)]
    found = page_of(material([*audited, *stopped]))
    assert "3 of 6 stops ran on, and 3 of them ended healthy: 100 %" in found.text
    assert "8 min 12 s used, and about 5 min 00 s saved by stopping trials" in found.text
    assert "few modes 3 5 min 00 s 5 min 00 s" in found.text
    assert "of that is certain. This counts only" in found.text
    assert "not stopped 3 3 min" in found.text
    on_gpus = page_of(material([trial(0, gpu_hours=1.5, **SETTINGS)]))
    assert "1.50 GPU-hours used, and nothing saved by stopping" in on_gpus.text


@pytest.mark.usefixtures("undrawn")
def test_js_near_log_2_is_set_against_how_the_trials_ended() -> None:
    trials = [trial(0, js=0.69, **SETTINGS), trial(1, "stalled", **SETTINGS), trial(2, **SETTINGS)]
    found = page_of(material(trials))
    assert "JS came near log 2 in 2 of 3 trials, and 1 of them ended healthy" in found.text
    between = page_of(material([trial(0, js=0.69, ending="between", **SETTINGS)]))
    assert "JS came near log 2 in 1 of 1 trial, and none of them ended healthy" in between.text
    none = page_of(material([trial(0, **SETTINGS)]))
    assert "JS came near log 2 in no trial" in none.text


@pytest.mark.usefixtures("undrawn")
def test_failures_are_set_against_stops_and_losses_that_say_too_little_are_named() -> None:
    early = [trial(n, "stalled", **SETTINGS) for n in range(2)]
    found = page_of(
        material(
            [
                *early,
                trial(2, "outranked", **SETTINGS),
                trial(3, ending="bad", **SETTINGS),
                *(trial(n, ending="healthy", **{**SETTINGS, "loss": "wgan"}) for n in range(4, 7)),
            ]
        )
    )
    assert (
        "3 trials stopped early; 1 of those healthy, but outranked: no failure; "
        "1 trial completed the full budget, but ended badly, which counts as failed."
    ) in found.text
    assert "cannot be told: hinge and wgan had fewer than 5 trials each." in found.text
    assert "2 trials stopped early;" not in page_of(material(early)).text


@pytest.mark.usefixtures("undrawn")
def test_trials_that_completed_and_failed_are_told_without_a_count_of_none() -> None:
    found = page_of(material([trial(n, ending="bad", **SETTINGS) for n in range(4)])).text
    assert "4 trials completed the full budget, but ended badly, which counts as failed." in found
    assert "0 trials stopped early" not in found


@pytest.mark.usefixtures("undrawn")
def test_parameter_in_a_heading_is_code() -> None:
    kinds = [("hinge", "collapsed"), ("wgan", "completed")] * 12
    trials = [
        trial(n, outcome, **{**SETTINGS, "loss": loss, "d_steps": 1 + n // 2 % 2})
        for n, (loss, outcome) in enumerate(kinds)
    ]
    made = material(trials)
    text = render(made, make_sections(made))
    assert text.count("<code>loss</code> matters most for") == 2  # also in the contents
    assert "`" not in text.partition("</nav>")[0]


@pytest.mark.usefixtures("undrawn")
def test_advice_stands_at_the_end() -> None:
    good = [trial(n, **{**SETTINGS, "d_lr": 9.9e-3}) for n in range(12)]
    found = page_of(material(good))
    assert "Widen d_lr above 0.01. 5 of the 5 best trials that have it" in found.text
    none = page_of(material(good[:3]))
    assert "These trials say nothing clear of what to change." in none.text


# --- odd sweeps: no warning, whatever there is ----------------------------------------------------

ODD: dict[str, Callable[[], Material]] = {
    "one trial": lambda: material([trial(0, **SETTINGS)]),
    "one parameter": lambda: material(
        [trial(n, g_lr=1e-3) for n in range(3)], spec_of({"g_lr": {"low": 1e-4, "high": 1e-1}})
    ),
    "one value": lambda: material(
        [trial(n, g_lr=1e-3) for n in range(3)], spec_of({"g_lr": {"low": 1e-3, "high": 1e-3}})
    ),
    "all failed": lambda: material([trial(n, "stalled", **SETTINGS) for n in range(6)]),
    "all equal": lambda: material([trial(n, **SETTINGS) for n in range(6)]),
    "not finite": lambda: material(
        [
            trial(n, "diverged", distance=value, js=value, modes=value, **SETTINGS)
            for n, value in enumerate((float("nan"), float("inf"), -float("inf"), 1e30))
        ]
    ),
    "below zero": lambda: material([trial(n, distance=-0.01 * n, **SETTINGS) for n in range(4)]),
    "no signals": lambda: material(
        [trial(0, distance=None, js=None, modes=None, mode_ratio=None, objective=0.5, **SETTINGS)]
    ),
    "another objective": lambda: material(
        [trial(n, fid=9.0 - n, objective=9.0 - n, **SETTINGS) for n in range(3)],
        spec_of(objective={"metric": "fid"}, data={"name": "digits"}, measure={"metrics": ["fid"]}),
    ),
    "a thousand trials": lambda: material(varied(1_000)),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_sweeps_are_drawn_without_a_warning(kind: str) -> None:
    made = ODD[kind]()
    found = tuple(Importance(name, 0.5, 0.0, 0.9) for name in made.spec.search.space.entries)
    # of a thousand trials these take longer than all figures
    vars(made)["findings"] = [Finding(name, 30, 12, found) for name in ("failing", "quality")]
    blocks = [block for section in make_sections(made) for block in section.blocks]
    drawings = [block for block in blocks if isinstance(block, Drawing)]
    assert len(drawings) == (4 if kind == "no signals" else 5)
    for drawing in drawings:
        for look in (AS_FILE, Look(DARK, PHONE_INCHES, titled=False)):
            assert as_png(drawing.sketch(look)).startswith(b"\x89PNG")


def test_networks_that_were_not_given_are_told_by_their_name() -> None:
    given = spec_of().model_dump(exclude_unset=True)
    bare = parse_sweep({key: value for key, value in given.items() if key != "networks"})
    assert "Networks mlp" in page_of(material(varied(20), bare)).text
