"""The noise of k-space from the ACS alone: what neighbours leave unexplained, less what came with the neighbours.

A line between two others is predicted so well that little but noise is left: that of the sample itself, and that of
its sources, as strong as the weights make it. Both have the same covariance between coils, and neighbouring coils share
noise, so weights that look at several of them can take in much less of it, or more, than their norm says.
"""

import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.interpolation.calibration import Calibration
from raki.interpolation.least_squares import NormalEquations, Weighting, mean_power, pairs
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.interpolation.tuning import Misfit, estimated_misfit, left_out_residuals

NOISE_RATE, NOISE_KERNEL, NOISE_RIDGE = 2, Kernel(lines=2, readout=5, partitions=3), 1e-5
"""What explains a sample best, so that little but noise is left: both neighbouring lines, on three partitions."""

MIN_GAIN = 0.1
"""Least part of a residual's noise gain that is not attributed to the power of noise in the sources [1]."""

N_STEPS, ACCURACY = 100, 1e-10
"""Most steps of conjugate gradients, and the part of the squared gradient at which they stop [1]."""


def noise_power(acs: Tensor) -> float:
    """Noise power of a k-space sample, mean over coils, from the ACS (coil, phase axes, readout) alone.

    1. Weights are fitted to all equations of the ACS, each as strong as its expected misfit lets it be.
    2. What these weights leave unexplained of equations left out of the fit is extrapolated to patches that hold
       nothing but noise; their power is that of the noise.
    3. There it is `noise_gain` times the noise of a sample.

    Residuals and gain must be those of the same weights: fewer equations take in more noise. Signal cannot be taken for
    noise, as in corners of k-space, where small matrices hold some.

    Raises
    ------
    CalibrationError
        If the ACS has fewer lines or samples than the kernel.
    """
    calibration, around = _calibration(acs), noise_neighbourhood(acs)
    weighting = estimated_misfit(calibration, around, NOISE_RIDGE).weight
    cells = calibration.cells(around)
    equations = NormalEquations.of(calibration.acs_lines, cells, weighting)
    power, residual, covariance = _unexplained(calibration.acs_lines, cells, equations, weighting)
    if not bool(residual.any()):
        return 0.0
    misfit = Misfit.from_residuals(power, residual)
    gain = noise_gain(equations.solve(NOISE_RIDGE), covariance)
    return misfit.noise / max(gain - misfit.share, MIN_GAIN * gain)


def _calibration(acs: Tensor) -> Calibration:
    return Calibration(acs, Lattice.of((*(1,) * (acs.ndim - 3), NOISE_RATE)))


def noise_neighbourhood(acs: Tensor) -> Neighbourhood:
    """What an ACS (coil, phase axes, readout) must hold for its noise to be told."""
    return _calibration(acs).neighbourhood(NOISE_KERNEL)


def _unexplained(
    lines: Tensor, cells: Cells, equations: NormalEquations, weighting: Weighting
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean power of every patch's sources and energy of its residual, axes (patch,), and the residuals' covariance."""
    powers, residuals = list[Tensor](), list[Tensor]()
    covariance = equations.gram.new_zeros(len(lines), len(lines))
    for cell in range(len(cells)):
        sources, targets = pairs(lines, cells.at(slice(cell, cell + 1)))
        power = mean_power(sources)
        weight = weighting(power)
        missed = left_out_residuals(equations, NOISE_RIDGE, sources, targets, weight)
        white = weight.sqrt()[:, None] * missed.to(torch.complex128)
        covariance += white.mT @ white.conj()
        powers.append(power)
        residuals.append(mean_power(missed) * missed.shape[1])
    return torch.cat(powers), torch.cat(residuals), covariance


def noise_gain(weights: Tensor, covariance: Tensor) -> float:
    """Power of what is left unexplained of noise, summed over coils, over the mean power of noise in a coil.

    Where there is noise only, of covariance Psi, and sources s have weights W_s, what is left unexplained has the
    covariance C = Psi + sum over s of W_s^T Psi W_s^*. That is solved for Psi, and the gain is n_coils tr C / tr Psi:
    n_coils + ||W||^2 where all coils have the same noise, each its own. No Psi has less, or more, than the least and
    the largest eigenvalue of sum W_s^* W_s^T tell. Weights are complex128, axes (source, coil), where a source is
    (coil, line, readout); `covariance` is C, to some scale, complex128.
    """
    n_coils = len(covariance)
    through = weights.unflatten(0, (n_coils, -1)).transpose(0, 1)
    noise = _covariance_before(covariance, through)
    bounds = n_coils * (1 + torch.linalg.eigvalsh((through.conj() @ through.mT).sum(0)))
    share = float(noise.diagonal().real.sum() / covariance.diagonal().real.sum())
    return min(max(n_coils / share, float(bounds[0])), float(bounds[-1])) if share > 0 else float(bounds[-1])


def _covariance_before(covariance: Tensor, through: Tensor) -> Tensor:
    """Psi with Psi + sum of W^T Psi W^* over W in `through` (source, coil, target coil) = covariance, least squares.

    By conjugate gradients on the normal equations (CGNR): coils squared are too many unknowns to solve directly.
    """

    def apply(noise: Tensor) -> Tensor:
        return noise + (through.mT @ noise @ through.conj()).sum(0)

    def adjoint(left: Tensor) -> Tensor:
        return left + (through.conj() @ left @ through.mT).sum(0)

    noise, left = torch.zeros_like(covariance), covariance
    step = gradient = adjoint(left)
    first = norm = float(gradient.abs().square().sum())
    for _ in range(N_STEPS):
        if norm <= ACCURACY * first:
            break
        effect = apply(step)
        length = norm / float(effect.abs().square().sum())
        noise, left = noise + length * step, left - length * effect
        gradient, previous = adjoint(left), norm
        norm = float(gradient.abs().square().sum())
        step = gradient + norm / previous * step
    return noise
