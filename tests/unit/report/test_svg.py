"""Figures as SVG: small, the same each time, and still what matplotlib drew."""

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from ganray.report.svg import as_svg


def drawing() -> Figure:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0.123456, 0.654321, -0.5], marker="s")
    axes.set_title("Größe & <form>")
    return figure


def test_picture_is_a_document_of_its_own() -> None:
    root = ElementTree.fromstring(as_svg(drawing()))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (root.get("width"), root.get("height")) == ("288pt", "216pt")


def test_it_is_the_same_each_time() -> None:
    assert as_svg(drawing()) == as_svg(drawing())


def test_every_part_that_is_referred_to_is_there() -> None:
    svg = as_svg(drawing())
    wanted = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert len(wanted) > 10  # letters, marks, what lines are cut off by
    assert wanted <= set(re.findall(r' id="([^"]+)"', svg))


def test_it_needs_no_font_and_tells_no_text_twice() -> None:
    svg = as_svg(drawing())
    assert "<text" not in svg
    assert "font" not in svg
    assert "form" not in svg.replace("transform", "")


def test_it_is_much_smaller_than_what_matplotlib_writes(tmp_path) -> None:
    drawing().savefig(tmp_path / "plain.svg")
    assert len(as_svg(drawing())) < 0.75 * (tmp_path / "plain.svg").stat().st_size
