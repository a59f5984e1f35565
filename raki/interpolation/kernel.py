"""The extent of a kernel on the lattice of acquired lines, and the patches that it cuts out."""

from dataclasses import dataclass

from torch import Tensor

from raki.errors import CalibrationError


@dataclass(frozen=True, slots=True)
class Kernel:
    """Extent of a source patch: acquired lines times readout samples.

    At acceleration R, `lines` acquired lines reach over (lines - 1) * R + 1 lines of the full matrix. Missing samples
    lie between the source lines number `before - 1` and `before`, in the column `readout // 2`.
    """

    lines: int
    """Acquired lines [1]."""

    readout: int
    """Readout samples [1]."""

    partitions: int = 3
    """Acquired partitions [1], where a second axis is accelerated; see `raki.interpolation.neighbourhood`."""

    def __post_init__(self) -> None:
        if self.lines < 2 or self.readout < 1 or self.partitions < 2:
            raise ValueError(f'a kernel needs at least 2 lines x 1 sample and 2 partitions, got {self}')

    def __str__(self) -> str:
        return f'{self.lines}x{self.readout}'

    @property
    def before(self) -> int:
        """Source lines before the gap."""
        return self.lines // 2

    @property
    def after(self) -> int:
        """Source lines after the gap."""
        return self.lines - self.before

    def span(self, acceleration: int) -> int:
        """Lines of the full matrix that one patch reaches over."""
        return (self.lines - 1) * acceleration + 1

    def fits(self, n_lines: int, n_readout: int, acceleration: int) -> bool:
        """Whether an ACS of n_lines x n_readout holds at least one patch."""
        return n_lines >= self.span(acceleration) and n_readout >= self.readout

    def require_fits(self, n_lines: int, n_readout: int, acceleration: int) -> None:
        """Raise a CalibrationError unless an ACS of n_lines x n_readout holds at least one patch."""
        span = self.span(acceleration)
        if not self.fits(n_lines, n_readout, acceleration):
            raise CalibrationError(
                f'a kernel of {self.lines} lines x {self.readout} samples at R={acceleration} needs an ACS of at least '
                f'{span} x {self.readout}, got {n_lines} x {n_readout}: use a kernel of fewer lines or acquire more ACS'
            )


def patches(kspace: Tensor, kernel: Kernel, dilation: int = 1) -> Tensor:
    """Cut out every patch of `kernel.lines` lines, `dilation` lines apart, times `kernel.readout` samples.

    On the lattice of acquired lines `dilation` is 1; on fully sampled lines it is R: the same patch in both cases.

    Parameters
    ----------
    kspace
        Axes (coil, line, readout).
    kernel
        Extent of a patch.
    dilation
        Distance of its lines [line].

    Returns
    -------
    Axes (line, readout, source), where a source is (coil, kernel line, kernel sample); one patch per position that lies
    wholly inside.
    """
    kspace = kspace.contiguous()
    n_coils, n_lines, n_readout = kspace.shape
    coil, line, sample = kspace.stride()
    n_positions = n_lines - kernel.span(dilation) + 1
    windows = kspace.as_strided(
        (n_positions, n_readout - kernel.readout + 1, n_coils, kernel.lines, kernel.readout),
        (line, sample, coil, dilation * line, sample),
        kspace.storage_offset(),
    )
    return windows.flatten(2)
