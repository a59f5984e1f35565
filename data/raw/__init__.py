"""Raw data from one format to another, one module per format that is written."""
