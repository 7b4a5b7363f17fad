"""Jobs on disk: their folder, their launching and what became of each; for sweeps and studies alike."""
