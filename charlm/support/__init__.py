"""What every program needs and no language model: start-up, the machine, files, downloads."""
