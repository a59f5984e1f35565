"""Between the coils of a scan: their noise, the virtual coils to learn in, their combination."""
