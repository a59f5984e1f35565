"""What a reconstruction gives to people: arrays of NumPy, a picture of itself, files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raki.commands.catalogue import name_of
from raki.commands.inputs import require_output
from raki.commands.origin import inputs_of, versions
from raki.commands.reconstruct import NOT_FILLED
from raki.commands.settings import Reading
from raki.data.glance import Glance, Glimpsed, sampling_of
from raki.data.images.outputs import output_of, reconstruction_writer
from raki.data.masks import pattern_of
from raki.data.mrd.description import scanner_of
from raki.data.place import Place, columns
from raki.data.sampling import Sampling
from raki.data.save import OutputImage
from raki.data.scan import Scan, ScanFile
from raki.extras import require_extra
from raki.face.asked import numbers
from raki.face.calls import in_python, restating
from raki.face.earlier import Earlier
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Interpolator
from raki.interpolation.fitted import DETERMINED, how_determined
from raki.pipeline import INTENSITY, Reconstruction

if TYPE_CHECKING:
    from raki.face.plots import Drawing


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Result(Glimpsed):
    """Images of one scan as NumPy arrays; it shows itself in Jupyter, draws itself, and saves itself."""

    reconstruction: Reconstruction
    """The same as tensors, with what was fitted."""
    scan: Scan
    """What was reconstructed."""
    method: Method | None
    """How; None where fits of an earlier scan filled it in, of which `.name` tells the method."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What else was asked for, by the names of `raki.reconstruct`."""
    is_one_slice: bool = False
    """Whether it came without an axis of slices, and images go without one."""
    file: ScanFile | None = None
    """Where the scan came from, if a file was given."""
    earlier: Earlier = Earlier()
    """What filled it in instead of learning."""

    @property
    def name(self) -> str:
        """Name of the method."""
        return str(self.earlier.about['method']) if self.method is None else name_of(self.method)

    @property
    def image(self) -> np.ndarray:
        """Magnitude, float32, axes (slice, y, x), or (y, x) of k-space that came as (coil, ky, kx).

        The slices of a volume are those along z. Orthonormal inverse Fourier transform, in the unit of k-space. A copy:
        writing into it changes nothing that `.save` writes; keep it where it is needed more than once.
        """
        return self._as_given(self.reconstruction.image)

    @property
    def kspace(self) -> np.ndarray:
        """Filled k-space, complex64, axes (slice, coil, ky, kx), or (coil, ky, kx) as it came.

        Measured samples of slices are those of the scan, bit for bit. Of a volume kz is transformed away. A
        copy, as `.image`.
        """
        return self._as_given(self.reconstruction.kspace)

    def _as_given(self, tensor: torch.Tensor) -> np.ndarray:
        return (tensor[0] if self.is_one_slice else tensor).numpy().copy()

    @property
    def interpolators(self) -> tuple[Interpolator, ...]:
        """The fitted method of every slice or volume, as `raki.reconstruct(..., fitted=)` takes them."""
        return self.reconstruction.interpolators

    @property
    def seconds(self) -> tuple[float, float]:
        """Time spent on fitting and on filling in [s]."""
        return self.reconstruction.seconds

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, one sentence each."""
        pattern = pattern_of(self.scan.mask)
        is_whole = bool(pattern.mask[pattern.inside].all())
        return *self.earlier.notes, *self.reconstruction.notes, *([NOT_FILLED] if is_whole else [])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why it may be worse than usual, one sentence each."""
        return tuple(dict.fromkeys(map(in_python, (*self.earlier.warnings, *self.reconstruction.warnings))))

    @property
    def glance(self) -> Glance:
        """What is said of it in few words."""
        n_images, height, width = self.reconstruction.image.shape
        size = f'image {height} x {width}' if n_images == 1 else f'{n_images} images {height} x {width}'
        warned = [f'{len(self.warnings)} warning{"s" * (len(self.warnings) > 1)}'] * bool(self.warnings)
        facts = [self.name, size, *sampling_of(self.scan.mask, self.scan.calibration), *warned]
        middle, seconds = self.reconstruction.image[n_images // 2], [f'{sum(self.seconds):.2g} s']
        return Glance('Result', facts, lambda: (seconds, middle), 'the middle slice, filled in', self.warnings)

    def plot(self, slices: Sequence[int] | int | None = None) -> 'Drawing':
        """Draw images in a figure of matplotlib, which Jupyter shows; elsewhere `.savefig('x.png')` keeps it.

        Parameters
        ----------
        slices
            Which one or ones, counted from 0; by default all, or eight evenly spaced of more.

        Raises
        ------
        ExtraError
            If matplotlib is not installed.
        ValueError
            If there is no such slice.
        """
        require_extra('figure', 'plot()')
        from raki.face.plots import images_drawn

        with restating('reconstruct(...).plot', {'slices': slices}):
            images, size = self.reconstruction.image, self.scan.voxel_size
            title = (
                f'{self.name}, {", ".join(sampling_of(self.scan.mask, self.scan.calibration)[1:]) or "fully sampled"}'
            )
            chosen = None if slices is None else numbers(slices)
            return images_drawn(images.numpy(), chosen, title, 1.0 if size is None else size[-2] / size[-1])

    def save(self, path: str | Path, *, kspace: bool = False) -> Path:
        """Write images, and what made them with sums of all files, as `raki reconstruct -o` does; give the path back.

        Parameters
        ----------
        path
            Its suffix asks for the format: `.h5`, `.nii`, `.nii.gz`, `.dcm`, `.mrd.h5`, `.png`, or `.cfl`, which is
            filled k-space.
        kspace
            Whether filled k-space is written, too, where the format has a place for it.

        Raises
        ------
        ValueError
            If there is no such format, or no such place in it.
        OSError
            If the file cannot be written.
        """
        path, about = Path(path), {'path': str(path), 'kspace=': kspace or None}
        with restating('reconstruct(...).save', about):
            require_output(path, Path(self.file.path) if self.file else None, keeps_kspace=kspace)
            keeps_kspace = kspace or output_of(path).is_kspace
            with reconstruction_writer(path, len(self.reconstruction.image)) as writer:
                for index, place in enumerate(self._places):
                    writer.put(index, self._output(index, place, keeps_kspace=keeps_kspace))
                made = self.manifest
                unsaid = output_of(path).shortcomings(self._places, is_identity_wanted=False)
                writer.describe(made | {'warnings': [*made['warnings'], *unsaid]})
        return path

    @property
    def _places(self) -> list[Place]:
        indices = range(len(self.reconstruction.image))
        return [Place(index) if self.file is None else self.file.place(index) for index in indices]

    def _output(self, index: int, place: Place, *, keeps_kspace: bool) -> OutputImage:
        found, size = self.reconstruction, self.scan.voxel_size
        return OutputImage(
            found.image[index],
            place,
            kspace=found.kspace[index] if keeps_kspace else None,
            readout_is_rows=self.file is not None and self.file.readout_is_rows,
            voxel_size=None if size is None else size[-2:],
        )

    @property
    def manifest(self) -> dict[str, Any]:
        """What made it, by the names that `raki reconstruct` writes."""
        found, pattern, file = self.reconstruction, pattern_of(self.scan.mask), self.file
        transforms = [each.transform for each in found.interpolators]
        return {
            **dict(columns(self._places)),
            'method': self.name,
            'command': 'raki.reconstruct',
            'options': dict(self.options),
            'settings': {} if self.method is None else asdict(self.method),  # type: ignore[call-overload]
            'combine': self.options.get('combine', 'rss'),
            'virtual_coils': self.options.get('coils'),
            'energy_in_virtual_coils': [1.0 if each is None else each.energy for each in transforms],
            **{name: [how_determined(each)[name] for each in found.interpolators] for name in DETERMINED},
            'partial_fourier': self.options.get('partial_fourier', 'zero-fill'),
            'whiten': self.scan.noise is not None,
            'crop': True,
            'intensity': INTENSITY,
            'source_file': 'arrays in memory' if file is None else Path(file.path).name,
            'input': [] if file is None else inputs_of(file.path, Reading()),
            'scanner': {} if file is None else scanner_of(file),
            'acceleration': list(pattern.lattice.spacing) if isinstance(pattern, Sampling) else [],
            'notes': [*(file.notes if file else ()), *self.notes],
            'warnings': list(self.warnings),
            'versions': versions(),
            'device': str(self.options.get('device', 'cpu')),
            'n_threads': torch.get_num_threads(),
            **self.earlier.about,
        }
