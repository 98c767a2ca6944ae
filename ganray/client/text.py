"""Text that others wrote, before a terminal of ours shows it."""

import re

# colours and all else that a terminal obeys, but for tabs and the ends of lines
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without what is not to be read: logs have colours, and may have worse."""
    return _CONTROLS.sub("", text)
