"""The network: backbone, weights, units of depth, freezing and head."""
