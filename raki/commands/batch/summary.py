"""What came of a batch: for programs, for people, and for the shell."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from raki.commands.batch.records import PAGE, SUMMARY, TIMES, Outcome, Records
from raki.commands.inputs import shown
from raki.commands.settings import Settings

FIELDS = ('scan', 'output', 'exit_code', 'error', 'warnings', 'method', 'acceleration', 'acs', 'n_images', 'key')
"""Of an outcome, that a summary tells."""


def summary_of(outcomes: Sequence[Outcome], settings: Settings) -> dict[str, Any]:
    """Give what is the same however often the batch was cut off: no times, and not which run did what."""
    from raki.commands.origin import named, versions

    n_done = sum(outcome.is_done for outcome in outcomes)
    return {
        'n_scans': len(outcomes),
        'n_done': n_done,
        'n_failed': len(outcomes) - n_done,
        'exit_code': exit_code_of(outcomes),
        'command': 'batch',
        'options': named(settings),
        'versions': versions(),
        'scans': [_told(outcome) for outcome in outcomes],
    }


def _told(outcome: Outcome) -> dict[str, Any]:
    values = outcome.model_dump(mode='json', include=set(FIELDS))
    return {
        'scan': shown(outcome.scan),
        'output': shown(outcome.output) if outcome.is_done else None,
        'state': 'done' if outcome.is_done else 'failed',
        **{name: values[name] for name in FIELDS[2:]},
    }


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """0 if all were done, else the code with which they failed; the smallest, if they failed with several."""
    return min((outcome.exit_code for outcome in outcomes if not outcome.is_done), default=0)


def write_summary(
    records: Records, outcomes: Sequence[Outcome], settings: Settings, times: Mapping[str, Mapping[str, object]]
) -> dict[str, Any]:
    """Write summary and page, and hidden beside the records how long this run took; give the summary."""
    from raki.data.save import replacing_all, write_text
    from raki.evaluation.contact_page import Entry, contact_page

    summary = summary_of(outcomes, settings)
    entries = [
        Entry(told['scan'], told['output'], _facts(told), told['warnings'], told['error'], outcome.thumbnail)
        for told, outcome in zip(summary['scans'], outcomes, strict=True)
    ]
    write_text(records.path / TIMES, json.dumps(times, indent=1))
    page = contact_page(shown(records.folder.absolute().name), entries, summary['options'])
    with replacing_all(seal=records.folder / SUMMARY) as new_files:
        new_files(records.folder / PAGE).write_text(page, encoding='utf-8')
        new_files.describe(records.folder / SUMMARY, summary)
    return summary


def _facts(told: Mapping[str, Any]) -> str:
    rate, acs = ('x'.join(map(str, told[name])) for name in ('acceleration', 'acs'))
    known = (f'R={rate}' if rate else '', f'ACS {acs}' if acs else '', f'{told["n_images"]} image(s)')
    return ', '.join(each for each in known if each)
