"""Many scans: planning (`tasks`), one scan (`one`), where it runs (`worker`, `pool`), what came of all (`summary`)."""
