"""What is printed and stored of findings."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attacks.cases import BAD, Finding

N_EXAMPLES = 40
"""Of every bad outcome, so many are stored by name."""

UNSAID = ('silent', 'untold', 'refused wrongly')
"""What is wrong without a word, or refused without need."""

FIRST = ('right', 'near', 'warned', 'refused', 'silent', 'untold')


def counted(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Outcomes of every group."""
    groups: dict[str, Counter[str]] = {}
    for finding in findings:
        groups.setdefault(finding.group, Counter())[finding.outcome] += 1
    return {group: dict(counts) for group, counts in groups.items()}


def classes(findings: Iterable[Finding], outcome: str) -> dict[str, int]:
    """How often an outcome is of which class: a name without its number."""
    return dict(Counter(_class(finding.name) for finding in findings if finding.outcome == outcome).most_common())


def _class(name: str) -> str:
    return '/'.join(part for part in name.split('/')[1:] if not part.isdigit() and part != 'anew')


def bad(findings: Iterable[Finding]) -> list[Finding]:
    """What must not be."""
    return [finding for finding in findings if finding.outcome in BAD]


def by_cause(findings: Iterable[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Findings with the same outcome and message, numbers and paths apart; the most frequent first."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        message = re.sub(r'/\S+|\d+', '', finding.detail.split(': ', 1)[-1])
        found.setdefault((finding.outcome, message[:100]), []).append(finding)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def print_table(title: str, findings: Sequence[Finding], seconds: float) -> None:
    """Groups by outcomes, with a total."""
    table = counted(findings)
    seen = {outcome for counts in table.values() for outcome in counts}
    columns = [each for each in (*FIRST, *sorted(seen - {*FIRST, *BAD}), *BAD) if each in seen]
    widths = [max(len(column), 6) + 2 for column in columns]
    print(f'\n{title}: {len(findings)} in {seconds:.0f} s')
    print(f'{"":34}{"number":>8}' + ''.join(f'{name:>{width}}' for name, width in zip(columns, widths, strict=True)))
    total = Counter[str]()
    for counts in table.values():
        total.update(counts)
    for group, counts in [*table.items(), ('all', total)]:
        cells = (f'{counts.get(name, 0) or "-":>{width}}' for name, width in zip(columns, widths, strict=True))
        print(f'{group:34}{sum(counts.values()):8}' + ''.join(cells))
    for (outcome, _), alike in by_cause(bad(findings)).items():
        print(f'  {len(alike):4} {outcome:12} such as {alike[0].name}: {alike[0].detail[-200:]!r}')


def print_untold(findings: Sequence[Finding]) -> None:
    """What was to be told, or to be taken, and was not."""
    for finding in findings:
        if finding.outcome in ('untold', 'refused wrongly'):
            print(f'  {finding.outcome:15} {finding.name}: {finding.detail[-160:]!r}')


def print_silent(findings: Sequence[Finding]) -> None:
    """The classes of silently wrong images, with their number."""
    found = classes(findings, 'silent')
    share = sum(found.values()) / max(1, len(findings))
    print(f'silently wrong images: {sum(found.values())} of {len(findings)}, {share:.4f}')
    for name, number in found.items():
        print(f'  {number:4} {name}')


def _examples(findings: Sequence[Finding], outcome: str) -> list[dict[str, Any]]:
    """One of every cause, with its number; of images that are wrong without a word, one of every class."""
    own = [finding for finding in findings if finding.outcome == outcome]
    alike = {finding.name: [finding] for finding in own} if outcome in UNSAID else by_cause(own)
    some = list(alike.values())[:N_EXAMPLES]
    return [{'name': each[0].name, 'detail': each[0].detail, 'number': len(each)} for each in some]


def summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """Counts, and examples of what is bad or silent."""
    outcomes = {finding.outcome for finding in findings}
    examples: Mapping[str, list[dict[str, Any]]] = {
        outcome: _examples(findings, outcome) for outcome in sorted(outcomes & {*BAD, *UNSAID})
    }
    return {
        'number': len(findings),
        'outcomes': dict(Counter(finding.outcome for finding in findings)),
        'groups': counted(findings),
        'silent': classes(findings, 'silent'),
        'examples': examples,
    }
