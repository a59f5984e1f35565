"""What `import raki` takes and gives: NumPy arrays, names, results that show themselves."""
