"""The RAKI family: networks that learn from the ACS of the scan itself."""
