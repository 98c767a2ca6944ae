"""What to try next, where the data say anything of it."""

from ganray.report.advice import Advice, advise
from ganray.report.blocks import Points, Section
from ganray.report.material import Material


def next_steps(material: Material) -> Section:
    """Each piece of advice with its numbers, or that there is none."""
    found: list[Advice] = advise(material.frame, material.spec, material.confirmed)
    heading = "What to try next?"
    if not found:
        said = "These trials say nothing clear of what to change."
        return Section(name="next", heading=heading, said=[said])
    points = Points(items=[(advice.do, advice.because) for advice in found])
    return Section(name="next", heading=heading, blocks=[points])
