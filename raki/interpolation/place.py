"""Where an ACS lies in the k-space that is to be filled."""

from dataclasses import dataclass

import torch
from torch import Tensor

from raki.data.sampling import longest_run
from raki.interpolation.fit import Calibration, PatchMap
from raki.interpolation.kernel import Kernel


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where an ACS lies among the lattice lines around it."""

    acs: Tensor
    """Axes (coil, line, readout)."""

    lines: Tensor
    """Lattice lines, axes (coil, line, readout)."""

    acceleration: int
    """Spacing of the lattice lines [line]."""

    start: int
    """Position of the first ACS line, counted from the first lattice line [line]."""

    @classmethod
    def of(cls, calibration: Calibration) -> 'Place | None':
        """None where the ACS is not part of the k-space to fill, or reaches beyond its lattice."""
        acs, lines, missing = calibration.acs, calibration.lines, calibration.missing
        if lines is None or missing is None:
            return None
        acceleration = calibration.acceleration
        measured = torch.nn.functional.pad(~missing[1:], (1, 0), value=True).flatten()
        run = longest_run(measured[: (lines.shape[1] - 1) * acceleration + 1].cpu())
        first = -(-run.start // acceleration)
        inside = acs[:, first * acceleration - run.start :: acceleration]
        if len(run) != acs.shape[1] or not torch.equal(inside, lines[:, first : first + inside.shape[1]]):
            return None
        return cls(acs, lines, acceleration, run.start)

    def extended(self, patch_map: PatchMap, kernel: Kernel, n_lines: int) -> Tensor:
        """The ACS and reconstructed lines around it, without the readout samples that the kernel does not reach.

        Returns
        -------
        Axes (coil, line, readout): n_lines of them at most, but no fewer than the ACS has.
        """
        missing = patch_map(self.lines, 1)
        columns = slice(kernel.readout // 2, kernel.readout // 2 + missing.shape[3])
        before = kernel.before - 1
        lattice = self.lines[:, None, before : before + missing.shape[2], columns]
        full = torch.cat([lattice, missing], dim=1).transpose(1, 2).flatten(1, 2)
        start, size = self.start - before * self.acceleration, self.acs.shape[1]
        skipped = max(0, -start)
        full[:, start + skipped : start + size] = self.acs[:, skipped : full.shape[1] - start, columns]
        first = max(0, min(start - max(0, n_lines - size) // 2, full.shape[1] - max(n_lines, size)))
        return full[:, first : first + max(n_lines, size)].contiguous()
