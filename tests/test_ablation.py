"""How much ACS the paper's networks need: the trend of published ablations, in a small simulation."""

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import image_metrics
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import fit
from raki.interpolation.neighbours import Kernel
from raki.networks.raki import RAKI_2019, Raki
from raki.networks.training import Recipe
from tests.toys import calibration_of

SHORTER = replace(RAKI_2019, recipe=Recipe(n_iterations=400, learning_rate=3e-3))
SCAN = simulate(Simulation((112, 64), 6, 1, 0.005, 5))


@cache
def reconstructed(n_acs: int, method: Method) -> Tensor:
    full = SCAN.kspace[0]
    sampling = undersample(torch.ones(112, dtype=torch.bool), (4,), (n_acs,))
    return root_sum_of_squares(image_from_kspace(fit(method, full, sampling).fill(full)))


def error_ratio(n_acs: int, baseline: Grappa, method: Raki = SHORTER) -> tuple[float, float]:
    """Equations per weight at R=4, and NRMSE in the object over that of a baseline."""
    assert SCAN.reference is not None
    full = SCAN.kspace[0]
    truth = root_sum_of_squares(image_from_kspace(SCAN.reference[0]))
    sampling = undersample(torch.ones(112, dtype=torch.bool), (4,), (n_acs,))
    images = [reconstructed(n_acs, each) for each in (method, baseline)]
    errors = [image_metrics(image, truth)['nrmse_object'] for image in images]
    per_weight = 3 * (len(sampling.acs[0]) - 8) * (64 - 6) / method.shape(calibration_of(full, sampling)).n_weights
    return per_weight, errors[0] / errors[1]


def test_the_papers_networks_collapse_with_few_equations_per_weight_and_gain_with_many() -> None:
    """Against GRAPPA with a small fixed ridge, as in most papers: 1.8 at 0.2 equations per weight, 0.4 at 2.3."""
    baseline = Grappa(Kernel(2, 5), regularization=1e-6)
    few, many = error_ratio(12, baseline), error_ratio(64, baseline)
    assert few[0] < 0.5
    assert many[0] > 2
    assert few[1] > 1.5
    assert many[1] < 0.6


def test_against_grappa_chosen_from_the_acs_less_is_gained_and_the_trend_is_the_same() -> None:
    """1.5 at 0.2 equations per weight, 0.8 at 2.3: why figures against a weak baseline say little."""
    few, many = (error_ratio(n_acs, Grappa(calibration='measured')) for n_acs in (12, 64))
    assert few[1] > 1.4
    assert many[1] < 0.9
    assert many[1] > 1.5 * error_ratio(64, Grappa(Kernel(2, 5), regularization=1e-6))[1]
