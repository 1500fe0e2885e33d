"""Bytes from outside, not believed: archives, HDF5 and MATLAB files."""
