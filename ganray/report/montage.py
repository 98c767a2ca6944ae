"""Recorded pictures of samples as one figure."""

import io
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ganray.report.blocks import Gallery, Picture
from ganray.report.style import AS_FILE, Look, Theme, make_figure

_SIDE, _GAP, _MARGIN = 2.4, 0.15, 0.2  # inches, of a picture, between two, and around all
_TITLE, _CAPTION = 0.45, 0.4  # inches above a picture, and below a strip
_LETTER = 0.066  # inches


def montage(gallery: Gallery, look: Look = AS_FILE) -> Figure:
    """A row a strip, each picture under its title.

    Args:
        gallery: with at least one picture.
        look: where the figure is to stand; it is as wide as its longest strip.
    """
    columns = max(len(strip.pictures) for strip in gallery.strips)
    width = 2 * _MARGIN + columns * _SIDE + (columns - 1) * _GAP
    row = _TITLE + _SIDE + _CAPTION
    height = _MARGIN + len(gallery.strips) * row
    figure = make_figure(look, height, width)
    for index, strip in enumerate(gallery.strips):
        top = _MARGIN / 2 + index * row
        for column, picture in enumerate(strip.pictures):
            left = _MARGIN + column * (_SIDE + _GAP)
            bottom = height - top - _TITLE - _SIDE
            place = (left / width, bottom / height, _SIDE / width, _SIDE / height)
            _show(figure.add_axes(place), picture, look.theme)
        caption = textwrap.shorten(strip.caption, int((width - 2 * _MARGIN) / _LETTER))
        y = 1.0 - (top + _TITLE + _SIDE + 0.22) / height
        figure.text(_MARGIN / width, y, caption, fontsize=8.5, color=look.theme.ink)
    return figure


def _show(axes: Axes, picture: Picture, theme: Theme) -> None:
    axes.imshow(Image.open(io.BytesIO(picture.content)).convert("RGB"))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(theme.edge)
    title = "\n".join(filter(None, [picture.title, picture.note]))
    axes.set_title(title, fontsize=8, loc="left", color=theme.ink)
