"""How good a model is, apart from its own loss: n-gram baselines, what it copied, and the form of what it writes."""
