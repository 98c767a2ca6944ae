"""How every figure looks: colours that any eye tells apart, for light and dark pages and paper."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganray.report.fates import Fate
from ganray.trial import Outcome

PNG_DPI = 150
RUNNING = "running"  # in place of an outcome


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a light or a dark page."""

    page: str
    ink: str  # text, and what matters most
    quiet: str  # text beside it
    edge: str  # of shapes
    grid: str
    faint: str  # what may be nothing but chance
    bar: str
    fates: Mapping[Fate, str]  # fills: the worse, the farther from the page, in grey copies, too
    outcomes: Mapping[str, str]  # lines and marks; `running` is one
    ranks: str  # a colour map: from the best to what fades into the page


LIGHT = Theme(
    page="#ffffff",
    ink="#1a1a1a",
    quiet="#555555",
    edge="#8a8a8a",
    grid="#e5e5e5",
    faint="#d5dde3",
    bar="#2f6690",
    fates={
        Fate.TRAINED: "#cfe6f5",
        Fate.UNCLEAR: "#ffffff",
        Fate.STALLED: "#e69f00",
        Fate.COLLAPSED: "#a8325e",
        Fate.DIVERGED: "#1a1a1a",
    },
    outcomes={
        Outcome.COMPLETED: "#0072b2",
        Outcome.COLLAPSED: "#a8325e",
        Outcome.STALLED: "#d99100",
        Outcome.DIVERGED: "#1a1a1a",
        Outcome.OUTRANKED: "#808080",
        Outcome.CRASHED: "#6a4bb0",
        Outcome.CANCELLED: "#b0b0b0",
        RUNNING: "#b0b0b0",
    },
    ranks="cividis",
)
DARK = Theme(
    page="#15181c",
    ink="#eceff1",
    quiet="#a9b1b8",
    edge="#747c84",
    grid="#2c3238",
    faint="#39434b",
    bar="#7db4dc",
    fates={
        Fate.TRAINED: "#1f4a66",
        Fate.UNCLEAR: "#15181c",
        Fate.STALLED: "#b87400",
        Fate.COLLAPSED: "#e88bb5",
        Fate.DIVERGED: "#ffffff",
    },
    outcomes={
        Outcome.COMPLETED: "#56b4e9",
        Outcome.COLLAPSED: "#e88bb5",
        Outcome.STALLED: "#f0b429",
        Outcome.DIVERGED: "#ffffff",
        Outcome.OUTRANKED: "#8d959c",
        Outcome.CRASHED: "#b79df0",
        Outcome.CANCELLED: "#5c646b",
        RUNNING: "#5c646b",
    },
    ranks="cividis_r",
)

MARKS: Mapping[str, str] = {  # where a trial's line ends, so that colour is not all that tells
    Outcome.COLLAPSED: "X",
    Outcome.STALLED: "s",
    Outcome.DIVERGED: "^",
    Outcome.OUTRANKED: "|",
    Outcome.CRASHED: "P",
    Outcome.CANCELLED: "1",
}


@dataclass(frozen=True, slots=True)
class Look:
    """Where a figure is to stand: its colours, how wide it may be, whether it tells its own title.

    On a page the heading above a figure is its title.
    """

    theme: Theme = LIGHT
    widest: float = 12.5  # inches
    titled: bool = True


AS_FILE = Look()
PAGE_INCHES, PHONE_INCHES = 7.2, 4.0  # across a sheet of A4 less its margins, and a phone

Sketch = Callable[[Look], Figure]


def make_figure(look: Look, height: float, width: float | None = None) -> Figure:
    """An empty figure.

    Args:
        look: where it is to stand.
        height: in inches.
        width: in inches; None: as wide as it may be.
    """
    size = (look.widest if width is None else width, height)
    figure = Figure(figsize=size, dpi=PNG_DPI, facecolor=look.theme.page)
    figure.set_layout_engine("none")  # everything here has its place, whatever a user's style says
    return figure


def plain_axes(axes: Axes, theme: Theme) -> None:
    """Axes with as little of their own as can be: no box, a quiet grid, ticks in the theme."""
    axes.set_facecolor(theme.page)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.edge)
    axes.tick_params(which="both", colors=theme.quiet, labelsize=8, width=0.6)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(theme.ink)
    axes.set_axisbelow(True)


def as_png(figure: Figure) -> bytes:
    """The figure as the content of a file."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
