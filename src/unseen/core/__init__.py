"""The data types that all packages share: arrays, score tables, coresets, fits, plans and protocols."""
