"""What can go wrong, as one tree.

GanrayError
├── SpecError            the sweep file, or a value given in its place, is wrong (exit code 2)
├── NameTakenError       a sweep of that name exists already (exit code 2)
├── UnknownSweepError    no sweep of that name is recorded there (exit code 2)
├── DataError            data cannot be had, or are not as expected (exit code 2)
├── NetworkError         the networks asked for cannot be built (exit code 2)
├── CheckpointError      a checkpoint cannot be read or used as asked (exit code 2)
├── ExportError          a generator cannot be exported (exit code 1)
├── ResourceError        the machine lacks what the sweep asks for (exit code 2)
├── OutputError          a result cannot be written where it should go (exit code 2)
├── AddressError         there is no such address of a cluster, or it may not be used (exit code 2)
├── TokenError           a cluster asks for a token, or refuses the one given (exit code 2)
├── VersionError         the client and the cluster run different versions (exit code 2)
├── ClusterError         a cluster cannot be reached, or cannot do what was asked (exit code 1)
├── SweepRunningError    a driver runs that sweep right now (exit code 2)
├── StorageError         the study's storage failed for longer than one waits (exit code 1)
└── TrackingError        the tracking store cannot be read or added to (exit code 1)

A trial that diverges, crashes or is stopped raises none of these: how a trial ends is a result,
recorded as its `Outcome`.
"""

from collections.abc import Sequence


class GanrayError(Exception):
    """Base of every error that ganray raises on purpose."""

    exit_code = 1


class SpecError(GanrayError):
    """The sweep is not valid; carries every problem that was found.

    Args:
        problems: one line each, in the form `where: what; got; allowed`.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[tuple[str, ...]]]:
        return (type(self), (self.problems,))


class NameTakenError(GanrayError):
    """A sweep of that name exists already."""

    exit_code = 2


class UnknownSweepError(GanrayError):
    """No sweep, or no trial of a sweep, is recorded under that name."""

    exit_code = 2


class DataError(GanrayError):
    """Data cannot be had, or a file of them is not what it should be."""

    exit_code = 2


class NetworkError(GanrayError):
    """The networks asked for cannot be built: unfit for the data, or custom ones that are wrong."""

    exit_code = 2


class CheckpointError(GanrayError):
    """A file is no checkpoint of this version, or cannot give what was asked of it."""

    exit_code = 2


class ExportError(GanrayError):
    """A generator cannot be made into a file that draws without ganray."""


class ResourceError(GanrayError):
    """The machine or cluster lacks what the sweep asks for."""

    exit_code = 2


class OutputError(GanrayError):
    """A result cannot be written where it should go."""

    exit_code = 2


class AddressError(GanrayError):
    """An address is none of a cluster, or is open to others and has no token."""

    exit_code = 2


class TokenError(GanrayError):
    """A cluster asks for a token, or the token that there is cannot be used or is refused."""

    exit_code = 2


class VersionError(GanrayError):
    """The client and the cluster run versions that do not go together."""

    exit_code = 2


class ClusterError(GanrayError):
    """A cluster cannot be reached, or does not do what was asked of it."""


class SweepRunningError(GanrayError):
    """A driver runs that sweep right now: a second one would spoil its record."""

    exit_code = 2


class StorageError(GanrayError):
    """The study's storage failed, in a way that may pass, for longer than one waits for it."""


class TrackingError(GanrayError):
    """The tracking store cannot be read or added to."""
