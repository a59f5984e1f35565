"""The protocol of a Siemens measurement: the few of its thousands of values that placing lines needs."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raki.data.mrd.header import Encoding, Header, Space
from raki.errors import ScanError

NOISE_BANDWIDTH = 0.79
"""Bandwidth of noise relative to that of samples in the receivers of this vendor, as converters state it."""

CALIBRATION = {
    2: ('embedded', ''),
    4: ('separate', ''),
    8: ('separate', ''),
    16: ('interleaved', 'average'),
    32: ('interleaved', 'repetition'),
    64: ('interleaved', 'phase'),
    128: ('embedded', ''),
}
"""Mode of the calibration, and what it is interleaved over, by `sPat.ucRefScanMode`."""

TRAJECTORIES = {1: 'cartesian', 2: 'radial', 4: 'spiral', 8: 'propeller'}

MILLIMETRE = 1e-3


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a protocol states, whatever part of it states it."""

    values: Mapping[str, str]
    """Values of the assignments of `MeasYaps`, such as `sKSpace.lBaseResolution`."""

    text: str
    """The part `Meas`, with parameters in braces."""

    @classmethod
    def of(cls, parts: Mapping[str, str]) -> 'Protocol':
        """Take what is needed of the parts of a protocol; any of them may be missing."""
        lines = re.finditer(r'^(\S+)[ \t]*=[ \t]*(.*?)[ \t\r]*$', parts.get('MeasYaps', ''), re.MULTILINE)
        return cls({line.group(1): line.group(2).strip('"') for line in lines}, parts.get('Meas', ''))

    def number(self, *names: str) -> float | None:
        """First of these values that is stated and finite: of the assignments, else of the parameters."""
        for name in names:
            for word in (self.values.get(name), self._parameter(name)):
                value = _float(word)
                if value is not None:
                    return value
        return None

    def _parameter(self, name: str) -> str | None:
        found = re.search(rf'<Param(?:Long|Double|String)\."{re.escape(name)}">\s*{{([^}}]*)}}', self.text)
        words = re.sub(r'<\w+>\s*\S+', ' ', found.group(1)).split() if found else []
        return words[0].strip('"') if words else None

    @property
    def name(self) -> str:
        """Name of the protocol; empty where there is none."""
        return self.values.get('tProtocolName') or self._parameter('tProtocolName') or ''

    @property
    def dwell_us(self) -> float | None:
        """Time between samples [us]."""
        nanoseconds = self.number('sRXSPEC.alDwellTime[0]', 'alDwellTime')
        return nanoseconds / 1000 if nanoseconds else None

    @property
    def facts(self) -> dict[str, str]:
        """What people want to know and patients do not mind."""
        field = self.number('sProtConsistencyInfo.flNominalB0', 'flMagneticFieldStrength')
        system = self._parameter('ManufacturersModelName')
        found = {'vendor': 'SIEMENS', 'system': system, 'field strength [T]': field and f'{field:g}'}
        return {name: text for name, text in (found | {'protocol': self.name}).items() if text}


def _float(word: str | None) -> float | None:
    try:
        value = float(int(word, 16)) if word and word.startswith('0x') else float(word or '')
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def header_of_twix(protocol: Protocol, heads: Any, is_image: np.ndarray, path: str) -> Header:
    """What a measurement tells beside its lines, `heads` (block,), of which `is_image` are lines of the image.

    Where the protocol does not state a size, or less than the lines need, it is the smallest that holds them.
    """
    lines = heads[is_image]
    centre = tuple(_most_common(lines[name]) for name in ('CenterLin', 'CenterPar'))
    trajectory = protocol.number('sKSpace.ucTrajectory')
    mode, over = _calibration(protocol, heads, is_image)
    factors = (protocol.number('sPat.lAccelFactPE'), protocol.number('sPat.lAccelFact3D'))
    encoded, reconstructed = _spaces(protocol, lines, (centre[0], centre[1]), path)
    encoding = Encoding(
        encoded=encoded,
        reconstructed=reconstructed,
        ky_centre=centre[0],
        kz_centre=centre[1],
        trajectory=TRAJECTORIES.get(int(trajectory or 1), f'number {trajectory:g}' if trajectory else ''),
        calibration_mode=mode,
        interleaved_over=over,
        acceleration=(int(factors[0] or 0), int(factors[1] or 0)),
        is_multiband=(protocol.number('sSliceAcceleration.lMultiBandFactor') or 1) > 1,
    )
    return Header((encoding,), noise_bandwidth=NOISE_BANDWIDTH, facts=protocol.facts)


def _most_common(values: np.ndarray) -> int:
    numbers, counts = np.unique(values, return_counts=True)
    return int(numbers[counts.argmax()])


def _calibration(protocol: Protocol, heads: Any, is_image: np.ndarray) -> tuple[str, str]:
    """Mode and what it is interleaved over; lines that are calibration and image tell where the protocol does not."""
    stated = CALIBRATION.get(int(protocol.number('sPat.ucRefScanMode') or 0))
    is_both = is_image & ((heads['EvalInfoMask'] >> np.uint64(23) & np.uint64(1)) != 0)
    return stated or (('embedded', '') if is_both.any() else ('', ''))


def _spaces(protocol: Protocol, lines: Any, centre: tuple[int, int], path: str) -> tuple[Space, Space]:
    """What was measured, oversampling included, and what images should be."""
    is_volume = protocol.number('sKSpace.ucDimension') == 4 or bool(lines['Counter']['Par'].any())
    oversampling = [
        1 + max(0.0, protocol.number(f'sKSpace.d{axis}OversamplingForDialog') or 0.0) for axis in ('Phase', 'Slice')
    ]
    base = _size(protocol.number('sKSpace.lBaseResolution', 'lBaseResolution'))
    n_samples = _readout(lines, base, protocol.number('flReadoutOSFactor'))
    n_lines = _along(protocol, ('iPEFTLength', 'sKSpace.lPhaseEncodingLines'), lines['Counter']['Lin'], centre[0])
    n_partitions = 1
    if is_volume:
        n_partitions = _along(protocol, ('i3DFTLength', 'sKSpace.lPartitions'), lines['Counter']['Par'], centre[1])
    if max(n_samples, n_lines, n_partitions) > 1 << 15:
        raise ScanError(f'{path}: a matrix of {n_samples} x {n_lines} x {n_partitions} is none of a scanner: damaged')
    n_readout = min(n_samples, base) if base else n_samples
    names = ('dReadoutFOV', 'dPhaseFOV', 'dThickness')
    width, height, depth = (
        MILLIMETRE * max(0.0, protocol.number(f'sSliceArray.asSlice[0].{name}') or 0.0) for name in names
    )
    wide = (width * n_samples / n_readout, height * oversampling[0], depth * (oversampling[1] if is_volume else 1))
    n_wanted = [round(n / over) for n, over in zip((n_lines, n_partitions), oversampling, strict=True)]
    matrix = (n_readout, n_wanted[0], n_wanted[1] if is_volume else 1)
    return Space((n_samples, n_lines, n_partitions), wide), Space(matrix, (width, height, depth))


def _size(value: float | None) -> int:
    return int(value) if value and value > 0 else 0


def _readout(lines: Any, base: int, factor: float | None) -> int:
    """Samples of a whole readout: what the protocol says, if that holds those of the lines.

    This vendor samples twice as densely as the matrix needs, where nothing is stated and readouts are not short.
    """
    size, echo = lines['SamplesInScan'].astype(int), lines['CenterCol'].astype(int)
    echo = np.where(echo == 0, size // 2, echo)
    is_short = bool((size <= base).all() and (echo == size // 2).all())
    whole = round(base * (factor or (1 if is_short else 2)))
    if int(size.max()) <= whole:
        return whole
    before, after = echo - lines['CutOff']['Pre'], size - lines['CutOff']['Post'] - echo
    return _holding(int(before.max()), int(after.max()))


def _holding(before: int, after: int) -> int:
    """The smallest even size whose middle, n//2, has so many samples before it and, with its own, from it on."""
    return 2 * max(before, after, 1)


def _along(protocol: Protocol, names: tuple[str, str], counters: np.ndarray, centre: int) -> int:
    """Number of phase-encoding steps: the first stated one that holds all lines around the central one."""
    first, last = int(counters.min()) - centre, int(counters.max()) - centre
    stated = [_size(protocol.number(name)) for name in names]
    fitting = [n for n in stated if n and n // 2 + first >= 0 and n // 2 + last < n]
    return fitting[0] if fitting else _holding(-first, last + 1)
