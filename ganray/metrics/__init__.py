"""Measures of how far one distribution is from another, of densities and of samples."""
