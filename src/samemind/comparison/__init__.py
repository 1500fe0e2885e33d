"""From sides to scores: pairs, sets, mechanisms, layers, probes, flips, verification."""
