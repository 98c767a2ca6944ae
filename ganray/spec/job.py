"""What a client asks of the job that drives a sweep: the file that lies in its working folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ganray.spec.models import Storage, SweepSpec

REQUEST_FILE = "ganray-request.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """A sweep to be started, or one to be continued, of which the study knows the rest."""

    name: str
    attempt: int
    versions: Mapping[str, str | None]  # of the client
    sweep: Mapping[str, Any] | None = None  # as given, no defaults; None: continue
    storage: Mapping[str, Any] = field(default_factory=dict)  # where the study is; to continue
    settings: Sequence[str] = ()  # `key=value`; to continue

    @property
    def spec(self) -> SweepSpec | None:
        """The sweep to be started, checked again; None: one is to be continued."""
        return None if self.sweep is None else SweepSpec.model_validate(self.sweep)

    @property
    def place(self) -> Storage:
        """Where the study of a sweep to be continued is."""
        return Storage.model_validate(self.storage)

    def to_json(self) -> str:
        """As the file holds it: the same text for the same request."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        found = json.loads(text)
        return cls(**{**found, "settings": tuple(found["settings"])})
