"""Siemens raw data: translated to acquisitions of MRD."""
