"""What everything else stands on: arrays, tables, coresets, fits and plans."""
