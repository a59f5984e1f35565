"""Errors a caller may want to catch, named for what the user can do about them.

::

    ValueError
      ScanError            the file is not one Cartesian multi-coil k-space that we can read
        SamplingError      the measured lines are in no order that a method takes
        StreamError        what came over a connection is not the stream of messages that it should be
      CalibrationError     the ACS cannot determine the requested kernel
    ArithmeticError
      TrainingError        the numbers left the finite range while a method was learning
    MemoryError
      ResourceError        the machine is too small for what was asked
    ImportError
      ExtraError           an optional part of the package is not installed
"""


class ScanError(ValueError):
    """The file is not one Cartesian multi-coil k-space that we can read."""


class SamplingError(ScanError):
    """The measured lines are in no order that the method takes, such as a regular lattice with an ACS block."""


class StreamError(ScanError):
    """What came over a connection is not the stream of messages that it should be."""


class CalibrationError(ValueError):
    """The ACS cannot determine the requested kernel."""


class TrainingError(ArithmeticError):
    """The numbers left the finite range while a method was learning."""


class ResourceError(MemoryError):
    """The machine is too small for what was asked."""


class ExtraError(ImportError):
    """An optional part of the package is not installed."""
