"""The report's page: sections set into one file that needs no other, and no network."""

import base64
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from ganray.report import words
from ganray.report.blocks import Section
from ganray.report.material import Material
from ganray.report.sections.best import best
from ganray.report.sections.next_steps import next_steps
from ganray.report.sections.outcomes import outcomes
from ganray.report.sections.progress import progress
from ganray.report.sections.samples import samples
from ganray.report.sections.settings import failing, what_matters, where_trials_lie
from ganray.report.sections.spending import spending
from ganray.report.sections.swept import what_was_swept
from ganray.report.style import DARK, LIGHT, PAGE_INCHES, PHONE_INCHES, Look, Sketch
from ganray.report.svg import as_svg

_PARTS = (
    what_was_swept,
    outcomes,
    best,
    progress,
    failing,
    where_trials_lie,
    what_matters,
    samples,
    spending,
    next_steps,
)
_LOOKS = {
    "light": Look(LIGHT, PAGE_INCHES, titled=False),
    "dark": Look(DARK, PAGE_INCHES, titled=False),
    "light_phone": Look(LIGHT, PHONE_INCHES, titled=False),
    "dark_phone": Look(DARK, PHONE_INCHES, titled=False),
}


def make_sections(material: Material) -> list[Section]:
    """All sections for which the sweep has something, in the order of the page."""
    found = (part(material) for part in _PARTS)
    return [section for section in found if section is not None]


def render(material: Material, sections: Sequence[Section]) -> str:
    """The page as HTML. Nothing of it is code: neither its own, nor what names and reasons hold."""
    environment = Environment(
        loader=PackageLoader("ganray.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["uri"] = _uri
    environment.globals["draw"] = _draw
    page = environment.get_template("page.html.j2")
    return page.render(
        name=material.name,
        description=material.sweep.description,
        ended=material.sweep.ended and words.moment(material.sweep.ended),
        sections=sections,
    )


def _draw(sketch: Sketch) -> dict[str, str]:
    """A figure in each of its versions, as addresses that hold it."""
    return {
        name: _uri(as_svg(sketch(look)).encode(), "image/svg+xml") for name, look in _LOOKS.items()
    }


def _uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
