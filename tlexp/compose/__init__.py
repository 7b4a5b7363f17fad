"""From overrides to a typed configuration: the border to Hydra and OmegaConf."""
