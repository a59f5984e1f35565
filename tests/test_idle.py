"""How long idle threads wait: our choice, unless the user has made one."""

import pytest

from raki.commands.batch.process import environment
from raki.commands.idle import POLICIES, brief_waits


def test_idle_threads_sleep_soon_but_not_at_once() -> None:
    found = brief_waits({'PATH': '/bin', 'OMP_WAIT_POLICY': ''})
    assert list(found) == ['GOMP_SPINCOUNT']
    assert 0 < int(found['GOMP_SPINCOUNT']) < 30_000


@pytest.mark.parametrize(('name', 'value'), [('OMP_WAIT_POLICY', 'PASSIVE'), ('GOMP_SPINCOUNT', '7')])
def test_what_the_user_has_set_stays_here_and_in_workers(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for policy in POLICIES:
        monkeypatch.delenv(policy, raising=False)
    monkeypatch.setenv(name, value)
    assert brief_waits({name: value}) == {name: value}
    assert {policy: word for policy, word in environment(1).items() if policy in POLICIES} == {name: value}
