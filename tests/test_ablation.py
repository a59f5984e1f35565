"""How much ACS the paper's networks need: the trend of published ablations, in a small simulation."""

from dataclasses import replace

import torch

from raki.coils.combine import root_sum_of_squares
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import image_metrics
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.fit import fit
from raki.interpolation.kernel import Kernel
from raki.networks.raki import RAKI_2019, Raki
from raki.networks.training import Recipe

SHORTER = replace(RAKI_2019, recipe=Recipe(n_iterations=400, learning_rate=3e-3))
SCAN = simulate(Simulation((112, 64), 6, 1, 0.002, 5))


def error_ratio(n_acs: int, baseline: Grappa, method: Raki = SHORTER) -> tuple[float, float]:
    """Equations per weight at R=4, and NRMSE in the object over that of a baseline."""
    assert SCAN.reference is not None
    full = SCAN.kspace[0]
    truth = root_sum_of_squares(image_from_kspace(SCAN.reference[0]))
    sampling = undersample(torch.ones(112, dtype=torch.bool), 4, n_acs)
    acs = full[:, sampling.acs.start : sampling.acs.stop]
    images = [
        root_sum_of_squares(image_from_kspace(fit(each, acs, sampling, full).fill(full))) for each in (method, baseline)
    ]
    errors = [image_metrics(image, truth)['nrmse_object'] for image in images]
    per_weight = 3 * (acs.shape[1] - 8) * (64 - 6) / method.shape(6, 4).n_weights
    return per_weight, errors[0] / errors[1]


def test_the_papers_networks_collapse_with_few_equations_per_weight_and_gain_with_many() -> None:
    """Against GRAPPA with a small fixed ridge, as in most papers: 2.2 at 0.2 equations per weight, 0.5 at 2.3."""
    baseline = Grappa(Kernel(2, 5), regularization=1e-6)
    few, many = error_ratio(12, baseline), error_ratio(64, baseline)
    assert few[0] < 0.5
    assert many[0] > 2
    assert few[1] > 1.5
    assert many[1] < 0.75


def test_against_grappa_chosen_from_the_acs_nothing_is_gained_but_the_trend_is_the_same() -> None:
    """2.7 at 0.2 equations per weight, 1.1 at 2.3: why figures against a weak baseline say little."""
    few, many = error_ratio(12, Grappa()), error_ratio(64, Grappa())
    assert few[1] > 2
    assert 1 < many[1] < 1.3
