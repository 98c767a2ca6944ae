"""Sweeps under random faults, each beside the same sweep left in peace.

make chaos                                  30 minutes of it
python -m tests.chaos --seed N --minutes M  the same faults again, as far as time allows;
                                            --output FILE.json: all that happened;
                                            --grounds: where; by default files, an MLflow
                                            server, PostgreSQL and a small disk, in turn

Exit code 1 at the first loss; its folder is kept.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.grounds import GROUNDS

INTERRUPTED = 130


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    campaign = Campaign(arguments.seed, arguments.grounds)
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, in {campaign.folder}", flush=True)
    kept_all = campaign.run(60.0 * arguments.minutes)
    print(campaign.table(), flush=True)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(campaign.to_dict(), indent=1))
    if not kept_all:
        return 1
    return INTERRUPTED if campaign.interrupted else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--grounds", nargs="+", choices=list(GROUNDS), default=list(GROUNDS))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
