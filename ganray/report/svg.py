"""Figures as SVG that is small enough to stand in a page several times."""

import io
import re
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

_SHORTER = (
    (r"<\?xml.*?(?=<svg)", ""),  # what comes before the picture
    (r"<!--.*?-->", ""),  # the words of each label, which the alt text tells
    (r'<g id="[^"]*"', "<g"),  # names that nothing refers to
    (r"DejaVuSans", "D"),  # of glyphs, before each letter that is shown
    (r"xlink:href", "href"),
    (r">\s+<", "><"),
    (r"\s+", " "),
)
_NUMBERS = r'(?<= d=")[^"]*|(?<= [xy]=")[^"]*|(?<=translate\()[^)]*'  # but not factors of scales


def as_svg(figure: Figure) -> str:
    """The figure as text that is the same each time; letters are shapes, so no font is needed."""
    out = io.StringIO()
    told: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "ganray"}):
        figure.savefig(out, format="svg", metadata=told)
    svg = out.getvalue()
    for pattern, short in _SHORTER:
        svg = re.sub(pattern, short, svg, flags=re.DOTALL)
    return re.sub(_NUMBERS, lambda found: _short(found[0]), svg)


def _short(numbers: str) -> str:
    """To a tenth of a pixel, without spaces around the letters of a path."""
    rounded = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.1f}", numbers)
    return re.sub(r" ?([A-Za-z]) ?", r"\1", rounded).strip()
