"""What `raki verify` does: whether outputs are still what was written."""

from collections.abc import Sequence
from pathlib import Path

from raki.data.digests import Verdict, verify


def verify_paths(paths: Sequence[Path]) -> list[Verdict]:
    """One verdict for every file that is named, lies in a folder that is named, or belongs to a set with one of those.

    Where there are several of one file, one that finds something wrong counts.
    """
    found: dict[Path, Verdict] = {}
    for path in paths:
        for verdict in verify(path):
            if verdict.problem or verdict.path not in found:
                found[verdict.path] = verdict
    return list(found.values())


def told(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for every file, those that are damaged last."""
    ordered = sorted(verdicts, key=lambda verdict: bool(verdict.problem))
    return [f'{verdict.path}: {verdict.problem or "as it was written"}' for verdict in ordered]
