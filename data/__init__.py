"""From a file on disk to a Scan, and back."""
