"""The files of a report: the page, each of its figures, and the numbers behind one of them."""

from functools import partial
from pathlib import Path

from ganray.report.blocks import Drawing, Gallery
from ganray.report.importance import to_csv
from ganray.report.material import Material
from ganray.report.montage import montage
from ganray.report.page import make_sections, render
from ganray.report.style import AS_FILE, as_png

PAGE = "report.html"
TABLE = "importance.csv"


def write_report(material: Material, folder: Path) -> list[Path]:
    """Write the page, and what it shows as files of their own, into a folder that is there.

    Returns:
        Where they are, the page first.

    Raises:
        OSError: one cannot be written.
    """
    sections = make_sections(material)
    contents = {PAGE: render(material, sections).encode()}
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Drawing | Gallery):
            sketch = block.sketch if isinstance(block, Drawing) else partial(montage, block)
            contents[f"{block.name}.png"] = as_png(sketch(AS_FILE))
    contents[TABLE] = to_csv(material.findings).encode()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]
