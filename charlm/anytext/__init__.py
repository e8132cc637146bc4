"""From any text to a trained run: the split, the settings, the job that trains, and the report."""
