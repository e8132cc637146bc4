"""What single notebooks use and do not write themselves."""
