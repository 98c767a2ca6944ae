"""What a section of the page is made of: plain values, which the templates set into HTML."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ganray.report.style import Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a caption; the first column names its row."""

    kind: ClassVar = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str] = ()  # columns that line up to the right
    folded: bool = False  # whether only who asks for it sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure: drawn once for each way the page may be looked at, and once as a file."""

    kind: ClassVar = "drawing"
    name: str  # of the file, less its ending
    sketch: Sketch
    alt: str  # what it shows, for those who do not see it
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A recorded PNG of samples."""

    title: str
    content: bytes
    alt: str  # what it shows, for those who do not see it
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Pictures side by side that belong together."""

    caption: str
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Strips of pictures."""

    kind: ClassVar = "gallery"
    name: str  # of the file, less its ending
    strips: Sequence[Strip]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to type, and what for."""

    kind: ClassVar = "command"
    purpose: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A file's text, folded away."""

    kind: ClassVar = "listing"
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What to do, each with the numbers that speak for it."""

    kind: ClassVar = "points"
    items: Sequence[tuple[str, str]]


Block = Facts | Table | Drawing | Gallery | Command | Listing | Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page: a finding or a question, what is said of it, and what shows it."""

    name: str  # what links lead to
    heading: str  # names in `backquotes` are set as code
    said: Sequence[str] = ()  # a paragraph each
    blocks: Sequence[Block] = field(default_factory=tuple)
