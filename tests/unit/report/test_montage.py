"""Recorded pictures as one figure."""

from matplotlib.figure import Figure

from ganray.report.blocks import Gallery, Picture, Strip
from ganray.report.montage import montage
from tests.unit.tracking.playing import png


def strip(count: int, caption: str = "Trial 0, the best one.") -> Strip:
    pictures = [
        Picture(title=f"at {i}", content=png(8), alt="", note="modes 8") for i in range(count)
    ]
    return Strip(caption=caption, pictures=pictures)


def places(figure: Figure) -> list[tuple[float, float]]:
    return [
        (round(axes.get_position().x0, 3), round(axes.get_position().y0, 3)) for axes in figure.axes
    ]


def test_a_strip_is_a_row_of_pictures_under_their_titles() -> None:
    figure = montage(Gallery(name="samples", strips=[strip(4), strip(3)]))
    found = places(figure)
    assert len(found) == 7
    assert len({y for _, y in found[:4]}) == len({y for _, y in found[4:]}) == 1
    assert found[0][1] > found[4][1]
    assert [x for x, _ in found[:3]] == [x for x, _ in found[4:]]
    assert figure.axes[0].get_title(loc="left") == "at 0\nmodes 8"
    assert [text.get_text() for text in figure.texts] == ["Trial 0, the best one."] * 2
    assert [image.get_array().shape for image in figure.axes[0].images] == [(8, 8, 3)]


def test_a_caption_is_cut_where_it_would_not_fit() -> None:
    figure = montage(Gallery(name="best", strips=[strip(1, caption="far too long " * 20)]))
    (text,) = figure.texts
    assert text.get_text().endswith("[...]")
    figure.draw_without_rendering()
    assert text.get_window_extent().x1 <= figure.bbox.x1
