"""Training on several devices and machines: who takes part, what they sum up, and how they are started."""
