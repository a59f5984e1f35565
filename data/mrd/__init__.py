"""Acquisitions with headers, as ISMRMRD (MRD version 1) has them: the form that every raw format is translated to."""
