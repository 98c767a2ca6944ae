"""What a process of its own does at a sweep's end; so it imports no more than that takes."""

from ganray.garbage import load
from ganray.trial import GeneratorSignature
from ganray.tuning.places import CHECKPOINT, GENERATOR, read_file, write_file


def load_exporter() -> None:
    """Import what exporting takes: torch's exporter imports its compiler at its first call."""
    load(("ganray.gan.export", "torch._dynamo"))


def export_file(folder: str) -> GeneratorSignature:
    """Export the generator of a trial's last checkpoint into the trial's folder.

    It is the one that `ganray sample` draws with: of the average of G's weights, if that was kept.

    Raises:
        CheckpointError, ExportError, OSError: there is no such checkpoint, or it cannot be.
    """
    from ganray.gan import checkpoint  # both are for the process that exports
    from ganray.gan.export import export_generator

    program, signature = export_generator(checkpoint.load(read_file(f"{folder}/{CHECKPOINT}")))
    write_file(folder, GENERATOR, program)
    return signature
